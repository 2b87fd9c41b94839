// C = A x B on tensor cores, by tiles: what tile_loop.h does with multiply-adds of single floats.
//
// A block computes a BM x BN tile of C, each of its warps a WM x WN part, whose sums stay in registers.
// It walks the depth in steps of BK through a ring of stages in shared memory: while the warps multiply
// one, copies fill the next ones (async_copy.h). Operands lie there as float32, as their loaders find
// them in memory: with their lines (rows of A, columns of B) side by side, or each line's depth. A lane
// rounds what it reads to the precision of the product (mma.h).
#pragma once

#include "async_copy.h"
#include "mma.h"
#include "platform.h"

// An operand's share of a stage. Its pitch makes the 32 floats that a warp reads lie in 32 banks.
template <int kLines, int kDepth, bool kSideBySide>
struct OperandTile {
    static constexpr int pitch = kSideBySide ? kLines + 8 : kDepth + 4;
    static constexpr int floats = pitch * (kSideBySide ? kDepth : kLines);
    static_assert(kSideBySide ? pitch % 16 == 8 : pitch % 8 == 4, "reads collide in banks");

    static __device__ __forceinline__ constexpr int at(int line, int k) {
        return kSideBySide ? k * pitch + line : line * pitch + k;
    }
};

// Warps are kWarpsM x kWarpsN, each with kRows x 16 rows and kColumns x 8 columns.
template <int kWarpsM, int kWarpsN, int kRows, int kColumns, int kDepth, int kStages>
struct MmaTile {
    static constexpr int L = 1;  // lanes of its loaders, as in tuning.h
    static constexpr int fragments_m = kRows, fragments_n = kColumns;
    static constexpr int WM = 16 * kRows, WN = 8 * kColumns, warps_m = kWarpsM, warps_n = kWarpsN;
    static constexpr int BM = kWarpsM * WM, BN = kWarpsN * WN, BK = kDepth, stages = kStages;
    static constexpr int threads = 32 * kWarpsM * kWarpsN;
    static constexpr bool in_registers = true;
    static constexpr int pass_columns = BN;

    template <bool kSideBySide>
    using A = OperandTile<BM, BK, kSideBySide>;
    template <bool kSideBySide>
    using B = OperandTile<BN, BK, kSideBySide>;
    // Of the stages, whichever way the operands lie.
    static constexpr int shared_bytes =
        stages * int(sizeof(float)) *
        (larger(A<false>::floats, A<true>::floats) + larger(B<false>::floats, B<true>::floats));
};

// Multiplies and hands the result on.
//   load_a(a, k), load_b(b, k)          start the copies of a step, from depth k on; zeros outside
//   finish(row, column, value)          takes the element of C at this place of the tile
// Neighbouring threads finish neighbours of a row or, if kByColumns, of a column.
template <class Precision, class Tile, class A, class B, bool kByColumns, class LoadA, class LoadB,
          class Finish>
__device__ __forceinline__ void mma_loop(int k_begin, int k_end, const LoadA& load_a,
                                         const LoadB& load_b, const Finish& finish) {
    constexpr int kStep = kSliceDepth * Precision::slices;
    static_assert(Tile::BK % kStep == 0, "whole products");
    float* shared = dynamic_shared<float>();
    auto tile_a = [&](int stage) { return shared + stage * (A::floats + B::floats); };
    auto tile_b = [&](int stage) { return tile_a(stage) + A::floats; };
    auto load = [&](int stage, int k) {
        if (k < k_end) {
            load_a(tile_a(stage), k);
            load_b(tile_b(stage), k);
        }
        commit_copies();
    };
    const Lane lane;
    const int warp = int(threadIdx.x) / warpSize;
    const int m0 = warp / Tile::warps_n * Tile::WM, n0 = warp % Tile::warps_n * Tile::WN;

    float sums[Tile::fragments_m][Tile::fragments_n][4] = {};
    for (int s = 0; s < Tile::stages - 1; ++s) load(s, k_begin + s * Tile::BK);
    int stage = 0;
    for (int k = k_begin; k < k_end; k += Tile::BK) {
        wait_for_copies<Tile::stages - 2>();
        __syncthreads();  // this stage is filled, and all have read the one that is filled next
        const int ahead = (stage + Tile::stages - 1) % Tile::stages;
        load(ahead, k + (Tile::stages - 1) * Tile::BK);
        const float *a = tile_a(stage), *b = tile_b(stage);
        UNROLL_ON_GPU for (int kk = 0; kk < Tile::BK; kk += kStep) {
            uint32_t bf[Tile::fragments_n][2];
            UNROLL_ON_GPU for (int j = 0; j < Tile::fragments_n; ++j) {
                float x[Precision::slices][2];
                UNROLL_ON_GPU for (int s = 0; s < Precision::slices; ++s)
                    UNROLL_ON_GPU for (int i = 0; i < 2; ++i) x[s][i] =
                        b[B::at(n0 + j * 8 + lane.g, kk + s * kSliceDepth + lane.t + 4 * i)];
                Precision::make_b(bf[j], x);
            }
            UNROLL_ON_GPU for (int i = 0; i < Tile::fragments_m; ++i) {
                float x[Precision::slices][4];
                UNROLL_ON_GPU for (int s = 0; s < Precision::slices; ++s)
                    UNROLL_ON_GPU for (int r = 0; r < 4; ++r) x[s][r] = a[A::at(
                        m0 + i * 16 + lane.g + r % 2 * 8, kk + s * kSliceDepth + lane.t + r / 2 * 4)];
                uint32_t af[4];
                Precision::make_a(af, x);
                UNROLL_ON_GPU for (int j = 0; j < Tile::fragments_n; ++j)
                    multiply_add<Precision>(sums[i][j], af, bf[j]);
            }
        }
        stage = (stage + 1) % Tile::stages;
    }

    // Through shared memory, 16 rows of each warp at a time: from lanes' places to memory's order.
    constexpr int kRows = 16 * Tile::warps_m, kPitch = Tile::BN + 4;
    static_assert(kRows * kPitch <= Tile::stages * (A::floats + B::floats), "the stages' memory");
    UNROLL_ON_GPU for (int i = 0; i < Tile::fragments_m; ++i) {
        __syncthreads();  // all have read what lies there
        UNROLL_ON_GPU for (int j = 0; j < Tile::fragments_n; ++j)
            UNROLL_ON_GPU for (int r = 0; r < 4; ++r)
                shared[(m0 / Tile::WM * 16 + lane.g + r / 2 * 8) * kPitch + n0 + j * 8 + 2 * lane.t +
                       r % 2] = sums[i][j][r];
        __syncthreads();
        for (int e = int(threadIdx.x); e < kRows * Tile::BN; e += Tile::threads) {
            const int row = kByColumns ? e % kRows : e / Tile::BN;
            const int column = kByColumns ? e / kRows : e % Tile::BN;
            finish(row / 16 * Tile::WM + i * 16 + row % 16, column, shared[row * kPitch + column]);
        }
    }
}
