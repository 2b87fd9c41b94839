// Convolution and its two gradients, as implicit matrix products over tiles (conv.h, tile_loop.h); or,
// where that is faster, by Winograd's algorithm (winograd.cu) or for few images (few_images.cu); or, in
// less precision and for bfloat16 arrays, on tensor cores (conv_mma.cu, conv_wgmma.cu).
//
//   inp      (channels, height, width, images)
//   weights  (channels / groups, filter_height, filter_width, filters)
//   out      (filters, out_height, out_width, images)
//
//   forward           out = f([out +] weights * inp + bias)         paper section 3.5
//   backward_data     dinp = [dinp +] weights^T * dout
//   backward_weights  dweights = [dweights +] inp * dout
//
// Thread map: a block has one tile of one group's product, or one part of its depth; blockIdx = (tile
// and part, group). Filter group g sees channel group g only (section 3.2).
#include "conv.h"

#include "../core/launch.h"
#include "../core/tile_loop.h"
#include "conv_mma.h"
#include "conv_product.h"
#include "conv_wgmma.h"
#include "epilogue.h"
#include "few_images.h"
#include "ops.h"
#include "winograd.h"

namespace {

template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    conv_forward_kernel(float* out, Parts parts, const float* inp, const float* weights, ConvSize s,
                        Product product, Columns columns, PatchRows taps, Epilogue epilogue) {
    using Tile = typename T::Conv::InPanels;
    using V = typename Tile::V;
    const Corner<Tile> tile(product, parts);
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
    float* to = out + index_t(group) * group_filters * plane;
    tile.template compute<V>(
        [&](const auto& put) {
            tile_loop<Tile>(tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b, put);
        },
        [&](int m, int n, V sum) {
            const int row = tile.m + m, count = tile.columns - n;
            float* p = to + index_t(row) * plane + tile.n + n;
            store(p, epilogue(sum, p, count, group * group_filters + row), count);
        });
}

template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    conv_backward_data_kernel(float* dinp, Parts parts, const float* dout, const float* weights,
                              ConvSize s, Phase phase, Product product, Columns columns, PatchRows taps,
                              Epilogue epilogue) {
    using Tile = typename T::Conv;
    using V = typename Tile::V;
    using WeightsWalk = TileWalk<Tile::L, Tile::threads, Tile::BK>;
    const Corner<Tile> tile(product, parts);
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
    float* to = dinp + index_t(group) * group_channels * s.height * s.width * s.images;
    const Pictures phases = {to, s.height, s.width, s.images};
    tile.template compute<V>(
        [&](const auto& put) {
            tile_loop<Tile>(tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b, put);
        },
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
    conv_backward_weights_kernel(float* dweights, Parts parts, const float* inp, const float* dout,
                                 ConvSize s, Product product, Columns columns, PatchRows taps,
                                 Epilogue epilogue) {
    using Tile = typename T::Conv;
    using V = typename Tile::V;
    const Corner<Tile> tile(product, parts);
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
    float* to = dweights + group * group_filters;
    tile.template compute<V>(
        [&](const auto& put) {
            tile_loop<Tile>(tile.rows, tile.columns, tile.k_begin, tile.k_end, load_a, load_b, put);
        },
        [&](int m, int n, V sum) {
            const PatchRow row = taps(tile.m + m);
            float* p = to + index_t(row.channel * tap_count + row.tap) * s.filters + tile.n + n;
            const int count = tile.columns - n;
            store(p, epilogue(sum, p, count, 0), count);
        });
}

template <class T>
LaunchShape direct_shape(dim3 grid) {
    return {grid, T::Conv::threads, size_t(T::Conv::shared_bytes)};
}

// Which file runs a pass. This is where kernels are chosen, those for bfloat16 arrays too.
enum class Way { direct, winograd, few_images, mma, wgmma };

template <class E>
Way way_of(const ConvSize& s, bool (*winograd_pays)(const ConvSize&)) {
    if (std::is_same_v<E, bf16>) return s.algorithm == ConvAlgorithm::wgmma ? Way::wgmma : Way::mma;
    const bool is_automatic = s.algorithm == ConvAlgorithm::automatic;
    if (is_automatic && has_few_images(s)) return Way::few_images;
    if (s.precision != ConvPrecision::fp32) return Way::mma;
    const bool by_winograd = is_automatic ? winograd_pays(s) : s.algorithm == ConvAlgorithm::winograd;
    return by_winograd ? Way::winograd : Way::direct;
}

// Calls use(Passes) for the tiles of this file's kernels.
template <class Use>
void with_passes(const ConvSize& s, const Use& use) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        use(tuning, Passes<T, typename T::Conv>{s});
    });
}

}  // namespace

template <class E>
index_t conv_forward_workspace(const ConvSize& s) {
    switch (way_of<E>(s, winograd_pictures_pay)) {
        case Way::mma: return conv_mma_forward_workspace<E>(s);
        case Way::wgmma: return conv_wgmma_forward_workspace(s);
        case Way::few_images: return few_images_forward_workspace(s);
        case Way::winograd: return winograd_forward_workspace(s);
        case Way::direct: break;
    }
    index_t floats = 0;
    with_passes(s, [&](auto, const auto& passes) { floats = passes.forward_workspace(); });
    return floats;
}

template <class E, class S>
void conv_forward(S* out, const E* inp, const E* weights, const float* bias, float* workspace,
                  const ConvSize& s, Neuron neuron, bool accumulate, Stream stream) {
    const Way way = way_of<E>(s, winograd_pictures_pay);
    if (way == Way::mma)
        return conv_mma_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    if constexpr (std::is_same_v<E, bf16>) {
        conv_wgmma_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
    } else {
        if (way == Way::few_images)
            return few_images_forward(out, inp, weights, bias, workspace, s, neuron, accumulate,
                                      stream);
        if (way == Way::winograd)
            return winograd_forward(out, inp, weights, bias, workspace, s, neuron, accumulate, stream);
        with_passes(s, [&](auto tuning, const auto& passes) {
            using T = decltype(tuning);
            passes.forward(workspace, [&](dim3 grid, const Parts& parts, const Product& product,
                                          const Columns& columns, const PatchRows& taps) {
                launch_with_barriers<conv_forward_kernel<T>>(direct_shape<T>(grid), stream, out, parts,
                                                             inp, weights, s, product, columns, taps,
                                                             Epilogue{accumulate, bias, neuron});
            });
        });
    }
}

template <class E>
index_t conv_backward_data_workspace(const ConvSize& s) {
    switch (way_of<E>(s, winograd_pictures_pay)) {
        case Way::mma: return conv_mma_backward_data_workspace<E>(s);
        case Way::wgmma: return conv_wgmma_backward_data_workspace(s);
        case Way::few_images: return few_images_backward_workspace(s);
        case Way::winograd: return winograd_backward_data_workspace(s);
        case Way::direct: break;
    }
    index_t floats = 0;
    with_passes(s, [&](auto, const auto& passes) { floats = passes.data_workspace(); });
    return floats;
}

template <class E, class S>
void conv_backward_data(S* dinp, const E* dout, const E* weights, float* workspace, const ConvSize& s,
                        bool accumulate, Stream stream) {
    const Way way = way_of<E>(s, winograd_pictures_pay);
    if (way == Way::mma)
        return conv_mma_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    if constexpr (std::is_same_v<E, bf16>) {
        conv_wgmma_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
    } else {
        if (way == Way::few_images)
            return few_images_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
        if (way == Way::winograd)
            return winograd_backward_data(dinp, dout, weights, workspace, s, accumulate, stream);
        with_passes(s, [&](auto tuning, const auto& passes) {
            using T = decltype(tuning);
            passes.data(workspace,
                        [&](dim3 grid, const Parts& parts, const Phase& phase, const Product& product,
                            const Columns& columns, const PatchRows& taps) {
                            launch_with_barriers<conv_backward_data_kernel<T>>(
                                direct_shape<T>(grid), stream, dinp, parts, dout, weights, s, phase,
                                product, columns, taps, Epilogue{accumulate, nullptr, kIdent});
                        });
        });
    }
}

template <class E>
index_t conv_backward_weights_workspace(const ConvSize& s) {
    switch (way_of<E>(s, winograd_weights_pay)) {
        case Way::mma: return conv_mma_backward_weights_workspace<E>(s);
        case Way::wgmma: return conv_wgmma_backward_weights_workspace(s);
        case Way::few_images: return few_images_backward_workspace(s);
        case Way::winograd: return winograd_backward_weights_workspace(s);
        case Way::direct: break;
    }
    index_t floats = 0;
    with_passes(s,
                [&](auto, const auto& passes) { floats = passes.template weights_workspace<false>(); });
    return floats;
}

template <class E>
void conv_backward_weights(float* dweights, const E* inp, const E* dout, float* workspace,
                           const ConvSize& s, bool accumulate, Stream stream) {
    const Way way = way_of<E>(s, winograd_weights_pay);
    if (way == Way::mma)
        return conv_mma_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    if constexpr (std::is_same_v<E, bf16>) {
        conv_wgmma_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
    } else {
        if (way == Way::few_images)
            return few_images_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
        if (way == Way::winograd)
            return winograd_backward_weights(dweights, inp, dout, workspace, s, accumulate, stream);
        with_passes(s, [&](auto tuning, const auto& passes) {
            using T = decltype(tuning);
            passes.template weights<false>(
                workspace, [&](dim3 grid, const Parts& parts, const Product& product,
                               const Columns& columns, const PatchRows& taps) {
                    launch_with_barriers<conv_backward_weights_kernel<T>>(
                        direct_shape<T>(grid), stream, dweights, parts, inp, dout, s, product, columns,
                        taps, Epilogue{accumulate, nullptr, kIdent});
                });
        });
    }
}

template index_t conv_forward_workspace<float>(const ConvSize&);
template index_t conv_backward_data_workspace<float>(const ConvSize&);
template index_t conv_backward_weights_workspace<float>(const ConvSize&);
template index_t conv_forward_workspace<bf16>(const ConvSize&);
template index_t conv_backward_data_workspace<bf16>(const ConvSize&);
template index_t conv_backward_weights_workspace<bf16>(const ConvSize&);
template void conv_forward(float*, const float*, const float*, const float*, float*, const ConvSize&,
                           Neuron, bool, Stream);
template void conv_backward_data(float*, const float*, const float*, float*, const ConvSize&, bool,
                                 Stream);
template void conv_forward(float*, const bf16*, const bf16*, const float*, float*, const ConvSize&,
                           Neuron, bool, Stream);
template void conv_backward_data(float*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                 Stream);
template void conv_forward(bf16*, const bf16*, const bf16*, const float*, float*, const ConvSize&,
                           Neuron, bool, Stream);
template void conv_backward_data(bf16*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                 Stream);
template void conv_backward_weights(float*, const float*, const float*, float*, const ConvSize&, bool,
                                    Stream);
template void conv_backward_weights(float*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                    Stream);
