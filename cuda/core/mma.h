// Products of small matrices on tensor cores (mma.sync, sm_80 and newer): operands in TF32 or bfloat16,
// float32 sums.
//
// The 32 lanes of a warp hold the matrices together. An operand comes in fragments of 16 lines (rows of
// A, columns of B), 8 deep in TF32 and 16 in bfloat16, which has two of the depth in a register. With
// g = lane / 4 and t = lane % 4 a lane has
//
//     of an operand:  lines g and g + 8 at depth t, then both at depth t + 4   (TF32)
//                     the same with 2 t, 2 t + 1 and 2 t + 8, 2 t + 9          (bfloat16)
//     of C, 16 x 8:   (g, 2 t)  (g, 2 t + 1)  (g + 8, 2 t)  (g + 8, 2 t + 1)
//
// Sums do not mind another order of the depth, as long as A and B have the same.
#pragma once

#include <type_traits>

#include "bf16.h"
#include "platform.h"

// Whether what is compiled can have them: not for older GPUs, where kernels that need them are empty
// and never launched (LaunchShape::capability).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool kHasMma = false;
#else
constexpr bool kHasMma = true;
#endif

struct Lane {
    int g, t;

    __device__ __forceinline__ Lane() : g(int(threadIdx.x) % warpSize / 4), t(int(threadIdx.x) % 4) {}
};

// float32 with ten bits behind the point instead of 23, to the nearest; halves away from zero.
__host__ __device__ __forceinline__ uint32_t round_to_tf32(float x) {
    uint32_t bits;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
#else
    memcpy(&bits, &x, 4);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFE000u;  // NaN
    const bool is_finite = (bits & 0x7F800000u) != 0x7F800000u;
    bits = (is_finite ? bits + 0x1000u : bits) & 0xFFFFE000u;
#endif
    return bits;
}

// `low` in the lower half, both to the nearest; halves to even.
__host__ __device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
#else
    return to_bf16(low).bits | uint32_t(to_bf16(high).bits) << 16;
#endif
}

// Four matrices of 8 x 8 numbers of 16 bits from shared memory, by the whole warp (ldmatrix). Lane
// 8 m + r gives the address of row r of matrix m, aligned to 16 bytes. It gets of each matrix what lies
// in row g at columns 2 t and 2 t + 1; transposed, in column g at rows 2 t and 2 t + 1.
template <bool kTransposed>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const bf16* row) {
#ifdef ALEXNET_RAW_CUDA
#define LDMATRIX(kind)                                                                      \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" kind ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                           \
                 : "r"(unsigned(__cvta_generic_to_shared(row)))                             \
                 : "memory")
    if constexpr (kTransposed)
        LDMATRIX(".trans");
    else
        LDMATRIX("");
#undef LDMATRIX
#else
    const void* of_lane[32];
    cuda_on_cpu::show_warp(row, of_lane);
    auto at = [&](int m, int i, int j) {
        return uint32_t(static_cast<const bf16*>(of_lane[8 * m + i])[j].bits);
    };
    const Lane lane;
    for (int m = 0; m < 4; ++m)
        r[m] = kTransposed ? at(m, 2 * lane.t, lane.g) | at(m, 2 * lane.t + 1, lane.g) << 16
                           : at(m, lane.g, 2 * lane.t) | at(m, lane.g, 2 * lane.t + 1) << 16;
    __syncwarp();  // nobody shows something else before all have read
#endif
}

// How a fragment is read from an operand's tile (mma_loop.h), from a line and a depth on: of floats, to
// be rounded ...
struct Tf32 {
    using Element = float;
    static constexpr int depth = 8;

    template <class Operand>
    static __device__ __forceinline__ void read(uint32_t (&r)[4], const float* tile, int line, int k) {
        const Lane lane;
        UNROLL_ON_GPU for (int i = 0; i < 4; ++i) r[i] =
            round_to_tf32(tile[Operand::at(line + lane.g + i % 2 * 8, k + lane.t + i / 2 * 4)]);
    }
};

struct RoundedBf16 {
    using Element = float;
    static constexpr int depth = 16;

    template <class Operand>
    static __device__ __forceinline__ void read(uint32_t (&r)[4], const float* tile, int line, int k) {
        const Lane lane;
        UNROLL_ON_GPU for (int i = 0; i < 4; ++i) {
            // Depths t and t + 4 in one register: 2 t and 2 t + 1 would lie in each other's banks.
            const int l = line + lane.g + i % 2 * 8, d = k + lane.t + i / 2 * 8;
            r[i] = pack_bf16(tile[Operand::at(l, d)], tile[Operand::at(l, d + 4)]);
        }
    }
};

// ... or of bfloat16s.
struct Bf16 {
    using Element = bf16;
    static constexpr int depth = 16;

    template <class Operand>
    static __device__ __forceinline__ void read(uint32_t (&r)[4], const bf16* tile, int line, int k) {
        const int lane = int(threadIdx.x) % warpSize;
        // A row of a matrix is what lies side by side: a line's depth, or lines at one depth.
        if constexpr (Operand::side_by_side)
            load_matrices<true>(
                r, tile + Operand::at(line + lane / 8 % 2 * 8, k + lane % 8 + lane / 16 * 8));
        else
            load_matrices<false>(r, tile + Operand::at(line + lane % 16, k + lane / 16 * 8));
    }
};

// c += a b, by the whole warp: kM fragments of A by kN of B, each of two times 8 columns.
#ifdef ALEXNET_RAW_CUDA
template <class Precision, int kM, int kN>
__device__ __forceinline__ void multiply_add(float (&c)[kM][kN][2][4], const uint32_t (&a)[kM][4],
                                             const uint32_t (&b)[kN][4]) {
#define MMA_SYNC(kind, c, a)                                                        \
    asm volatile("mma.sync.aligned." kind                                           \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
    UNROLL for (int i = 0; i < kM; ++i) UNROLL for (int j = 0; j < 2 * kN; ++j) {
        auto& sums = c[i][j / 2][j % 2];
        const uint32_t b0 = b[j / 2][j % 2], b1 = b[j / 2][j % 2 + 2];
        if constexpr (Precision::depth == 8)
            MMA_SYNC("m16n8k8.row.col.f32.tf32.tf32.f32", sums, a[i]);
        else
            MMA_SYNC("m16n8k16.row.col.f32.bf16.bf16.f32", sums, a[i]);
    }
#undef MMA_SYNC
}
#else
template <class Precision, int kM, int kN>
void multiply_add(float (&c)[kM][kN][2][4], const uint32_t (&a)[kM][4], const uint32_t (&b)[kN][4]) {
    struct Operands {
        const uint32_t (*a)[4], (*b)[4];
    };
    const Operands own = {a, b};
    const void* of_lane[32];
    cuda_on_cpu::show_warp(&own, of_lane);
    auto other = [&](int lane) { return static_cast<const Operands*>(of_lane[lane]); };

    // The lane's rows and columns, as floats: a register has one of the depth, or two.
    constexpr int kRows = kM * 2, kColumns = kN * 4, kValues = Precision::depth / 8;
    float rows[Precision::depth][kRows], columns[Precision::depth][kColumns];
    auto value = [](uint32_t bits, int v) {
        bits = kValues == 1 ? bits : v ? bits & 0xFFFF0000u : bits << 16;
        float x;
        memcpy(&x, &bits, 4);
        return x;
    };
    const Lane lane;
    for (int t = 0; t < 4; ++t)
        for (int d = 0; d < 2 * kValues; ++d) {
            const int depth = t * 2 * kValues + d, part = d / kValues, v = d % kValues;
            const auto* of_rows = other(lane.g * 4 + t)->a;
            for (int i = 0; i < kRows; ++i) rows[depth][i] = value(of_rows[i / 2][i % 2 + 2 * part], v);
            for (int q = 0; q < 2; ++q) {
                const auto* of_column = other((2 * lane.t + q) * 4 + t)->b;
                for (int j = 0; j < kN * 2; ++j)
                    columns[depth][q * kN * 2 + j] = value(of_column[j / 2][j % 2 + 2 * part], v);
            }
        }
    for (int i = 0; i < kRows; ++i) {
        float sums[kColumns] = {};
        for (int d = 0; d < Precision::depth; ++d)
            for (int j = 0; j < kColumns; ++j) sums[j] += rows[d][i] * columns[d][j];
        for (int q = 0; q < 2; ++q)
            for (int j = 0; j < kN * 2; ++j)
                c[i / 2][j / 2][j % 2][i % 2 * 2 + q] += sums[q * kN * 2 + j];
    }
    __syncwarp();  // nobody changes its registers before all have read them
}
#endif
