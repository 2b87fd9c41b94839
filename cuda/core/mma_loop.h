// C = A x B on tensor cores, by tiles: what tile_loop.h does with multiply-adds of single floats.
//
// A block computes a BM x BN tile of C, each of its warps a WM x WN part, whose sums stay in registers.
// It walks the depth in steps of BK through a ring of stages in shared memory: while the warps multiply
// one, copies fill the next ones (async_copy.h). Operands lie there as their loaders find them in
// memory: as float32 or bfloat16, and with their lines (rows of A, columns of B) side by side, or each
// line's depth. Fragments are read from there in the precision of the product (mma.h).
#pragma once

#include "async_copy.h"
#include "mma.h"
#include "platform.h"
#include "run.h"

// An operand's share of a stage. By its pitch what a warp reads at once lies in all 32 banks: 32
// floats, or of bfloat16s 8 times 16 bytes.
template <class E, int kLines, int kDepth, bool kSideBySide>
struct OperandTile {
    static constexpr bool side_by_side = kSideBySide, is_float = sizeof(E) == 4;
    static constexpr int pitch = kSideBySide ? kLines + 8 : kDepth + (is_float ? 4 : 8);
    static constexpr int size = pitch * (kSideBySide ? kDepth : kLines);
    static_assert(is_float && !kSideBySide ? pitch % 8 == 4 : pitch % 16 == 8,
                  "reads collide in banks");

    static __device__ __forceinline__ constexpr int at(int line, int k) {
        return kSideBySide ? k * pitch + line : line * pitch + k;
    }
};

// Warps are kWarpsM x kWarpsN, each with kRows x kColumns fragments of 16 rows and 16 columns.
template <class E, int kWarpsM, int kWarpsN, int kRows, int kColumns, int kStages>
struct MmaTile {
    using Element = E;
    static constexpr int L = 1;  // lanes of its loaders, as in tuning.h
    static constexpr int fragments_m = kRows, fragments_n = kColumns;
    static constexpr int WM = 16 * kRows, WN = 16 * kColumns, warps_m = kWarpsM, warps_n = kWarpsN;
    static constexpr int BM = kWarpsM * WM, BN = kWarpsN * WN, BK = 64 / int(sizeof(E));
    static constexpr int stages = kStages, threads = 32 * kWarpsM * kWarpsN;
    static constexpr int resident = kRows < 4 ? 3 : 2;  // blocks of a multiprocessor, by its registers
    static constexpr bool in_registers = true;
    static constexpr int pass_columns = BN;

    template <bool kSideBySide>
    using A = OperandTile<E, BM, BK, kSideBySide>;
    template <bool kSideBySide>
    using B = OperandTile<E, BN, BK, kSideBySide>;
    // Of the stages, whichever way the operands lie.
    static constexpr int shared_bytes =
        stages * int(sizeof(E)) *
        (larger(A<false>::size, A<true>::size) + larger(B<false>::size, B<true>::size));
};

// Multiplies and hands the result on.
//   load_a(a, k), load_b(b, k)          start the copies of a step, from depth k on; zeros outside
//   finish(row, column, Run)            takes kRun neighbours of C from this place of the tile on
// They are neighbours of a row or, if kByColumns, of a column; so are those of neighbouring threads.
template <class Precision, class Tile, class A, class B, bool kByColumns, int kRun, class LoadA,
          class LoadB, class Finish>
__device__ __forceinline__ void mma_loop([[maybe_unused]] int k_begin, [[maybe_unused]] int k_end,
                                         [[maybe_unused]] const LoadA& load_a,
                                         [[maybe_unused]] const LoadB& load_b,
                                         [[maybe_unused]] const Finish& finish) {
    if constexpr (kHasMma) {
        using E = typename Precision::Element;
        static_assert(Tile::BK % Precision::depth == 0, "whole products");
        E* stages = dynamic_shared<E>();
        auto tile_a = [&](int stage) { return stages + stage * (A::size + B::size); };
        auto tile_b = [&](int stage) { return tile_a(stage) + A::size; };
        auto load = [&](int stage, int k) {
            if (k < k_end) {
                load_a(tile_a(stage), k);
                load_b(tile_b(stage), k);
            }
            commit_copies();
        };
        const int warp = int(threadIdx.x) / warpSize;
        const int m0 = warp / Tile::warps_n * Tile::WM, n0 = warp % Tile::warps_n * Tile::WN;

        float sums[Tile::fragments_m][Tile::fragments_n][2][4] = {};
        for (int s = 0; s < Tile::stages - 1; ++s) load(s, k_begin + s * Tile::BK);
        int stage = 0;
        for (int k = k_begin; k < k_end; k += Tile::BK) {
            wait_for_copies<Tile::stages - 2>();
            __syncthreads();  // this stage is filled, and all have read the one that is filled next
            const int ahead = (stage + Tile::stages - 1) % Tile::stages;
            load(ahead, k + (Tile::stages - 1) * Tile::BK);
            const E *a = tile_a(stage), *b = tile_b(stage);
            UNROLL_ON_GPU for (int kk = 0; kk < Tile::BK; kk += Precision::depth) {
                uint32_t af[Tile::fragments_m][4], bf[Tile::fragments_n][4];
                UNROLL_ON_GPU for (int j = 0; j < Tile::fragments_n; ++j)
                    Precision::template read<B>(bf[j], b, n0 + j * 16, kk);
                UNROLL_ON_GPU for (int i = 0; i < Tile::fragments_m; ++i)
                    Precision::template read<A>(af[i], a, m0 + i * 16, kk);
                multiply_add<Precision>(sums, af, bf);
            }
            stage = (stage + 1) % Tile::stages;
        }

        // Through shared memory, 16 rows of each warp at a time: from lanes' places to memory's order.
        constexpr int kRows = 16 * Tile::warps_m, kPitch = Tile::BN + 4;
        static_assert(
            kRows * kPitch * int(sizeof(float)) <= Tile::stages * (A::size + B::size) * int(sizeof(E)),
            "the stages' memory");
        float* shared = dynamic_shared<float>();
        const Lane lane;
        UNROLL_ON_GPU for (int i = 0; i < Tile::fragments_m; ++i) {
            __syncthreads();  // all have read what lies there
            UNROLL_ON_GPU for (int j = 0; j < Tile::fragments_n; ++j)
                UNROLL_ON_GPU for (int r = 0; r < 8; ++r)
                    shared[(m0 / Tile::WM * 16 + lane.g + r / 2 % 2 * 8) * kPitch + n0 + j * 16 +
                           r / 4 * 8 + 2 * lane.t + r % 2] = sums[i][j][r / 4][r % 4];
            __syncthreads();
            for (int e = int(threadIdx.x); e < kRows * Tile::BN / kRun; e += Tile::threads) {
                constexpr int kRuns = (kByColumns ? kRows : Tile::BN) / kRun;
                const int along = e % kRuns * kRun, across = e / kRuns;
                const int row = kByColumns ? along : across, column = kByColumns ? across : along;
                const float* from = shared + row * kPitch + column;
                Run<float, kRun> run;
                if constexpr (kByColumns)
                    UNROLL for (int x = 0; x < kRun; ++x) run.v[x] = from[x * kPitch];
                else
                    run = load_run<kRun>(from);
                finish(row / 16 * Tile::WM + i * 16 + row % 16, column, run);
            }
        }
    }
}
