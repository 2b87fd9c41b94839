// Convolution and its two gradients, as implicit matrix products over tiles (conv.h, tile_loop.h); or,
// where that is faster, by Winograd's algorithm (winograd.cu) or for few images (few_images.cu).
//
//   inp      (channels, height, width, images)
//   weights  (channels / groups, filter_height, filter_width, filters)
//   out      (filters, out_height, out_width, images)
//
//   forward           out = f([out +] weights * inp + bias)         paper section 3.5
//   backward_data     dinp = [dinp +] weights^T * dout
//   backward_weights  dweights = [dweights +] inp * dout
//
// Thread map: a block has one tile of one group's product; blockIdx = (tile, group, part of the depth).
// Where a product has too few tiles to fill a GPU its depth is cut into parts ("split-K"), whose sums
// a second kernel adds in a fixed order (sum_parts.cu). Filter group g sees channel group g only
// (section 3.2).
#include "conv.h"

#include "../core/launch.h"
#include "../core/tile_loop.h"
#include "epilogue.h"
#include "few_images.h"
#include "ops.h"
#include "sum_parts.h"
#include "winograd.h"

namespace {

// A product cut into tiles: rows x columns, `depth` deep, for each of `groups`.
struct Product {
    int rows, columns, depth, row_tiles, tile_columns, parts, part_depth;

    int column_tiles() const { return ceil_div(columns, tile_columns); }
};

// With too few tiles for all cores, columns that are pixels come in narrower ones.
template <class T>
Product product_of(int rows, int columns, int depth, int groups, bool are_pixels) {
    using Tile = typename T::Conv;
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

template <class T>
LaunchShape product_shape(const Product& p, int groups) {
    using Tile = typename T::Conv;
    return {dim3(unsigned(p.row_tiles * p.column_tiles()), unsigned(groups), unsigned(p.parts)),
            dim3(Tile::threads), size_t(Tile::shared_bytes)};
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

template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    conv_forward_kernel(float* out, index_t part_stride, const float* inp, const float* weights,
                        ConvSize s, Product product, Columns columns, PatchRows taps,
                        Epilogue epilogue) {
    using Tile = typename T::Conv::InPanels;
    using V = typename Tile::V;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y);
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;

    const Pictures pictures = {inp + index_t(group) * group_channels * s.height * s.width * s.images,
                               s.height, s.width, s.images};
    const PatchTile<V, Tile::threads, Tile::BN, Tile::in_registers> patches(
        pictures, columns, tile.n, s.stride, -s.padding, -s.padding, tile.filled_columns());
    // Row (tap, c) of A is row (c, tap) of the weights.
    const int tap_count = s.filter_height * s.filter_width;
    const float* filters = weights + group * group_filters + tile.m;
    auto load_a = [&](float* a, int k0, int depth) {
        load_panels<Tile>(a, depth, tile.rows, tile.filled_rows(), [&](int k) {
            const PatchRow row = taps(k0 + k);
            const index_t at = index_t(row.channel * tap_count + row.tap) * s.filters;
            return k0 + k < tile.k_end ? filters + at : nullptr;
        });
    };
    auto load_b = [&](float* b, int k0, int depth) {
        patches.load_rows(taps, k0, depth,
                          [&](int k, int n, V v) { store(b + k * Tile::stride_b + n, v); });
    };
    const int plane = columns.count;
    float* to = out + blockIdx.z * part_stride + index_t(group) * group_filters * plane;
    tile_loop<Tile>(tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b,
                    [&](int m, int n, V sum) {
                        const int row = tile.m + m, count = tile.columns - n;
                        float* p = to + index_t(row) * plane + tile.n + n;
                        store(p, epilogue(sum, p, count, group * group_filters + row), count);
                    });
}

// Input pixels whose gradients need the same taps: y = phase mod stride. Among themselves they see a
// convolution of stride 1 with every stride-th tap, so that no step multiplies by a structural zero.
struct Phase {
    int y, x;                      // pixels (y + i * stride, x + j * stride)
    int tap_y, tap_x, taps_width;  // taps (tap_y + i * stride, tap_x + j * stride)
    int origin_y, origin_x;        // where dout's pixel of tap (0, 0) lies for pixel (0, 0)
};

template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    conv_backward_data_kernel(float* dinp, index_t part_stride, const float* dout, const float* weights,
                              ConvSize s, Phase phase, Product product, Columns columns, PatchRows taps,
                              Epilogue epilogue) {
    using Tile = typename T::Conv;
    using V = typename Tile::V;
    using WeightsWalk = TileWalk<Tile::L, Tile::threads, Tile::BK>;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y);
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;
    const int filter_size = s.filter_height * s.filter_width * s.filters;

    const Pictures gradients = {
        dout + index_t(group) * group_filters * s.out_height * s.out_width * s.images, s.out_height,
        s.out_width, s.images};
    const PatchTile<V, Tile::threads, Tile::BN, Tile::in_registers> patches(
        gradients, columns, tile.n, 1, phase.origin_y, phase.origin_x, tile.filled_columns());
    // Row c of A is channel c's weights, (ky, kx, f): contiguous over the filters of a tap.
    auto load_a = [&](float* a, int k0, int) {
        int from[WeightsWalk::per_thread], count[WeightsWalk::per_thread];
        UNROLL for (int j = 0; j < WeightsWalk::per_thread; ++j) {
            const int k = k0 + WeightsWalk::column(j);
            const int tap = taps.padded_channels.quotient(k), ty = taps.width.quotient(tap);
            const int tx = taps.width.remainder(tap, ty), f = taps.padded_channels.remainder(k, tap);
            const int ky = phase.tap_y + ty * s.stride, kx = phase.tap_x + tx * s.stride;
            from[j] = (ky * s.filter_width + kx) * s.filters + group * group_filters + f;
            count[j] = k < tile.k_end ? larger(0, group_filters - f) : 0;
        }
        for (int m = WeightsWalk::first_row(); m < tile.filled_rows(); m += WeightsWalk::row_step) {
            const float* row = weights + index_t(tile.m + m) * filter_size;
            UNROLL for (int j = 0; j < WeightsWalk::per_thread; ++j)
                store(a + a_index<Tile>(m, WeightsWalk::column(j)),
                      load<V>(row + from[j], m < tile.rows ? count[j] : 0));
        }
    };
    auto load_b = [&](float* b, int k0, int depth) {
        patches.load_rows(taps, k0, depth,
                          [&](int k, int n, V v) { store(b + k * Tile::stride_b + n, v); });
    };
    float* to = dinp + blockIdx.z * part_stride +
                index_t(group) * group_channels * s.height * s.width * s.images;
    const Pictures phases = {to, s.height, s.width, s.images};
    tile_loop<Tile>(tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b,
                    [&](int m, int n, V sum) {
                        float* channel = to + index_t(tile.m + m) * phases.plane();
                        const int count = tile.columns - n;
                        if (s.stride == 1) {
                            float* p = channel + tile.n + n;
                            return store(p, epilogue(sum, p, count, 0), count);
                        }
                        const Places<V> at(columns, tile.n + n, phases, s.stride, phase.y, phase.x);
                        for (int i = 0; i < smaller(Tile::L, count); ++i) {
                            float* p = channel + (at.is_run ? at.offset + i : lane(at.offsets, i));
                            store(p, epilogue(lane(sum, i), p, 1, 0));
                        }
                    });
}

template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    conv_backward_weights_kernel(float* dweights, index_t part_stride, const float* inp,
                                 const float* dout, ConvSize s, Product product, Columns columns,
                                 PatchRows taps, Epilogue epilogue) {
    using Tile = typename T::Conv;
    using V = typename Tile::V;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y), out_plane = s.out_height * s.out_width * s.images;
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;

    const Pictures pictures = {inp + index_t(group) * group_channels * s.height * s.width * s.images,
                               s.height, s.width, s.images};
    const float* gradients = dout + index_t(group * group_filters + tile.n) * out_plane;
    auto load_a = [&](float* a, int k0, int depth) {
        const PatchTile<V, Tile::threads, Tile::BK, Tile::in_registers> patches(
            pictures, columns, k0, s.stride, -s.padding, -s.padding, depth);
        patches.load_rows(taps, tile.m, tile.filled_rows(),
                          [&](int m, int k, V v) { store(a + a_index<Tile>(m, k), v); });
    };
    // dout has images contiguous and B wants filters so: squares are transposed in registers.
    auto load_b = [&](float* b, int k0, int depth) {
        load_transposed<V, Tile::threads, Tile::BK>(
            tile.filled_columns(), tile.k_end - k0, Tile::in_registers ? Tile::BK : depth,
            [&](int f) { return f < tile.columns ? gradients + index_t(f) * out_plane + k0 : nullptr; },
            [&](int k, int f, V v) { store(b + k * Tile::stride_b + f, v); });
    };
    const int tap_count = s.filter_height * s.filter_width;
    float* to = dweights + blockIdx.z * part_stride + group * group_filters;
    tile_loop<Tile>(
        tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b, [&](int m, int n, V sum) {
            const PatchRow row = taps(tile.m + m);
            float* p = to + index_t(row.channel * tap_count + row.tap) * s.filters + tile.n + n;
            const int count = tile.columns - n;
            store(p, epilogue(sum, p, count, 0), count);
        });
}

// Runs a pass: straight into `out`, or part by part into `workspace` and from there. `start(shape, to,
// part_stride, epilogue)` launches it.
template <class T, class Start>
void run_product(const Product& p, int groups, float* out, float* workspace, int out_rows,
                 int out_columns, const Epilogue& epilogue, Stream stream, const Start& start) {
    const LaunchShape shape = product_shape<T>(p, groups);
    if (p.parts == 1) return start(shape, out, index_t(0), epilogue);
    start(shape, workspace, index_t(out_rows) * out_columns, Epilogue{false, nullptr, kIdent});
    sum_parts(out, workspace, p.parts, out_rows, out_columns, epilogue, stream);
}

template <class T>
Product forward_product(const ConvSize& s, const Columns& columns) {
    return product_of<T>(s.group_filters(), columns.count, s.group_channels() * s.taps(), s.groups,
                         true);
}

template <class T>
Product weights_product(const ConvSize& s, const Columns& columns) {
    return product_of<T>(s.group_channels() * s.taps(), s.group_filters(), columns.count, s.groups,
                         false);
}

// Rows of P.
PatchRows patch_rows(const ConvSize& s) {
    return {s.group_channels() * s.taps(), s.group_channels(), 1, Divisor(s.group_channels()),
            Divisor(s.filter_width)};
}

// The phase of pixels (y, x) mod stride and its product; no parts where there are several phases, since
// a phase writes scattered pixels (and several phases fill a GPU).
template <class T, class Use>
void for_each_phase(const ConvSize& s, const Use& use) {
    for (int y = 0; y < smaller(s.stride, s.height); ++y)
        for (int x = 0; x < smaller(s.stride, s.width); ++x) {
            const int from_y = y + s.padding, from_x = x + s.padding;
            Phase phase = {
                y, x, from_y % s.stride, from_x % s.stride, 0, from_y / s.stride, from_x / s.stride};
            const int taps_height = ceil_div(larger(0, s.filter_height - phase.tap_y), s.stride);
            phase.taps_width = ceil_div(larger(0, s.filter_width - phase.tap_x), s.stride);
            const int padded = ceil_div(s.group_filters(), T::Conv::L) * T::Conv::L;
            const int depth = taps_height * phase.taps_width * padded;
            const Columns columns(s.images, ceil_div(s.height - y, s.stride),
                                  ceil_div(s.width - x, s.stride));
            Product product = product_of<T>(s.group_channels(), columns.count, depth, s.groups, true);
            if (s.stride > 1) {
                product.parts = 1;
                product.part_depth = depth;
            }
            const PatchRows taps = {depth, s.group_filters(), -1, Divisor(padded),
                                    Divisor(larger(1, phase.taps_width))};
            use(phase, product, columns, taps);
        }
}

bool by_winograd(const ConvSize& s, bool (*pays)(const ConvSize&)) {
    if (s.algorithm != ConvAlgorithm::automatic) return s.algorithm == ConvAlgorithm::winograd;
    return pays(s);
}

bool by_few_images(const ConvSize& s) {
    return s.algorithm == ConvAlgorithm::automatic && has_few_images(s);
}

}  // namespace

index_t conv_forward_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_forward_workspace(s);
    if (by_winograd(s, winograd_pictures_pay)) return winograd_forward_workspace(s);
    index_t floats = 0;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const int parts = forward_product<T>(s, columns).parts;
        if (parts > 1) floats = index_t(parts) * s.filters * columns.count;
    });
    return floats;
}

void conv_forward(float* out, const float* inp, const float* weights, const float* bias,
                  float* workspace, const ConvSize& s, Neuron neuron, bool accumulate, Stream stream) {
    if (by_few_images(s))
        return few_images_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    if (by_winograd(s, winograd_pictures_pay))
        return winograd_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = forward_product<T>(s, columns);
        run_product<T>(
            product, s.groups, out, workspace, s.filters, columns.count, {accumulate, bias, neuron},
            stream, [&](const LaunchShape& shape, float* to, index_t stride, Epilogue epilogue) {
                launch_with_barriers<conv_forward_kernel<T>>(shape, stream, to, stride, inp, weights, s,
                                                             product, columns, patch_rows(s), epilogue);
            });
    });
}

index_t conv_backward_data_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_backward_workspace(s);
    if (by_winograd(s, winograd_pictures_pay)) return winograd_backward_data_workspace(s);
    index_t floats = 0;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        for_each_phase<T>(s, [&](const Phase&, const Product& p, const Columns&, const PatchRows&) {
            if (p.parts > 1) floats = index_t(p.parts) * s.channels * s.height * s.width * s.images;
        });
    });
    return floats;
}

void conv_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                        const ConvSize& s, bool accumulate, Stream stream) {
    if (by_few_images(s))
        return few_images_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    if (by_winograd(s, winograd_pictures_pay))
        return winograd_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        for_each_phase<T>(s, [&](const Phase& phase, const Product& product, const Columns& columns,
                                 const PatchRows& taps) {
            run_product<T>(product, s.groups, dinp, workspace, s.channels,
                           s.height * s.width * s.images, {accumulate, nullptr, kIdent}, stream,
                           [&](const LaunchShape& shape, float* to, index_t stride, Epilogue epilogue) {
                               launch_with_barriers<conv_backward_data_kernel<T>>(
                                   shape, stream, to, stride, dout, weights, s, phase, product, columns,
                                   taps, epilogue);
                           });
        });
    });
}

index_t conv_backward_weights_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_backward_workspace(s);
    if (by_winograd(s, winograd_weights_pay)) return winograd_backward_weights_workspace(s);
    index_t floats = 0;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const int parts = weights_product<T>(s, columns).parts;
        if (parts > 1) floats = index_t(parts) * s.group_channels() * s.taps() * s.filters;
    });
    return floats;
}

void conv_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                           const ConvSize& s, bool accumulate, Stream stream) {
    if (by_few_images(s))
        return few_images_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    if (by_winograd(s, winograd_weights_pay))
        return winograd_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = weights_product<T>(s, columns);
        run_product<T>(product, s.groups, dweights, workspace, s.group_channels() * s.taps(), s.filters,
                       {accumulate, nullptr, kIdent}, stream,
                       [&](const LaunchShape& shape, float* to, index_t stride, Epilogue epilogue) {
                           launch_with_barriers<conv_backward_weights_kernel<T>>(
                               shape, stream, to, stride, inp, dout, s, product, columns, patch_rows(s),
                               epilogue);
                       });
    });
}
