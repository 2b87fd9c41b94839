// Convolution and its two gradients, as implicit matrix products over tiles (conv.h, tile_loop.h); or,
// where that is faster, by Winograd's algorithm (winograd.cu) or for few images (few_images.cu); or, in
// less precision, on tensor cores (conv_mma.cu).
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
#include "conv_mma.h"
#include "conv_product.h"
#include "epilogue.h"
#include "few_images.h"
#include "ops.h"
#include "winograd.h"

namespace {

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

template <class T>
Product forward_product(const ConvSize& s, const Columns& columns) {
    return product_of<T, typename T::Conv>(s.group_filters(), columns.count,
                                           s.group_channels() * s.taps(), s.groups, true);
}

template <class T>
Product weights_product(const ConvSize& s, const Columns& columns) {
    return product_of<T, typename T::Conv>(s.group_channels() * s.taps(), s.group_filters(),
                                           columns.count, s.groups, false);
}

template <class T>
LaunchShape direct_shape(const Product& product, int groups) {
    return product_shape(product, groups, T::Conv::threads, size_t(T::Conv::shared_bytes));
}

bool by_winograd(const ConvSize& s, bool (*pays)(const ConvSize&)) {
    if (s.algorithm != ConvAlgorithm::automatic) return s.algorithm == ConvAlgorithm::winograd;
    return pays(s);
}

bool by_mma(const ConvSize& s) {
    return s.precision != ConvPrecision::fp32;
}

bool by_few_images(const ConvSize& s) {
    return s.algorithm == ConvAlgorithm::automatic && has_few_images(s);
}

}  // namespace

index_t conv_forward_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_forward_workspace(s);
    if (by_mma(s)) return conv_mma_forward_workspace(s);
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
    if (by_mma(s))
        return conv_mma_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    if (by_winograd(s, winograd_pictures_pay))
        return winograd_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = forward_product<T>(s, columns);
        run_product(product, out, workspace, s.filters, columns.count, {accumulate, bias, neuron},
                    stream, [&](float* to, index_t stride, Epilogue epilogue) {
                        launch_with_barriers<conv_forward_kernel<T>>(
                            direct_shape<T>(product, s.groups), stream, to, stride, inp, weights, s,
                            product, columns, patch_rows(s), epilogue);
                    });
    });
}

index_t conv_backward_data_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_backward_workspace(s);
    if (by_mma(s)) return conv_mma_backward_data_workspace(s);
    if (by_winograd(s, winograd_pictures_pay)) return winograd_backward_data_workspace(s);
    index_t floats = 0;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        for_each_phase<T, typename T::Conv>(
            s, [&](const Phase&, const Product& p, const Columns&, const PatchRows&) {
                if (p.parts > 1) floats = index_t(p.parts) * s.channels * s.height * s.width * s.images;
            });
    });
    return floats;
}

void conv_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                        const ConvSize& s, bool accumulate, Stream stream) {
    if (by_few_images(s))
        return few_images_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    if (by_mma(s)) return conv_mma_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    if (by_winograd(s, winograd_pictures_pay))
        return winograd_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        for_each_phase<T, typename T::Conv>(s, [&](const Phase& phase, const Product& product,
                                                   const Columns& columns, const PatchRows& taps) {
            run_product(product, dinp, workspace, s.channels, s.height * s.width * s.images,
                        {accumulate, nullptr, kIdent}, stream,
                        [&](float* to, index_t stride, Epilogue epilogue) {
                            launch_with_barriers<conv_backward_data_kernel<T>>(
                                direct_shape<T>(product, s.groups), stream, to, stride, dout, weights,
                                s, phase, product, columns, taps, epilogue);
                        });
        });
    });
}

index_t conv_backward_weights_workspace(const ConvSize& s) {
    if (by_few_images(s)) return few_images_backward_workspace(s);
    if (by_mma(s)) return conv_mma_backward_weights_workspace(s);
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
    if (by_mma(s))
        return conv_mma_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    if (by_winograd(s, winograd_weights_pay))
        return winograd_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = weights_product<T>(s, columns);
        run_product(product, dweights, workspace, s.group_channels() * s.taps(), s.filters,
                    {accumulate, nullptr, kIdent}, stream,
                    [&](float* to, index_t stride, Epilogue epilogue) {
                        launch_with_barriers<conv_backward_weights_kernel<T>>(
                            direct_shape<T>(product, s.groups), stream, to, stride, inp, dout, s,
                            product, columns, patch_rows(s), epilogue);
                    });
    });
}
