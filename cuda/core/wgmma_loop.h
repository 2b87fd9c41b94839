// C = A x B on the tensor cores of compute capability 9.0, by tiles: what mma_loop.h does with smaller
// products.
//
// A block computes a BM x BN tile of C. Its warpgroups, M x N of them, have 64 rows and kColumns
// columns each, whose sums stay in registers. One more warp is the producer: a thread of it walks the
// depth in steps of BK and has copies of boxes (tensor_map.h) fill a ring of stages in shared memory.
// Two mbarriers of each stage say that it is full, and that all warps have multiplied it: nobody waits
// for the whole block until the sums are done.
//
// Operands are bfloat16 and lie as their boxes bring them (wgmma.h): of Major::k in BM (BN) lines of 64
// steps, of Major::mn in blocks of BK lines of 64 rows (columns).
#pragma once

#include "launch.h"
#include "mbarrier.h"
#include "platform.h"
#include "run.h"
#include "tensor_map.h"
#include "wgmma.h"

template <int kGroupsM, int kGroupsN, int kColumns, int kDepth, int kStages>
struct WgmmaTile {
    static constexpr int groups_n = kGroupsN, columns = kColumns, stages = kStages;
    static constexpr int BM = 64 * kGroupsM, BN = kColumns * kGroupsN, BK = kDepth;
    static constexpr int consumers = kWarpgroup * kGroupsM * kGroupsN, threads = consumers + 32;
    static constexpr int size_a = BM * BK, size_b = BN * BK;  // of a stage, in numbers
    static constexpr int stage_bytes = (size_a + size_b) * int(sizeof(bf16));
    static constexpr int pitch = BN + 8;  // of the finished tile: lanes write pairs to 32 banks
    static constexpr int unit = 1024;     // stages begin on multiples of it
    static constexpr int shared_bytes =
        unit + larger(stages * stage_bytes, BM * pitch * int(sizeof(float)));
    // What product_of needs to know.
    static constexpr bool in_registers = true;
    static constexpr int L = 1, pass_columns = BN;
    static constexpr int resident = 2 * shared_bytes <= 227 << 10 ? 2 : 1;  // of a multiprocessor
    static_assert(BK % kProductDepth == 0 && size_a % 512 == 0 && size_b % 512 == 0, "whole units");
};

// Two for each stage, at the same place in every kernel that has the loop.
constexpr int kMostStages = 4;
__device__ inline Mbarrier* stage_mbarriers() {
    __shared__ Mbarrier all[2 * kMostStages];
    return all;
}

// Whether the current device has loaded a kernel's code with the loop in it.
template <auto kernel>
bool holds_wgmma_loop() {
#ifdef ALEXNET_RAW_CUDA
    cudaFuncAttributes loaded = {};
    if (cudaFuncGetAttributes(&loaded, kernel) == cudaSuccess) return !is_empty(loaded);
    cudaGetLastError();  // clears it: no code at all
    return false;
#else
    return true;
#endif
}

// Multiplies and hands the result on.
//   load(a, b, full, k)       starts the copies of a step, from depth k on: Tile::stage_bytes in all
//   finish(row, column, Run)  takes elements of C at this place of the tile and the next three columns
template <class Tile, Major kA, Major kB, class Load, class Finish>
__device__ __forceinline__ void wgmma_loop([[maybe_unused]] int k_begin, [[maybe_unused]] int k_end,
                                           [[maybe_unused]] const Load& load,
                                           [[maybe_unused]] const Finish& finish) {
    if constexpr (kHasWgmma) {
        static_assert((kA == Major::mn && kB == Major::mn) || Tile::BK == kBoxLine, "whole lines");
        static_assert(Tile::stages <= kMostStages, "the mbarriers");
        constexpr int kBlockBytes = kBoxLine * Tile::BK * int(sizeof(bf16));
        Mbarrier *full = stage_mbarriers(), *empty = full + Tile::stages;
        char* shared = dynamic_shared<char>();
        shared += (Tile::unit - shared_address(shared) % Tile::unit) % Tile::unit;
        auto tile_a = [&](int stage) {
            return reinterpret_cast<bf16*>(shared + stage * Tile::stage_bytes);
        };
        auto tile_b = [&](int stage) { return tile_a(stage) + Tile::size_a; };
        const int thread = int(threadIdx.x), warp = thread / warpSize, lane = thread % warpSize;
        const bool is_consumer = thread < Tile::consumers;
        const int m0 = warp / 4 / Tile::groups_n * 64, n0 = warp / 4 % Tile::groups_n * Tile::columns;
        if (thread == 0) {
            for (int s = 0; s < Tile::stages; ++s) {
                mbarrier_init(&full[s], 1);
                mbarrier_init(&empty[s], Tile::consumers / warpSize);
            }
            fence_mbarrier_init();
        }
        __syncthreads();

        float sums[Tile::columns / 2] = {};
        int stage = 0, parity = 0;
        auto next_stage = [&] {
            if (++stage == Tile::stages) stage = 0, parity ^= 1;
        };
        if (!is_consumer) {
            if (lane == 0)
                for (int k = k_begin; k < k_end; k += Tile::BK) {
                    mbarrier_wait(&empty[stage], parity ^ 1);
                    mbarrier_arrive_expecting(&full[stage], Tile::stage_bytes);
                    load(tile_a(stage), tile_b(stage), &full[stage], k);
                    next_stage();
                }
            __syncwarp();
        } else {
            int before = 0;
            for (int k = k_begin; k < k_end; k += Tile::BK) {
                mbarrier_wait(&full[stage], parity);
                const uint64_t a = operand_descriptor(tile_a(stage) + m0 * Tile::BK, kBlockBytes),
                               b = operand_descriptor(tile_b(stage) + n0 * Tile::BK, kBlockBytes);
                fence_registers();
                UNROLL_ON_GPU for (int i = 0; i < Tile::BK / kProductDepth; ++i)
                    multiply_async<Tile::columns, kA, kB>(sums, a + unsigned(i) * kDescriptorStep<kA>,
                                                          b + unsigned(i) * kDescriptorStep<kB>);
                commit_products();
                wait_for_products<1>();
                if (k > k_begin && lane == 0) mbarrier_arrive(&empty[before]);
                before = stage;
                next_stage();
            }
            wait_for_products<0>();
        }

        // Through shared memory, from threads' places to memory's order.
        auto* tile = reinterpret_cast<float*>(shared);
        __syncthreads();  // all have multiplied what lies there
        if (is_consumer) {
            UNROLL_ON_GPU for (int i = 0; i < Tile::columns / 4; ++i) {
                const int row = m0 + warp % 4 * 16 + lane / 4 + i % 2 * 8;
                const int column = n0 + i / 2 * 8 + lane % 4 * 2;
                store_run(tile + row * Tile::pitch + column,
                          Run<float, 2>{sums[2 * i], sums[2 * i + 1]});
            }
        }
        __syncthreads();
        constexpr int kFours = Tile::BN / 4, kRowStep = Tile::consumers / kFours;
        static_assert(Tile::consumers % kFours == 0, "threads stay in their columns");
        if (is_consumer) {
            const int column = thread % kFours * 4;
            for (int row = thread / kFours; row < Tile::BM; row += kRowStep)
                finish(row, column, load_run<4>(tile + row * Tile::pitch + column));
        }
    }
}
