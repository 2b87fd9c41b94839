// The products that the passes of a convolution are, cut into tiles: what conv.cu, conv_mma.cu and
// conv_wgmma.cu share.
#pragma once

#include "../core/launch.h"
#include "conv.h"
#include "epilogue.h"

// A product cut into tiles: rows x columns, `depth` deep, for each group. The first `whole_tiles` of a
// group's tiles have a block each. The depth of the others is cut into `parts` with a block each
// ("split-K"), whose sums go to a workspace; a second launch adds them, in their order.
struct Product {
    int rows, columns, depth, row_tiles, tile_columns, tiles, whole_tiles, parts, part_depth;

    __host__ __device__ int cut_tiles() const { return tiles - whole_tiles; }
};

// With too few tiles for all cores, columns that are pixels come in narrower ones. The tiles that are
// cut are those of the last wave, which would leave multiprocessors idle.
template <class T, class Tile>
Product product_of(int rows, int columns, int depth, int groups, bool are_pixels) {
    constexpr int pass = Tile::pass_columns;
    const int row_tiles = ceil_div(rows, Tile::BM), least = T::least_blocks() / (row_tiles * groups);
    const int narrowed = ceil_div(ceil_div(columns, larger(1, least)), pass) * pass;
    const int tile_columns = are_pixels ? smaller(narrowed, Tile::BN) : Tile::BN;
    const int tiles = row_tiles * ceil_div(columns, tile_columns);
    const int wave = T::wave.tiles(Tile::resident);
    const int last = ceil_div(int(index_t(tiles) * groups % wave), groups);
    const int steps = larger(1, ceil_div(depth, Tile::BK));
    const int wanted = last ? T::wave.parts(last * groups, wave, steps) : 1;
    const int part_depth = ceil_div(steps, wanted) * Tile::BK;
    const int parts = larger(1, ceil_div(depth, part_depth));
    const int whole_tiles = parts == 1 ? tiles : tiles - last;
    return {rows, columns, depth, row_tiles, tile_columns, tiles, whole_tiles, parts, part_depth};
}

// The workspace of a launch, and whether it adds the parts that lie there or computes them.
struct Parts {
    float* memory;
    bool are_added;
};

// The memory that a product's parts need, in floats.
template <class Tile>
index_t parts_size(const Product& p, int groups) {
    return p.parts == 1 ? 0 : index_t(p.cut_tiles()) * p.parts * groups * Tile::BM * Tile::BN;
}

// Runs a pass: start(grid, parts) launches it, a second time if there are parts to add.
template <class T, class Tile, class Start>
void run_product(const Product& p, int groups, float* workspace, const Start& start) {
    constexpr int kAtOnce = 4 * T::items * lane_count<typename T::V>;  // elements that a thread adds
    constexpr int kStrips = ceil_div(Tile::BM * Tile::BN, Tile::threads * kAtOnce);
    const unsigned y = unsigned(groups);
    start(dim3(unsigned(p.whole_tiles + p.cut_tiles() * p.parts), y), Parts{workspace, false});
    if (p.parts > 1) start(dim3(unsigned(p.cut_tiles()), y, kStrips), Parts{workspace, true});
}

// This block's tile: its corner, its extent inside the product, and its part of the depth.
template <class Tile>
struct Corner {
    int m, n, rows, columns, k_begin, k_end;

    __device__ __forceinline__ Corner(const Product& p, const Parts& parts) {
        const int cut_tiles = p.cut_tiles(), block = int(blockIdx.x), cut = block - p.whole_tiles;
        int tile = block, part = 0;
        is_added = parts.are_added;
        is_part = !is_added && cut >= 0;
        if (is_added) tile = p.whole_tiles + block;
        if (is_part) {
            part = cut / cut_tiles;
            tile = p.whole_tiles + cut % cut_tiles;
        }
        m = tile % p.row_tiles * Tile::BM;
        n = tile / p.row_tiles * p.tile_columns;
        rows = smaller(Tile::BM, p.rows - m);
        columns = smaller(p.tile_columns, p.columns - n);
        k_begin = part * p.part_depth;
        k_end = is_part ? smaller(p.depth, k_begin + p.part_depth) : p.depth;
        count = p.parts;
        stride = index_t(cut_tiles) * (Tile::BM * Tile::BN);
        memory = parts.memory;
        first = (int(blockIdx.y) * p.parts + part) * stride +
                index_t(tile - p.whole_tiles) * (Tile::BM * Tile::BN);
    }
    // Rows of A to fill: whole passes of the micro-kernel.
    __device__ __forceinline__ int filled_rows() const {
        return Tile::in_registers ? Tile::BM : ceil_div(rows, Tile::RM) * Tile::RM;
    }
    __device__ __forceinline__ int filled_columns() const {
        return Tile::in_registers ? Tile::BN
                                  : ceil_div(columns, Tile::pass_columns) * Tile::pass_columns;
    }

    // Computes the tile. multiply(put) multiplies this block's share and puts each Values, neighbours
    // of a row or, if kByColumns, of a column; finish(m, n, Values) takes those that are done.
    template <class Values, bool kByColumns = false, class Multiply, class Finish>
    __device__ __forceinline__ void compute(const Multiply& multiply, const Finish& finish) const {
        constexpr int kLine = kByColumns ? Tile::BM : Tile::BN, kCount = lane_count<Values>;
        if (is_added) {
            const int threads = int(blockDim.x * gridDim.z);
            for (int i = int(blockIdx.z * blockDim.x + threadIdx.x); i < Tile::BM * Tile::BN / kCount;
                 i += threads) {
                const int along = i % (kLine / kCount) * kCount, across = i / (kLine / kCount);
                const int y = kByColumns ? along : across, x = kByColumns ? across : along;
                if (y >= rows || x >= columns) continue;
                const float* from = memory + first + across * kLine + along;
                Values sum = load_values<Values>(from);
                for (int part = 1; part < count; ++part)
                    sum += load_values<Values>(from + part * stride);
                finish(y, x, sum);
            }
            return;
        }
        multiply([&](int y, int x, const Values& sum) {
            if (y >= rows || x >= columns) return;
            if (is_part)
                store_values(memory + first + (kByColumns ? x * kLine + y : y * kLine + x), sum);
            else
                finish(y, x, sum);
        });
    }

   private:
    bool is_added, is_part;
    int count;
    float* memory;   // of all parts
    index_t first;   // where this part lies, or the first to add
    index_t stride;  // between parts of a tile
};

// Input pixels whose gradients need the same taps: y = phase mod stride. Among themselves they see a
// convolution of stride 1 with every stride-th tap, so that no step multiplies by a structural zero.
struct Phase {
    int y, x;                      // pixels (y + i * stride, x + j * stride)
    int tap_y, tap_x, taps_width;  // taps (tap_y + i * stride, tap_x + j * stride)
    int origin_y, origin_x;        // where dout's pixel of tap (0, 0) lies for pixel (0, 0)
};

// Rows of P.
inline PatchRows patch_rows(const ConvSize& s) {
    return {s.group_channels() * s.taps(), s.group_channels(), 1, Divisor(s.group_channels()),
            Divisor(s.filter_width)};
}

// The phases of pixels (y, x) mod stride and their products.
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
            const Product product =
                product_of<T, Tile>(s.group_channels(), columns.count, depth, s.groups, true);
            const PatchRows taps = {depth, s.group_filters(), -1, Divisor(padded),
                                    Divisor(larger(1, phase.taps_width))};
            use(phase, product, columns, taps);
        }
}

// The passes over tiles of a kind, and the floats of workspace that they need. start(grid, parts, ...)
// launches a product.
template <class T, class Tile>
struct Passes {
    const ConvSize& s;

    template <class Start>
    void forward(float* workspace, const Start& start) const {
        const Product product = forward_product();
        run_product<T, Tile>(product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
            start(grid, parts, product, out_columns(), patch_rows(s));
        });
    }
    index_t forward_workspace() const { return parts_size<Tile>(forward_product(), s.groups); }

    template <class Start>
    void data(float* workspace, const Start& start) const {
        for_each_phase<T, Tile>(s, [&](const Phase& phase, const Product& product,
                                       const Columns& columns, const PatchRows& taps) {
            run_product<T, Tile>(product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
                start(grid, parts, phase, product, columns, taps);
            });
        });
    }
    index_t data_workspace() const {
        index_t floats = 0;
        for_each_phase<T, Tile>(
            s, [&](const Phase&, const Product& product, const Columns&, const PatchRows&) {
                floats = larger(floats, parts_size<Tile>(product, s.groups));
            });
        return floats;
    }

    // The product's rows are filters, or its columns.
    template <bool kFilterRows, class Start>
    void weights(float* workspace, const Start& start) const {
        const Product product = weights_product<kFilterRows>();
        run_product<T, Tile>(product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
            start(grid, parts, product, out_columns(), patch_rows(s));
        });
    }
    template <bool kFilterRows>
    index_t weights_workspace() const {
        return parts_size<Tile>(weights_product<kFilterRows>(), s.groups);
    }

   private:
    Columns out_columns() const { return {s.images, s.out_height, s.out_width}; }
    Product forward_product() const {
        return product_of<T, Tile>(s.group_filters(), out_columns().count,
                                   s.group_channels() * s.taps(), s.groups, true);
    }
    template <bool kFilterRows>
    Product weights_product() const {
        const int rows = s.group_channels() * s.taps(), filters = s.group_filters();
        return product_of<T, Tile>(kFilterRows ? filters : rows, kFilterRows ? rows : filters,
                                   out_columns().count, s.groups, false);
    }
};
