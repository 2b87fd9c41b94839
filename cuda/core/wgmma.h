// Products of matrices on tensor cores by a warpgroup, 128 threads, from shared memory (wgmma, sm_90a):
// bfloat16 operands, float32 sums, and all goes on beside the threads.
//
//     fence_registers();                               // before products use sums that others wrote
//     multiply_async<N, Major::mn, Major::mn>(sums, a, b);  // C += A B: 64 x N, 16 deep
//     commit_products();                               // ends a group of them
//     wait_for_products<1>();                          // all groups but the last are done
//
// With w = warp % 4, g = lane / 4 and t = lane % 4 a thread's sums[4 j + 2 r + c] is C's element
// (16 w + g + 8 r, 8 j + 2 t + c). Until it has waited it may not touch them, nor anyone the operands.
//
// Operands lie as copy_box brings them: in lines of 64 numbers, 128 bytes, with exchanged pieces. The
// lines of A are its rows or its steps of the depth, of B its columns or its steps of the depth:
//
//     Major::k   a line is a row (column), 64 deep; the next row's line follows
//     Major::mn  a line is 64 rows (columns) at one step of the depth; the next step's line follows,
//                and the next 64 rows (columns) are a block of lines further on
//
// A descriptor tells where: bits 0-13 the address, 16-29 the distance of blocks (Major::mn only), 32-45
// that of eight lines, all in units of 16 bytes; 62-63 that lines are 128 bytes, exchanged. It moves
// along the depth by its address alone.
//
// On the CPU products are made when their thread waits for them, no earlier; sums in flight are NaN.
#pragma once

#include "bf16.h"
#include "mbarrier.h"
#include "platform.h"

enum class Major { k, mn };

constexpr int kWarpgroup = 128, kProductDepth = 16;

// Of an operand at `at`, a multiple of 1024 bytes, of blocks of so many bytes.
__device__ __forceinline__ uint64_t operand_descriptor(const bf16* at, int block_bytes) {
    constexpr uint64_t kEightLines = 1024, kLinesOf128Bytes = 1;
    return uint64_t(shared_address(at) >> 4) | uint64_t(block_bytes >> 4) << 16 |
           (kEightLines >> 4) << 32 | kLinesOf128Bytes << 62;
}

// What a descriptor grows by for the next kProductDepth steps.
template <Major kMajor>
constexpr uint64_t kDescriptorStep = (kMajor == Major::k ? sizeof(bf16) : 128) * kProductDepth >> 4;

#ifdef ALEXNET_RAW_CUDA

#if HAS_WGMMA
#define TEN(tens)                                                                                \
    "%" tens "0, %" tens "1, %" tens "2, %" tens "3, %" tens "4, %" tens "5, %" tens "6, %" tens \
    "7, %" tens "8, %" tens "9, "
#define SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SUMS_16(i) SUMS_4(i), SUMS_4(i + 4), SUMS_4(i + 8), SUMS_4(i + 12)
#define SUMS_64(i) SUMS_16(i), SUMS_16(i + 16), SUMS_16(i + 32), SUMS_16(i + 48)
#define MULTIPLY(n, registers, a, b, one, transpose_a, transpose_b)                      \
    "{\n.reg .pred p;\nsetp.ne.b32 p, " one                                              \
    ", 0;\n"                                                                             \
    "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" registers "}, " a ", " b \
    ", p, 1, 1, " transpose_a ", " transpose_b ";\n}"
#define OPERANDS "l"(a), "l"(b), "r"(1), "n"(kA == Major::mn), "n"(kB == Major::mn)
#endif

template <int kColumns, Major kA, Major kB>
__device__ __forceinline__ void multiply_async(float (&d)[kColumns / 2], uint64_t a, uint64_t b) {
    static_assert(kColumns == 128 || kColumns == 192 || kColumns == 256, "columns in use");
#if HAS_WGMMA
    if constexpr (kColumns == 128)
        asm volatile(MULTIPLY("128",
                              TEN("") TEN("1") TEN("2") TEN("3") TEN("4") TEN("5") "%60, %61, %62, %63",
                              "%64", "%65", "%66", "%67", "%68")
                     : SUMS_64(0)
                     : OPERANDS);
    else if constexpr (kColumns == 192)
        asm volatile(MULTIPLY("192",
                              TEN("") TEN("1") TEN("2") TEN("3") TEN("4") TEN("5") TEN("6") TEN("7")
                                  TEN("8") "%90, %91, %92, %93, %94, %95",
                              "%96", "%97", "%98", "%99", "%100")
                     : SUMS_64(0), SUMS_16(64), SUMS_16(80)
                     : OPERANDS);
    else
        asm volatile(
            MULTIPLY("256",
                     TEN("") TEN("1") TEN("2") TEN("3") TEN("4") TEN("5") TEN("6") TEN("7") TEN("8")
                         TEN("9") TEN("10") TEN("11") "%120, %121, %122, %123, %124, %125, %126, %127",
                     "%128", "%129", "%130", "%131", "%132")
            : SUMS_64(0), SUMS_64(64)
            : OPERANDS);
#endif
}

#if HAS_WGMMA
#undef TEN
#undef SUMS_4
#undef SUMS_16
#undef SUMS_64
#undef MULTIPLY
#undef OPERANDS
#endif

#else

template <int kColumns, Major kA, Major kB>
void multiply_async(float (&d)[kColumns / 2], uint64_t a, uint64_t b) {
    cuda_on_cpu::multiply_async({d, kColumns, a, b, kA == Major::mn, kB == Major::mn});
}

#endif

__device__ __forceinline__ void fence_registers() {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::fence_registers();
#elif HAS_WGMMA
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void commit_products() {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::commit_products();
#elif HAS_WGMMA
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

template <int kGroups>
__device__ __forceinline__ void wait_for_products() {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::wait_for_products(kGroups);
#elif HAS_WGMMA
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
#endif
}
