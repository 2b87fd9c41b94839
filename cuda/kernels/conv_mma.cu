// Convolution and its two gradients on tensor cores (sm_80 and newer), with operands rounded to TF32 or
// bfloat16 and float32 sums: the products of conv.cu in the tile loop of mma_loop.h. On the CPU this is
// slow, and there for the tests.
//
// Rows are always filters or channels, of which a tower of AlexNet has 48, 128, 192 or 256:
//
//   forward   filters x (pixel, image), deep (tap, channel)
//   data      channels x (pixel, image), deep (tap, filter)
//   weights   filters x (tap, channel), deep (pixel, image)
//
// No operand is transposed: loaders copy it as it lies in memory, and the tile loop reads either way.
// Copies are of four floats where images and filters come in fours, else of one.
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
    UNROLL_ON_GPU for (int i = 0; i < ceil_div(kAll, Tile::threads); ++i) {
        const int run = i * Tile::threads + int(threadIdx.x);
        if (kAll % Tile::threads == 0 || run < kAll) visit(run / kRuns, run % kRuns * kRun);
    }
}

template <class Precision, class Tile, int kRun>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_forward_kernel(float* out, index_t part_stride, const float* inp, const float* weights,
                            ConvSize s, Product product, Columns columns, PatchRows taps,
                            Epilogue epilogue) {
    using A = typename Tile::template A<true>;
    using B = typename Tile::template B<true>;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y), group_filters = s.group_filters();
    const Pictures pictures = {
        inp + index_t(group) * s.group_channels() * s.height * s.width * s.images, s.height, s.width,
        s.images};
    const PatchRuns<kRun, Tile::threads, Tile::BN> patches(pictures, columns, tile.n, s.stride,
                                                           -s.padding, -s.padding);
    const int tap_count = s.taps();
    const float* filters = weights + group * group_filters + tile.m;
    auto load_a = [&](float* a, int k0) {
        for_each_run<Tile, kRun, Tile::BK, Tile::BM>([&](int k, int m) {
            const PatchRow row = taps(k0 + k);
            const index_t at = index_t(row.channel * tap_count + row.tap) * s.filters;
            copy_async<kRun>(a + A::at(m, k), filters + at + m, k0 + k < tile.k_end && m < tile.rows);
        });
    };
    auto load_b = [&](float* b, int k0) {
        patches.visit_rows(taps, k0, Tile::BK, [&](int k, int n, const float* from, bool inside) {
            copy_async<kRun>(b + B::at(n, k), from, inside);
        });
    };
    const int plane = columns.count;
    float* to = out + blockIdx.z * part_stride + index_t(group) * group_filters * plane;
    mma_loop<Precision, Tile, A, B, false>(tile.k_begin, tile.k_end, load_a, load_b,
                                           [&](int m, int n, float sum) {
                                               if (m >= tile.rows || n >= tile.columns) return;
                                               const int row = tile.m + m;
                                               float* p = to + index_t(row) * plane + tile.n + n;
                                               *p = epilogue(sum, p, 1, group * group_filters + row);
                                           });
}

template <class Precision, class Tile, int kRun>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_data_kernel(float* dinp, index_t part_stride, const float* dout, const float* weights,
                         ConvSize s, Phase phase, Product product, Columns columns, PatchRows taps,
                         Epilogue epilogue) {
    using A = typename Tile::template A<false>;
    using B = typename Tile::template B<true>;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y), group_filters = s.group_filters();
    const int filter_size = s.taps() * s.filters;
    const Pictures gradients = {
        dout + index_t(group) * group_filters * s.out_height * s.out_width * s.images, s.out_height,
        s.out_width, s.images};
    const PatchRuns<kRun, Tile::threads, Tile::BN> patches(gradients, columns, tile.n, 1,
                                                           phase.origin_y, phase.origin_x);
    auto load_a = [&](float* a, int k0) {
        using Walk = TileWalk<kRun, Tile::threads, Tile::BK>;
        const int k = Walk::column(0);
        const int tap = taps.padded_channels.quotient(k0 + k), ty = taps.width.quotient(tap);
        const int tx = taps.width.remainder(tap, ty), f = taps.padded_channels.remainder(k0 + k, tap);
        const int ky = phase.tap_y + ty * s.stride, kx = phase.tap_x + tx * s.stride;
        const float* from =
            weights + (ky * s.filter_width + kx) * s.filters + group * group_filters + f;
        UNROLL_ON_GPU for (int m = Walk::first_row(); m < Tile::BM; m += Walk::row_step)
            copy_async<kRun>(a + A::at(m, k), from + index_t(tile.m + m) * filter_size,
                             k0 + k < tile.k_end && m < tile.rows);
    };
    auto load_b = [&](float* b, int k0) {
        patches.visit_rows(taps, k0, Tile::BK, [&](int k, int n, const float* from, bool inside) {
            copy_async<kRun>(b + B::at(n, k), from, inside);
        });
    };
    float* to = dinp + blockIdx.z * part_stride +
                index_t(group) * s.group_channels() * s.height * s.width * s.images;
    const Pictures phases = {to, s.height, s.width, s.images};
    mma_loop<Precision, Tile, A, B, false>(
        tile.k_begin, tile.k_end, load_a, load_b, [&](int m, int n, float sum) {
            if (m >= tile.rows || n >= tile.columns) return;
            int at = tile.n + n;
            if (s.stride > 1)
                at = Places<float>(columns, at, phases, s.stride, phase.y, phase.x).offset;
            float* p = to + index_t(tile.m + m) * phases.plane() + at;
            *p = epilogue(sum, p, 1, 0);
        });
}

template <class Precision, class Tile, int kRun>
__global__ void __launch_bounds__(Tile::threads)
    conv_mma_weights_kernel(float* dweights, index_t part_stride, const float* inp, const float* dout,
                            ConvSize s, Product product, Columns columns, PatchRows taps,
                            Epilogue epilogue) {
    using A = typename Tile::template A<false>;
    using B = typename Tile::template B<false>;
    using Walk = TileWalk<kRun, Tile::threads, Tile::BK>;
    const Corner<Tile> tile(product);
    const int group = int(blockIdx.y), out_plane = columns.count;
    const int group_filters = s.group_filters(), tap_count = s.taps();
    const Pictures pictures = {
        inp + index_t(group) * s.group_channels() * s.height * s.width * s.images, s.height, s.width,
        s.images};
    const float* gradients = dout + index_t(group * group_filters + tile.m) * out_plane;
    const int k = Walk::column(0);
    auto load_a = [&](float* a, int k0) {
        UNROLL_ON_GPU for (int m = Walk::first_row(); m < Tile::BM; m += Walk::row_step)
            copy_async<kRun>(a + A::at(m, k), gradients + index_t(m) * out_plane + k0 + k,
                             k0 + k < tile.k_end && m < tile.rows);
    };
    auto load_b = [&](float* b, int k0) {
        const Places<float> place(columns, k0 + k, pictures, s.stride, -s.padding, -s.padding);
        UNROLL_ON_GPU for (int n = Walk::first_row(); n < Tile::BN; n += Walk::row_step) {
            const PatchRow row = taps(tile.n + n);
            const View<float> view(place, pictures, row.y, row.x);
            copy_async<kRun>(b + B::at(n, k),
                             pictures.data + row.channel * pictures.plane() +
                                 pictures.offset(row.y, row.x, 0) + place.offset,
                             row.channel >= 0 && view.what != View<float>::nothing);
        }
    };
    float* to = dweights + blockIdx.z * part_stride + group * group_filters;
    mma_loop<Precision, Tile, A, B, true>(
        tile.k_begin, tile.k_end, load_a, load_b, [&](int m, int n, float sum) {
            if (m >= tile.rows || n >= tile.columns) return;
            const PatchRow row = taps(tile.n + n);
            float* p = to + index_t(row.channel * tap_count + row.tap) * s.filters + tile.m + m;
            *p = epilogue(sum, p, 1, 0);
        });
}

// The product's tile: the one whose rows fit best, the largest of equals.
template <class Use>
void with_tile(int rows, const Use& use) {
    using Rows48 = MmaTile<1, 4, 3, 8, 16, 3>;
    using Rows96 = MmaTile<2, 2, 3, 8, 16, 3>;
    using Rows64 = MmaTile<1, 4, 4, 8, 16, 3>;
    using Rows128 = MmaTile<2, 2, 4, 8, 16, 3>;
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

// Calls use(precision, tile, constant kRun).
template <class Use>
void with_instance(const ConvSize& s, int rows, const Use& use) {
    auto with_precision = [&](auto precision) {
        if (s.aligned && s.images % 4 == 0 && s.group_filters() % 4 == 0)
            with_tile(rows, [&](auto tile) { use(precision, tile, std::integral_constant<int, 4>()); });
        else
            use(precision, MmaTile<2, 2, 4, 8, 16, 3>(), std::integral_constant<int, 1>());
    };
    if (s.precision == ConvPrecision::tf32)
        with_precision(Tf32());
    else
        with_precision(Bf16());
}

template <class Tile>
Product forward_product(const ConvSize& s, const Columns& columns) {
    return product_of<ForGpu, Tile>(s.group_filters(), columns.count, s.group_channels() * s.taps(),
                                    s.groups, true);
}

template <class Tile>
Product weights_product(const ConvSize& s, const Columns& columns) {
    return product_of<ForGpu, Tile>(s.group_filters(), s.group_channels() * s.taps(), columns.count,
                                    s.groups, false);
}

template <class Tile>
LaunchShape mma_shape(const Product& product, int groups) {
    LaunchShape shape = product_shape(product, groups, Tile::threads, size_t(Tile::shared_bytes));
    shape.capability = 80;
    return shape;
}

}  // namespace

index_t conv_mma_forward_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance(s, s.group_filters(), [&](auto, auto tile, auto) {
        const Columns columns(s.images, s.out_height, s.out_width);
        const int parts = forward_product<decltype(tile)>(s, columns).parts;
        if (parts > 1) floats = index_t(parts) * s.filters * columns.count;
    });
    return floats;
}

void conv_mma_forward(float* out, const float* inp, const float* weights, const float* bias,
                      float* workspace, const ConvSize& s, Neuron neuron, bool accumulate,
                      Stream stream) {
    with_instance(s, s.group_filters(), [&](auto precision, auto tile, auto run) {
        using Tile = decltype(tile);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = forward_product<Tile>(s, columns);
        const LaunchShape shape = mma_shape<Tile>(product, s.groups);
        run_product(product, out, workspace, s.filters, columns.count, {accumulate, bias, neuron},
                    stream, [&](float* to, index_t stride, Epilogue epilogue) {
                        launch_with_barriers<conv_mma_forward_kernel<decltype(precision), Tile, run>>(
                            shape, stream, to, stride, inp, weights, s, product, columns, patch_rows(s),
                            epilogue);
                    });
    });
}

index_t conv_mma_backward_data_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance(s, s.group_channels(), [&](auto, auto tile, auto) {
        for_each_phase<ForGpu, decltype(tile)>(
            s, [&](const Phase&, const Product& p, const Columns&, const PatchRows&) {
                if (p.parts > 1) floats = index_t(p.parts) * s.channels * s.height * s.width * s.images;
            });
    });
    return floats;
}

void conv_mma_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                            const ConvSize& s, bool accumulate, Stream stream) {
    with_instance(s, s.group_channels(), [&](auto precision, auto tile, auto run) {
        using Tile = decltype(tile);
        for_each_phase<ForGpu, Tile>(s, [&](const Phase& phase, const Product& product,
                                            const Columns& columns, const PatchRows& taps) {
            const LaunchShape shape = mma_shape<Tile>(product, s.groups);
            run_product(product, dinp, workspace, s.channels, s.height * s.width * s.images,
                        {accumulate, nullptr, kIdent}, stream,
                        [&](float* to, index_t stride, Epilogue epilogue) {
                            launch_with_barriers<conv_mma_data_kernel<decltype(precision), Tile, run>>(
                                shape, stream, to, stride, dout, weights, s, phase, product, columns,
                                taps, epilogue);
                        });
        });
    });
}

index_t conv_mma_backward_weights_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_instance(s, s.group_filters(), [&](auto, auto tile, auto) {
        const Columns columns(s.images, s.out_height, s.out_width);
        const int parts = weights_product<decltype(tile)>(s, columns).parts;
        if (parts > 1) floats = index_t(parts) * s.group_channels() * s.taps() * s.filters;
    });
    return floats;
}

void conv_mma_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                               const ConvSize& s, bool accumulate, Stream stream) {
    with_instance(s, s.group_filters(), [&](auto precision, auto tile, auto run) {
        using Tile = decltype(tile);
        const Columns columns(s.images, s.out_height, s.out_width);
        const Product product = weights_product<Tile>(s, columns);
        const LaunchShape shape = mma_shape<Tile>(product, s.groups);
        run_product(
            product, dweights, workspace, s.group_channels() * s.taps(), s.filters,
            {accumulate, nullptr, kIdent}, stream, [&](float* to, index_t stride, Epilogue epilogue) {
                launch_with_barriers<conv_mma_weights_kernel<decltype(precision), Tile, run>>(
                    shape, stream, to, stride, inp, dout, s, product, columns, patch_rows(s), epilogue);
            });
    });
}
