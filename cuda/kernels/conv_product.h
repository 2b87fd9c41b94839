// The products that the passes of a convolution are, cut into tiles: what conv.cu and conv_mma.cu
// share.
#pragma once

#include "../core/launch.h"
#include "conv.h"
#include "epilogue.h"
#include "sum_parts.h"

// A product cut into tiles: rows x columns, `depth` deep, for each of `groups`.
struct Product {
    int rows, columns, depth, row_tiles, tile_columns, parts, part_depth;

    int column_tiles() const { return ceil_div(columns, tile_columns); }
};

// With too few tiles for all cores, columns that are pixels come in narrower ones.
template <class T, class Tile>
Product product_of(int rows, int columns, int depth, int groups, bool are_pixels) {
    constexpr int pass = Tile::pass_columns;
    const int row_tiles = ceil_div(rows, Tile::BM), least = T::least_blocks() / (row_tiles * groups);
    const int narrowed = ceil_div(ceil_div(columns, larger(1, least)), pass) * pass;
    const int tile_columns = are_pixels ? smaller(narrowed, Tile::BN) : Tile::BN;
    const int tiles = row_tiles * ceil_div(columns, tile_columns) * groups;
    const int steps = larger(1, ceil_div(depth, Tile::BK));
    const int wanted = larger(1, smaller(steps, T::split_blocks / tiles));
    const int part_depth = ceil_div(steps, wanted) * Tile::BK, parts = ceil_div(depth, part_depth);
    return {rows, columns, depth, row_tiles, tile_columns, larger(1, parts), part_depth};
}

inline LaunchShape product_shape(const Product& p, int groups, int threads, size_t shared_bytes) {
    return {dim3(unsigned(p.row_tiles * p.column_tiles()), unsigned(groups), unsigned(p.parts)),
            dim3(unsigned(threads)), shared_bytes};
}

// This block's tile: its corner, its extent inside the product, and its part of the depth.
template <class Tile>
struct Corner {
    int m, n, rows, columns, k_begin, k_end;

    __device__ __forceinline__ explicit Corner(const Product& p) {
        const int tile = int(blockIdx.x);
        m = tile % p.row_tiles * Tile::BM;
        n = tile / p.row_tiles * p.tile_columns;
        rows = smaller(Tile::BM, p.rows - m);
        columns = smaller(p.tile_columns, p.columns - n);
        k_begin = int(blockIdx.z) * p.part_depth;
        k_end = smaller(p.depth, k_begin + p.part_depth);
    }
    // Rows of A to fill: whole passes of the micro-kernel.
    __device__ __forceinline__ int filled_rows() const {
        return Tile::in_registers ? Tile::BM : ceil_div(rows, Tile::RM) * Tile::RM;
    }
    __device__ __forceinline__ int filled_columns() const {
        return Tile::in_registers ? Tile::BN
                                  : ceil_div(columns, Tile::pass_columns) * Tile::pass_columns;
    }
};

// Input pixels whose gradients need the same taps: y = phase mod stride. Among themselves they see a
// convolution of stride 1 with every stride-th tap, so that no step multiplies by a structural zero.
struct Phase {
    int y, x;                      // pixels (y + i * stride, x + j * stride)
    int tap_y, tap_x, taps_width;  // taps (tap_y + i * stride, tap_x + j * stride)
    int origin_y, origin_x;        // where dout's pixel of tap (0, 0) lies for pixel (0, 0)
};

// Runs a pass: straight into `out`, or part by part into `workspace` and from there. `start(to,
// part_stride, epilogue)` launches it.
template <class Out, class Start>
void run_product(const Product& p, Out* out, float* workspace, int out_rows, int out_columns,
                 const Epilogue& epilogue, Stream stream, const Start& start) {
    if (p.parts == 1) return start(out, index_t(0), epilogue);
    start(workspace, index_t(out_rows) * out_columns, Epilogue{false, nullptr, kIdent});
    sum_parts(out, workspace, p.parts, out_rows, out_columns, epilogue, stream);
}

// Rows of P.
inline PatchRows patch_rows(const ConvSize& s) {
    return {s.group_channels() * s.taps(), s.group_channels(), 1, Divisor(s.group_channels()),
            Divisor(s.filter_width)};
}

// The phase of pixels (y, x) mod stride and its product; no parts where there are several phases, since
// a phase writes scattered pixels (and several phases fill a GPU).
template <class T, class Tile, class Use>
void for_each_phase(const ConvSize& s, const Use& use) {
    for (int y = 0; y < smaller(s.stride, s.height); ++y)
        for (int x = 0; x < smaller(s.stride, s.width); ++x) {
            const int from_y = y + s.padding, from_x = x + s.padding;
            Phase phase = {
                y, x, from_y % s.stride, from_x % s.stride, 0, from_y / s.stride, from_x / s.stride};
            const int taps_height = ceil_div(larger(0, s.filter_height - phase.tap_y), s.stride);
            phase.taps_width = ceil_div(larger(0, s.filter_width - phase.tap_x), s.stride);
            const int padded = ceil_div(s.group_filters(), Tile::L) * Tile::L;
            const int depth = taps_height * phase.taps_width * padded;
            const Columns columns(s.images, ceil_div(s.height - y, s.stride),
                                  ceil_div(s.width - x, s.stride));
            Product product =
                product_of<T, Tile>(s.group_channels(), columns.count, depth, s.groups, true);
            if (s.stride > 1) {
                product.parts = 1;
                product.part_depth = depth;
            }
            const PatchRows taps = {depth, s.group_filters(), -1, Divisor(padded),
                                    Divisor(larger(1, phase.taps_width))};
            use(phase, product, columns, taps);
        }
}
