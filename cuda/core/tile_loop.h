// C = A x B by tiles: the inner loops that every convolution and fully-connected pass shares.
//
// A block computes a BM x BN tile of C. It walks the depth K in steps of BK: all threads fill shared
// tiles of A and B, wait, multiply, wait. On a GPU a thread keeps its 8 x 8 accumulators in registers
// and the tiles in shared memory. On a CPU a block is one thread: the shared tiles are the packed
// panels of a BLIS-style product, in the core's second-level cache, and the register tile is its
// micro-kernel.
//
// B lies in shared memory as Bs[k][n]. A lies in panels, [m / panel][k][m % panel]. On a GPU, whose
// threads read runs of rows, the tile is one panel. On a CPU, whose micro-kernel reads single floats of
// A, a panel is one row or, if A comes with its rows side by side, as many as a pass has.
#pragma once

#include "lanes.h"
#include "platform.h"
#include "run.h"
#include "tuning.h"

// Where element (m, k) of the shared A tile lies.
template <class Tile>
__device__ __forceinline__ constexpr int a_index(int m, int k) {
    return m / Tile::panel * Tile::panel_stride + k * Tile::step_a + m % Tile::panel;
}

// Where row i (of TM) and column group j (of TN / L) of a thread lie within the block's tile, seen from
// its first ones.
template <class Tile>
__device__ __forceinline__ constexpr int row_from_first(int i) {
    return i / Tile::CM * (Tile::CM * Tile::TY) + i % Tile::CM;
}

template <class Tile>
__device__ __forceinline__ constexpr int column_from_first(int j) {
    return (j / Tile::CN * (Tile::CN * Tile::TX) + j % Tile::CN) * Tile::L;
}

// The same within the tile, for the calling thread.
template <class Tile>
__device__ __forceinline__ int row_of(int i) {
    const int ty = Tile::threads == 1 ? 0 : int(threadIdx.x) / Tile::TX;
    return ty * Tile::CM + row_from_first<Tile>(i);
}

template <class Tile>
__device__ __forceinline__ int column_of(int j) {
    const int tx = Tile::threads == 1 ? 0 : int(threadIdx.x) % Tile::TX;
    return tx * (Tile::CN * Tile::L) + column_from_first<Tile>(j);
}

// r += A[rows of pass pm] x B[columns of pass pn], `depth` deep; of the pass's columns only the first
// kGroups lane groups.
template <class Tile, int kGroups>
__device__ __forceinline__ void multiply_pass(typename Tile::V (&r)[Tile::RM][kGroups], const float* a,
                                              const float* b, int pm, int pn, int depth) {
    using V = typename Tile::V;
    static_assert(kGroups % Tile::CN == 0, "whole runs");
    a += a_index<Tile>(row_of<Tile>(pm * Tile::RM), 0);
    b += column_of<Tile>(pn * Tile::RN);

    auto step = [&](int k) {
        V bv[kGroups];
        UNROLL for (int j = 0; j < kGroups; j += Tile::CN) {
            const float* from = b + k * Tile::stride_b + column_from_first<Tile>(j);
            if constexpr (Tile::CN == 1) {
                bv[j] = load<V>(from);
            } else {
                const auto run = *reinterpret_cast<const Run<V, Tile::CN>*>(from);
                UNROLL for (int c = 0; c < Tile::CN; ++c) bv[j + c] = run.v[c];
            }
        }
        UNROLL for (int i = 0; i < Tile::RM; i += Tile::CM) {
            const float* from = a + a_index<Tile>(row_from_first<Tile>(i), k);
            const auto run = *reinterpret_cast<const Run<float, Tile::CM>*>(from);
            UNROLL for (int c = 0; c < Tile::CM; ++c) UNROLL for (int j = 0; j < kGroups; ++j)
                r[i + c][j] += run.v[c] * bv[j];
        }
    };
    if constexpr (Tile::in_registers) {
        UNROLL for (int k = 0; k < Tile::BK; ++k) step(k);
    } else {
        for (int k = 0; k < depth; ++k) step(k);
    }
}

// Multiplies and hands the result on. `rows` and `columns` say how much of the tile lies inside C.
//   load_a(a, k, depth), load_b(b, k, depth): fill `depth` steps from step k on; zeros outside the
//   matrix finish(row, column, value): takes the lane group of C at this place of the tile
template <class Tile, class LoadA, class LoadB, class Finish>
__device__ __forceinline__ void tile_loop(int rows, int columns, int k_begin, int k_end,
                                          const LoadA& load_a, const LoadB& load_b,
                                          const Finish& finish) {
    using V = typename Tile::V;
    float* a = dynamic_shared<float>();
    float* b = a + Tile::size_a;
    const int passes_m = Tile::in_registers ? 1 : smaller(Tile::passes_m, ceil_div(rows, Tile::RM));
    const int passes_n =
        Tile::in_registers ? 1 : smaller(Tile::passes_n, ceil_div(columns, Tile::RN * Tile::L));

    V sums[Tile::passes_n][Tile::passes_m][Tile::RM][Tile::RN];
    for (int pn = 0; pn < passes_n; ++pn)
        for (int pm = 0; pm < passes_m; ++pm) {
            UNROLL for (int i = 0; i < Tile::RM; ++i) UNROLL for (int j = 0; j < Tile::RN; ++j)
                sums[pn][pm][i][j] = splat<V>(0.f);
        }

    for (int k = k_begin; k < k_end; k += Tile::BK) {
        const int depth = Tile::in_registers ? Tile::BK : smaller(Tile::BK, k_end - k);
        load_a(a, k, depth);
        load_b(b, k, depth);
        __syncthreads();
        auto pass = [&](int pm, int pn, auto groups) {
            constexpr int kGroups = decltype(groups)::value;
            V r[Tile::RM][kGroups];  // in registers; sums[][] of several passes is in memory
            UNROLL for (int i = 0; i < Tile::RM; ++i) UNROLL for (int j = 0; j < kGroups; ++j) r[i][j] =
                sums[pn][pm][i][j];
            multiply_pass<Tile>(r, a, b, pm, pn, depth);
            UNROLL for (int i = 0; i < Tile::RM; ++i) UNROLL for (int j = 0; j < kGroups; ++j)
                sums[pn][pm][i][j] = r[i][j];
        };
        for (int pn = 0; pn < passes_n; ++pn)
            for (int pm = 0; pm < passes_m; ++pm) {
                if constexpr (!Tile::in_registers)
                    if (columns <= (pn * Tile::RN + 1) * Tile::L) {  // the last ones: one lane group
                        pass(pm, pn, std::integral_constant<int, 1>());
                        continue;
                    }
                pass(pm, pn, std::integral_constant<int, Tile::RN>());
            }
        __syncthreads();
    }

    for (int pm = 0; pm < passes_m; ++pm) {
        UNROLL_ON_GPU for (int i = 0; i < Tile::RM; ++i) {
            const int row = row_of<Tile>(pm * Tile::RM + i);
            if (row >= rows) continue;
            for (int pn = 0; pn < passes_n; ++pn) {
                UNROLL_ON_GPU for (int j = 0; j < Tile::RN; ++j) {
                    const int column = column_of<Tile>(pn * Tile::RN + j);
                    if (column < columns) finish(row, column, sums[pn][pm][i][j]);
                }
            }
        }
    }
}
