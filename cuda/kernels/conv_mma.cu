// Convolution and its two gradients on tensor cores (sm_80 and newer), with float32 operands rounded to
// TF32 or bfloat16, or operands that are bfloat16, and float32 sums: the products of conv.cu in the
// tile loop of mma_loop.h. On the CPU this is slow, and there for the tests.
//
// Rows are always filters or channels, of which a tower of AlexNet has 48, 128, 192 or 256:
//
//   forward   filters x (pixel, image), deep (tap, channel)
//   data      channels x (pixel, image), deep (tap, filter)
//   weights   filters x (tap, channel), deep (pixel, image)
//
// No operand is transposed: loaders copy it as it lies in memory, and the tile loop reads either way.
// Copies and stores are of 16 bytes, four floats or eight bfloat16s, along images where these come in
// fours or eights, and along filters likewise; else of one element.
//
// Kernels are templates over the Precision, the Tile, the output's element S, and how many images and
// filters are copied at once.
//
// Thread map: as in conv.cu; a warp has a part of the block's tile.
#include "conv_mma.h"

#include "../core/mma_loop.h"
#include "conv_product.h"

namespace {

// Copies a tile's kRows rows of runs, kColumns wide: visit(row, column) for the thread's share.
template <class Tile, int kRun, int kRows, int kColumns, class Visit>
__device__ __forceinline__ void for_each_run(const Visit& visit) {
    constexpr int kRuns = kColumns / kRun, kAll = kRows * kRuns;
    if constexpr (kRun == 1) {  // too many to unroll
        for (int run = int(threadIdx.x); run < kAll; run += int(blockDim.x))
            visit(run / kRuns, run % kRuns);
    } else {
        UNROLL_ON_GPU for (int i = 0; i < ceil_div(kAll, Tile::threads); ++i) {
            const int run = i * Tile::threads + int(threadIdx.x);
            if (kAll % Tile::threads == 0 || run < kAll) visit(run / kRuns, run % kRuns * kRun);
        }
    }
}

template <class Precision, class Tile, class S, int kFilters, int kImages, class E>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_forward_kernel(S* out, Parts parts, const E* inp, const E* weights, ConvSize s,
                            Product product, Columns columns, PatchRows taps, Epilogue epilogue) {
    using A = typename Tile::template A<true>;
    using B = typename Tile::template B<true>;
    const Corner<Tile> tile(product, parts);
    const int group = int(blockIdx.y), group_filters = s.group_filters();
    const PicturesOf<E> pictures = {
        inp + index_t(group) * s.group_channels() * s.height * s.width * s.images, s.height, s.width,
        s.images};
    const PatchRuns<E, kImages, Tile::threads, Tile::BN> patches(pictures, columns, tile.n, s.stride,
                                                                 -s.padding, -s.padding);
    const int tap_count = s.taps();
    const E* filters = weights + group * group_filters + tile.m;
    auto load_a = [&](E* a, int k0) {
        for_each_run<Tile, kFilters, Tile::BK, Tile::BM>([&](int k, int m) {
            const PatchRow row = taps(k0 + k);
            const index_t at = index_t(row.channel * tap_count + row.tap) * s.filters;
            copy_async<kFilters>(a + A::at(m, k), filters + at + m,
                                 k0 + k < tile.k_end && m < tile.rows);
        });
    };
    auto load_b = [&](E* b, int k0) {
        patches.visit_rows(taps, k0, Tile::BK, [&](int k, int n, const E* from, bool inside) {
            copy_async<kImages>(b + B::at(n, k), from, inside);
        });
    };
    const int plane = columns.count;
    S* to = out + index_t(group) * group_filters * plane;
    tile.template compute<Run<float, kImages>>(
        [&](const auto& put) {
            mma_loop<Precision, Tile, A, B, false, kImages>(tile.k_begin, tile.k_end, load_a, load_b,
                                                            put);
        },
        [&](int m, int n, const Run<float, kImages>& sums) {
            const int row = tile.m + m;
            epilogue.store_along(sums, to + index_t(row) * plane + tile.n + n,
                                 group * group_filters + row);
        });
}

template <class Precision, class Tile, class S, int kFilters, int kImages, class E>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_data_kernel(S* dinp, Parts parts, const E* dout, const E* weights, ConvSize s, Phase phase,
                         Product product, Columns columns, PatchRows taps, Epilogue epilogue) {
    using A = typename Tile::template A<false>;
    using B = typename Tile::template B<true>;
    const Corner<Tile> tile(product, parts);
    const int group = int(blockIdx.y), group_filters = s.group_filters();
    const int filter_size = s.taps() * s.filters;
    const PicturesOf<E> gradients = {
        dout + index_t(group) * group_filters * s.out_height * s.out_width * s.images, s.out_height,
        s.out_width, s.images};
    const PatchRuns<E, kImages, Tile::threads, Tile::BN> patches(gradients, columns, tile.n, 1,
                                                                 phase.origin_y, phase.origin_x);
    auto load_a = [&](E* a, int k0) {
        using Walk = TileWalk<kFilters, Tile::threads, Tile::BK>;
        const int k = Walk::column(0);
        const int tap = taps.padded_channels.quotient(k0 + k), ty = taps.width.quotient(tap);
        const int tx = taps.width.remainder(tap, ty), f = taps.padded_channels.remainder(k0 + k, tap);
        const int ky = phase.tap_y + ty * s.stride, kx = phase.tap_x + tx * s.stride;
        const E* from = weights + (ky * s.filter_width + kx) * s.filters + group * group_filters + f;
        UNROLL_ON_GPU for (int m = Walk::first_row(); m < Tile::BM; m += Walk::row_step)
            copy_async<kFilters>(a + A::at(m, k), from + index_t(tile.m + m) * filter_size,
                                 k0 + k < tile.k_end && m < tile.rows);
    };
    auto load_b = [&](E* b, int k0) {
        patches.visit_rows(taps, k0, Tile::BK, [&](int k, int n, const E* from, bool inside) {
            copy_async<kImages>(b + B::at(n, k), from, inside);
        });
    };
    S* to = dinp + index_t(group) * s.group_channels() * s.height * s.width * s.images;
    const PicturesOf<S> phases = {to, s.height, s.width, s.images};
    tile.template compute<Run<float, kImages>>(
        [&](const auto& put) {
            mma_loop<Precision, Tile, A, B, false, kImages>(tile.k_begin, tile.k_end, load_a, load_b,
                                                            put);
        },
        [&](int m, int n, const Run<float, kImages>& sums) {
            int at = tile.n + n;
            if (s.stride > 1)
                at = Places<float>(columns, at, phases, s.stride, phase.y, phase.x).offset;
            epilogue.store_along(sums, to + index_t(tile.m + m) * phases.plane() + at, 0);
        });
}

template <class Precision, class Tile, int kFilters, int kImages, class E>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_weights_kernel(float* dweights, Parts parts, const E* inp, const E* dout, ConvSize s,
                            Product product, Columns columns, PatchRows taps, Epilogue epilogue) {
    using A = typename Tile::template A<false>;
    using B = typename Tile::template B<false>;
    using Walk = TileWalk<kImages, Tile::threads, Tile::BK>;
    const Corner<Tile> tile(product, parts);
    const int group = int(blockIdx.y), out_plane = columns.count;
    const int group_filters = s.group_filters(), tap_count = s.taps();
    const PicturesOf<E> pictures = {
        inp + index_t(group) * s.group_channels() * s.height * s.width * s.images, s.height, s.width,
        s.images};
    const E* gradients = dout + index_t(group * group_filters + tile.m) * out_plane;
    const int k = Walk::column(0);
    auto load_a = [&](E* a, int k0) {
        UNROLL_ON_GPU for (int m = Walk::first_row(); m < Tile::BM; m += Walk::row_step)
            copy_async<kImages>(a + A::at(m, k), gradients + index_t(m) * out_plane + k0 + k,
                                k0 + k < tile.k_end && m < tile.rows);
    };
    auto load_b = [&](E* b, int k0) {
        const Places<float> place(columns, k0 + k, pictures, s.stride, -s.padding, -s.padding);
        UNROLL_ON_GPU for (int n = Walk::first_row(); n < Tile::BN; n += Walk::row_step) {
            const PatchRow row = taps(tile.n + n);
            const View<float> view(place, pictures, row.y, row.x);
            copy_async<kImages>(b + B::at(n, k),
                                pictures.data + row.channel * pictures.plane() +
                                    pictures.offset(row.y, row.x, 0) + place.offset,
                                row.channel >= 0 && view.what != View<float>::nothing);
        }
    };
    float* to = dweights + group * group_filters;
    tile.template compute<Run<float, kFilters>, true>(
        [&](const auto& put) {
            mma_loop<Precision, Tile, A, B, true, kFilters>(tile.k_begin, tile.k_end, load_a, load_b,
                                                            put);
        },
        [&](int m, int n, const Run<float, kFilters>& sums) {
            const PatchRow row = taps(tile.n + n);
            const index_t at = index_t(row.channel * tap_count + row.tap) * s.filters;
            epilogue.store_along(sums, to + at + tile.m + m, 0);
        });
}

// The product's tile: the one whose rows fit best, the largest of equals.
template <class E, class Use>
void with_tile(int rows, const Use& use) {
    constexpr int kStages = sizeof(E) == 2 ? 4 : 3;
    using Rows48 = MmaTile<E, 1, 4, 3, 4, 3>;
    using Rows96 = MmaTile<E, 2, 2, 3, 4, kStages>;
    using Rows64 = MmaTile<E, 1, 4, 4, 4, 3>;
    using Rows128 = MmaTile<E, 2, 2, 4, 4, kStages>;
    auto padded = [&](int tile_rows) { return ceil_div(rows, tile_rows) * tile_rows; };
    const int least = smaller(smaller(padded(48), padded(64)), smaller(padded(96), padded(128)));
    if (padded(128) == least)
        use(Rows128());
    else if (padded(96) == least)
        use(Rows96());
    else if (padded(64) == least)
        use(Rows64());
    else
        use(Rows48());
}

// Calls use(precision, tile, constants kFilters, kImages).
template <class E, class Use>
void with_instance(const ConvSize& s, int rows, const Use& use) {
    constexpr int kRun = 16 / int(sizeof(E));
    constexpr std::integral_constant<int, kRun> runs;
    constexpr std::integral_constant<int, 1> singles;
    using Tile = MmaTile<E, 2, 2, 4, 4, 3>;
    const bool filters = s.aligned && s.group_filters() % kRun == 0,
               images = s.aligned && s.images % kRun == 0;
    auto with_precision = [&](auto precision) {
        if (!filters || !images)
            use(precision, Tile(), singles, singles);
        else if constexpr (std::is_same_v<decltype(precision), RoundedBf16>)
            use(precision, Tile(), runs, runs);  // where a layer cannot store bfloat16: seldom
        else
            with_tile<E>(rows, [&](auto tile) { use(precision, tile, runs, runs); });
    };
    if constexpr (std::is_same_v<E, bf16>)
        with_precision(Bf16());
    else if (s.precision == ConvPrecision::tf32)
        with_precision(Tf32());
    else
        with_precision(RoundedBf16());
}

template <class Tile>
LaunchShape mma_shape(dim3 grid) {
    return {grid, Tile::threads, size_t(Tile::shared_bytes), 80};
}

struct ForTensorCores : ForGpu {
    static constexpr GpuWave wave = {6, 22};
};

}  // namespace

template <class E>
index_t conv_mma_forward_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance<E>(s, s.group_filters(), [&](auto, auto tile, auto, auto) {
        floats = Passes<ForTensorCores, decltype(tile)>{s}.forward_workspace();
    });
    return floats;
}

template <class E, class S>
void conv_mma_forward(S* out, const E* inp, const E* weights, const float* bias, float* workspace,
                      const ConvSize& s, Neuron neuron, bool accumulate, Stream stream) {
    with_instance<E>(s, s.group_filters(), [&](auto precision, auto tile, auto filters, auto images) {
        using Tile = decltype(tile);
        Passes<ForTensorCores, Tile>{s}.forward(
            workspace, [&](dim3 grid, const Parts& parts, const Product& product,
                           const Columns& columns, const PatchRows& taps) {
                launch_with_barriers<
                    conv_mma_forward_kernel<decltype(precision), Tile, S, filters, images, E>>(
                    mma_shape<Tile>(grid), stream, out, parts, inp, weights, s, product, columns, taps,
                    Epilogue{accumulate, bias, neuron});
            });
    });
}

template <class E>
index_t conv_mma_backward_data_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance<E>(s, s.group_channels(), [&](auto, auto tile, auto, auto) {
        floats = Passes<ForTensorCores, decltype(tile)>{s}.data_workspace();
    });
    return floats;
}

template <class E, class S>
void conv_mma_backward_data(S* dinp, const E* dout, const E* weights, float* workspace,
                            const ConvSize& s, bool accumulate, Stream stream) {
    with_instance<E>(s, s.group_channels(), [&](auto precision, auto tile, auto filters, auto images) {
        using Tile = decltype(tile);
        Passes<ForTensorCores, Tile>{s}.data(
            workspace, [&](dim3 grid, const Parts& parts, const Phase& phase, const Product& product,
                           const Columns& columns, const PatchRows& taps) {
                launch_with_barriers<
                    conv_mma_data_kernel<decltype(precision), Tile, S, filters, images, E>>(
                    mma_shape<Tile>(grid), stream, dinp, parts, dout, weights, s, phase, product,
                    columns, taps, Epilogue{accumulate, nullptr, kIdent});
            });
    });
}

template <class E>
index_t conv_mma_backward_weights_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance<E>(s, s.group_filters(), [&](auto, auto tile, auto, auto) {
        floats = Passes<ForTensorCores, decltype(tile)>{s}.template weights_workspace<true>();
    });
    return floats;
}

template <class E>
void conv_mma_backward_weights(float* dweights, const E* inp, const E* dout, float* workspace,
                               const ConvSize& s, bool accumulate, Stream stream) {
    with_instance<E>(s, s.group_filters(), [&](auto precision, auto tile, auto filters, auto images) {
        using Tile = decltype(tile);
        Passes<ForTensorCores, Tile>{s}.template weights<true>(
            workspace, [&](dim3 grid, const Parts& parts, const Product& product,
                           const Columns& columns, const PatchRows& taps) {
                launch_with_barriers<
                    conv_mma_weights_kernel<decltype(precision), Tile, filters, images, E>>(
                    mma_shape<Tile>(grid), stream, dweights, parts, inp, dout, s, product, columns,
                    taps, Epilogue{accumulate, nullptr, kIdent});
            });
    });
}

template index_t conv_mma_forward_workspace<float>(const ConvSize&);
template index_t conv_mma_backward_data_workspace<float>(const ConvSize&);
template index_t conv_mma_backward_weights_workspace<float>(const ConvSize&);
template index_t conv_mma_forward_workspace<bf16>(const ConvSize&);
template index_t conv_mma_backward_data_workspace<bf16>(const ConvSize&);
template index_t conv_mma_backward_weights_workspace<bf16>(const ConvSize&);
template void conv_mma_forward(float*, const float*, const float*, const float*, float*,
                               const ConvSize&, Neuron, bool, Stream);
template void conv_mma_backward_data(float*, const float*, const float*, float*, const ConvSize&, bool,
                                     Stream);
template void conv_mma_forward(float*, const bf16*, const bf16*, const float*, float*, const ConvSize&,
                               Neuron, bool, Stream);
template void conv_mma_backward_data(float*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                     Stream);
template void conv_mma_forward(bf16*, const bf16*, const bf16*, const float*, float*, const ConvSize&,
                               Neuron, bool, Stream);
template void conv_mma_backward_data(bf16*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                     Stream);
template void conv_mma_backward_weights(float*, const float*, const float*, float*, const ConvSize&,
                                        bool, Stream);
template void conv_mma_backward_weights(float*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                        Stream);
