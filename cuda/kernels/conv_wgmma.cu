// Convolution and its two gradients of bfloat16 arrays on the tensor cores of compute capability 9.0,
// in the loop of wgmma_loop.h. On the CPU this is slow, and there for the tests.
//
//   forward   filters x (pixel, image), deep (tap, channel)
//   data      channels x (pixel, image), deep (tap, filter)
//   weights   (tap, channel) x filters, deep (pixel, image)
//
// Images come in runs of 64 of one pixel, and a box of the tensor maps is such a run of some channels:
// so a tile or a step of (pixel, image) is made of boxes that lie anywhere in the pictures, or beside
// them, where they bring the zeros of the padding. Channels (filters) of a tap are padded to whole
// steps or boxes by what lies beyond a group's own axis: zeros too.
//
// Thread map: wgmma_loop.h.
#include "conv_wgmma.h"

#include "../core/wgmma_loop.h"
#include "conv_product.h"

namespace {

// Runs of kBoxLine images: those of pixel 0, of pixel 1, ...
struct Runs {
    int pixels, images;
    Divisor of_pixel, width;

    Runs(int images, int height, int width)
        : pixels(height * width), images(images), of_pixel(ceil_div(images, kBoxLine)), width(width) {}

    index_t columns() const { return index_t(pixels) * of_pixel.value() * kBoxLine; }
};

// Where a run lies; one beyond the last lies beside all pictures.
struct Place {
    int image, x, y, pixel;

    Place() = default;
    __device__ __forceinline__ Place(const Runs& runs, int run) {
        pixel = runs.of_pixel.quotient(run);
        image = runs.of_pixel.remainder(run, pixel) * kBoxLine;
        const int row = runs.width.quotient(pixel);
        x = runs.width.remainder(pixel, row);
        y = pixel < runs.pixels ? row : kBeside;
    }
    static constexpr int kBeside = 1 << 28;
};

// Depth steps or row units that are (tap, chunk of channels).
struct Chunks {
    int size, taps, channels;
    Divisor of_tap, filter_width;

    Chunks(int size, const ConvSize& s, int channels)
        : size(size),
          taps(s.taps()),
          channels(channels),
          of_tap(ceil_div(channels, size)),
          filter_width(s.filter_width) {}

    int count() const { return taps * of_tap.value(); }
};

struct Chunk {
    int tap, x, y, channel;

    __device__ __forceinline__ Chunk(const Chunks& chunks, int i) {
        tap = chunks.of_tap.quotient(i);
        channel = chunks.of_tap.remainder(i, tap) * chunks.size;
        y = chunks.filter_width.quotient(tap);
        x = chunks.filter_width.remainder(tap, y);
        if (tap >= chunks.taps) channel = chunks.channels;  // beside all channels
    }
};

// Starts copies of a tile of the pictures at each of its runs, moved by (x, y) and from `channel` on.
template <class Tile>
__device__ __forceinline__ void copy_runs(bf16* to, const TensorMap& pictures, Mbarrier* full,
                                          const Place (&places)[Tile::BN / kBoxLine], int scale, int x,
                                          int y, int channel, int group) {
    UNROLL_ON_GPU for (int r = 0; r < Tile::BN / kBoxLine; ++r)
        copy_box(to + r * kBoxLine * Tile::BK, pictures, full, places[r].image, places[r].x * scale + x,
                 places[r].y * scale + y, channel, group);
}

// Rows of a group's maps, columns (pixel, image): what forward and data have in common.
template <class Tile, Major kA, class Out, class Load>
__device__ __forceinline__ void maps_tile(Out* out, const Product& product, const Parts& parts,
                                          const Runs& runs, int group_rows, const Epilogue& epilogue,
                                          const Load& load) {
    const Corner<Tile> tile(product, parts);
    Place places[Tile::BN / kBoxLine];
    UNROLL_ON_GPU for (int r = 0; r < Tile::BN / kBoxLine; ++r)
        places[r] = {runs, tile.n / kBoxLine + r};
    const index_t plane = index_t(runs.pixels) * runs.images;
    const int first_row = int(blockIdx.y) * group_rows + tile.m;
    tile.template compute<Run<float, 4>>(
        [&](const auto& put) {
            wgmma_loop<Tile, kA, Major::mn>(
                tile.k_begin, tile.k_end,
                [&](bf16* a, bf16* b, Mbarrier* full, int k) { load(a, b, full, k, tile.m, places); },
                put);
        },
        [&](int m, int n, const Run<float, 4>& sums) {
            const Place at(runs, (tile.n + n) / kBoxLine);
            const int image = at.image + n % kBoxLine;
            if (at.pixel >= runs.pixels || image >= runs.images) return;
            const int row = first_row + m;
            epilogue.store_along(sums, out + row * plane + index_t(at.pixel) * runs.images + image,
                                 row);
        });
}

template <class Tile, class Out>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_wgmma_forward_kernel(Out* out, Parts parts, const __grid_constant__ TensorMap inp,
                              const __grid_constant__ TensorMap weights, ConvSize s, Product product,
                              Runs runs, Chunks chunks, Epilogue epilogue) {
    const int group = int(blockIdx.y);
    maps_tile<Tile, Major::mn>(
        out, product, parts, runs, s.group_filters(), epilogue,
        [&](bf16* a, bf16* b, Mbarrier* full, int k, int m, const Place(&places)[Tile::BN / kBoxLine]) {
            const Chunk from(chunks, k / Tile::BK);
            UNROLL_ON_GPU for (int i = 0; i < Tile::BM; i += kBoxLine)
                copy_box(a + i * Tile::BK, weights, full, m + i, group, from.tap, from.channel);
            copy_runs<Tile>(b, inp, full, places, s.stride, from.x - s.padding, from.y - s.padding,
                            from.channel, group);
        });
}

template <class Tile, class Out>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_wgmma_data_kernel(Out* dinp, Parts parts, const __grid_constant__ TensorMap dout,
                           const __grid_constant__ TensorMap weights, ConvSize s, Product product,
                           Runs runs, Chunks chunks, Epilogue epilogue) {
    const int group = int(blockIdx.y);
    maps_tile<Tile, Major::k>(
        dinp, product, parts, runs, s.group_channels(), epilogue,
        [&](bf16* a, bf16* b, Mbarrier* full, int k, int m, const Place(&places)[Tile::BN / kBoxLine]) {
            const Chunk from(chunks, k / Tile::BK);
            copy_box(a, weights, full, from.channel, group, from.tap, m);
            copy_runs<Tile>(b, dout, full, places, 1, s.padding - from.x, s.padding - from.y,
                            from.channel, group);
        });
}

// Rows come in boxes of units.size channels of a tap.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_wgmma_weights_kernel(float* dweights, Parts parts, const __grid_constant__ TensorMap inp,
                              const __grid_constant__ TensorMap dout, ConvSize s, Product product,
                              Runs runs, Chunks units, Divisor unit_size, Epilogue epilogue) {
    const Corner<Tile> tile(product, parts);
    const int group = int(blockIdx.y), first_unit = unit_size.quotient(tile.m);
    float* to = dweights + group * s.group_filters() + tile.n;
    auto load = [&](bf16* a, bf16* b, Mbarrier* full, int k) {
        const Place at(runs, k / kBoxLine);
        for (int i = 0; i * units.size < Tile::BM; ++i) {
            const Chunk unit(units, first_unit + i);
            copy_box(a + i * units.size * Tile::BK, inp, full, at.image,
                     at.x * s.stride - s.padding + unit.x, at.y * s.stride - s.padding + unit.y,
                     unit.channel, group);
        }
        copy_box(b, dout, full, at.image, at.x, at.y, tile.n, group);
    };
    tile.template compute<Run<float, 4>>(
        [&](const auto& put) {
            wgmma_loop<Tile, Major::k, Major::k>(tile.k_begin, tile.k_end, load, put);
        },
        [&](int m, int n, const Run<float, 4>& sums) {
            const int i = unit_size.quotient(m);
            const Chunk unit(units, first_unit + i);
            const int channel = unit.channel + unit_size.remainder(m, i);
            if (channel >= units.channels) return;
            epilogue.store_along(sums, to + index_t(channel * units.taps + unit.tap) * s.filters + n,
                                 0);
        });
}

// Of (channels, height, width, images), by group.
TensorMap map_of_pictures(const char* name, const bf16* data, const ConvSize& s, int channels,
                          int height, int width, int box_channels) {
    const index_t images = s.images, plane = images * height * width;
    const int own = channels / s.groups;
    return make_tensor_map(name, data,
                           {{images, 1, kBoxLine},
                            {width, images, 1},
                            {height, images * width, 1},
                            {own, plane, box_channels},
                            {s.groups, own * plane, 1}});
}

TensorMap map_of_weights(const bf16* data, const ConvSize& s, int box_channels) {
    return make_tensor_map("weights", data,
                           {{s.group_filters(), 1, kBoxLine},
                            {s.groups, s.group_filters(), 1},
                            {s.taps(), s.filters, 1},
                            {s.group_channels(), index_t(s.taps()) * s.filters, box_channels}});
}

struct ForWarpgroups : ForGpu {
    static constexpr GpuWave wave = {3, 11};
};

// Calls use(tile) with the first of the tiles that pads rows x columns nearly as little as the best.
template <class... Tiles, class Rows, class Use>
void with_best_tile(const Rows& padded_rows, index_t columns, const Use& use) {
    auto area = [&](auto tile) {
        using Tile = decltype(tile);
        return padded_rows(tile) * ceil_div(columns, index_t(Tile::BN)) * Tile::BN;
    };
    index_t least = index_t(1) << 62;
    ((least = smaller(least, area(Tiles()))), ...);
    bool is_used = false;
    auto use_if_good = [&](auto tile) {
        if (is_used || area(tile) > least + least / 10) return;
        is_used = true;
        use(tile);
    };
    (use_if_good(Tiles()), ...);
}

template <int kDepth, class Use>
void with_maps_tile(int rows, index_t columns, const Use& use) {
    with_best_tile<WgmmaTile<2, 1, 256, kDepth, 4>, WgmmaTile<2, 1, 128, kDepth, 4>,
                   WgmmaTile<3, 1, 128, kDepth, 4>, WgmmaTile<1, 2, 128, kDepth, 4>>(
        [&](auto tile) { return index_t(ceil_div(rows, decltype(tile)::BM)) * decltype(tile)::BM; },
        columns, use);
}

// use(tile, runs, chunks, product) of the forward pass: steps of 48 or 64 channels, whichever pad less.
template <class Use>
void with_forward(const ConvSize& s, const Use& use) {
    const Runs runs(s.images, s.out_height, s.out_width);
    auto with_depth = [&](auto depth) {
        with_maps_tile<depth>(s.group_filters(), runs.columns(), [&](auto tile) {
            const Chunks chunks(depth, s, s.group_channels());
            use(tile, runs, chunks,
                product_of<ForWarpgroups, decltype(tile)>(s.group_filters(), int(runs.columns()),
                                                          chunks.count() * depth, s.groups, false));
        });
    };
    auto padded = [&](int depth) { return ceil_div(s.group_channels(), depth) * depth; };
    if (padded(48) < padded(64))
        with_depth(std::integral_constant<int, 48>());
    else
        with_depth(std::integral_constant<int, 64>());
}

template <class Use>
void with_data(const ConvSize& s, const Use& use) {
    const Runs runs(s.images, s.height, s.width);
    const Chunks chunks(kBoxLine, s, s.group_filters());
    with_maps_tile<kBoxLine>(s.group_channels(), runs.columns(), [&](auto tile) {
        use(tile, runs, chunks,
            product_of<ForWarpgroups, decltype(tile)>(s.group_channels(), int(runs.columns()),
                                                      chunks.count() * kBoxLine, s.groups, false));
    });
}

// The box of so many channels that pads them least and of which a tile's rows are a multiple.
int unit_of(int rows, int channels) {
    auto padded = [&](int size) { return ceil_div(channels, size) * size; };
    int best = 8;
    for (int size = 8; size <= rows; size += 8)
        if (rows % size == 0 && padded(size) <= padded(best)) best = size;
    return best;
}

template <class Use>
void with_weights(const ConvSize& s, const Use& use) {
    auto units_of = [&](auto tile) {
        return Chunks(unit_of(decltype(tile)::BM, s.group_channels()), s, s.group_channels());
    };
    auto rows_of = [&](auto tile) {
        const Chunks units = units_of(tile);
        return ceil_div(units.count() * units.size, decltype(tile)::BM) * index_t(decltype(tile)::BM);
    };
    const Runs runs(s.images, s.out_height, s.out_width);
    with_best_tile<WgmmaTile<2, 1, 256, 64, 4>, WgmmaTile<3, 1, 192, 64, 4>,
                   WgmmaTile<3, 1, 128, 64, 4>, WgmmaTile<2, 1, 128, 64, 4>>(
        rows_of, s.group_filters(), [&](auto tile) {
            const Chunks units = units_of(tile);
            use(tile, runs, units,
                product_of<ForWarpgroups, decltype(tile)>(units.count() * units.size, s.group_filters(),
                                                          int(runs.columns()), s.groups, false));
        });
}

template <class Tile>
LaunchShape wgmma_shape(dim3 grid) {
    return {grid, Tile::threads, size_t(Tile::shared_bytes), 90, true};
}

}  // namespace

bool wgmma_suits(const ConvSize& s, ConvPass pass) {
    const index_t columns = larger(Runs(s.images, s.height, s.width).columns(),
                                   Runs(s.images, s.out_height, s.out_width).columns());
    constexpr index_t kMost = (index_t(1) << 31) - 256;  // counted in ints, in whole tiles
    return s.aligned && s.images % 8 == 0 && s.group_filters() % 8 == 0 && s.group_channels() >= 16 &&
           columns < kMost && (pass != ConvPass::data || s.stride == 1);
}

bool has_wgmma() {
    return holds_wgmma_loop<conv_wgmma_weights_kernel<WgmmaTile<2, 1, 128, 64, 4>>>();
}

index_t conv_wgmma_forward_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_forward(s, [&](auto tile, const Runs&, const Chunks&, const Product& p) {
        floats = parts_size<decltype(tile)>(p, s.groups);
    });
    return floats;
}

template <class Out>
void conv_wgmma_forward(Out* out, const bf16* inp, const bf16* weights, const float* bias,
                        float* workspace, const ConvSize& s, Neuron neuron, bool accumulate,
                        Stream stream) {
    with_forward(s, [&](auto tile, const Runs& runs, const Chunks& chunks, const Product& product) {
        using Tile = decltype(tile);
        const TensorMap of_inp =
            map_of_pictures("inp", inp, s, s.channels, s.height, s.width, Tile::BK);
        const TensorMap of_weights = map_of_weights(weights, s, Tile::BK);
        run_product<ForWarpgroups, Tile>(
            product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
                launch_with_barriers<conv_wgmma_forward_kernel<Tile, Out>>(
                    wgmma_shape<Tile>(grid), stream, out, parts, of_inp, of_weights, s, product, runs,
                    chunks, Epilogue{accumulate, bias, neuron});
            });
    });
}

index_t conv_wgmma_backward_data_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_data(s, [&](auto tile, const Runs&, const Chunks&, const Product& p) {
        floats = parts_size<decltype(tile)>(p, s.groups);
    });
    return floats;
}

template <class Out>
void conv_wgmma_backward_data(Out* dinp, const bf16* dout, const bf16* weights, float* workspace,
                              const ConvSize& s, bool accumulate, Stream stream) {
    with_data(s, [&](auto tile, const Runs& runs, const Chunks& chunks, const Product& product) {
        using Tile = decltype(tile);
        const TensorMap of_dout =
            map_of_pictures("dout", dout, s, s.filters, s.out_height, s.out_width, Tile::BK);
        const TensorMap of_weights = map_of_weights(weights, s, Tile::BM);
        run_product<ForWarpgroups, Tile>(
            product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
                launch_with_barriers<conv_wgmma_data_kernel<Tile, Out>>(
                    wgmma_shape<Tile>(grid), stream, dinp, parts, of_dout, of_weights, s, product, runs,
                    chunks, Epilogue{accumulate, nullptr, kIdent});
            });
    });
}

index_t conv_wgmma_backward_weights_workspace(const ConvSize& s) {
    index_t floats = 0;
    with_weights(s, [&](auto tile, const Runs&, const Chunks&, const Product& p) {
        floats = parts_size<decltype(tile)>(p, s.groups);
    });
    return floats;
}

void conv_wgmma_backward_weights(float* dweights, const bf16* inp, const bf16* dout, float* workspace,
                                 const ConvSize& s, bool accumulate, Stream stream) {
    with_weights(s, [&](auto tile, const Runs& runs, const Chunks& units, const Product& product) {
        using Tile = decltype(tile);
        const TensorMap of_inp =
            map_of_pictures("inp", inp, s, s.channels, s.height, s.width, units.size);
        const TensorMap of_dout =
            map_of_pictures("dout", dout, s, s.filters, s.out_height, s.out_width, Tile::BN);
        run_product<ForWarpgroups, Tile>(
            product, s.groups, workspace, [&](dim3 grid, const Parts& parts) {
                launch_with_barriers<conv_wgmma_weights_kernel<Tile>>(
                    wgmma_shape<Tile>(grid), stream, dweights, parts, of_inp, of_dout, s, product, runs,
                    units, Divisor(units.size), Epilogue{accumulate, nullptr, kIdent});
            });
    });
}

template void conv_wgmma_forward(float*, const bf16*, const bf16*, const float*, float*,
                                 const ConvSize&, Neuron, bool, Stream);
template void conv_wgmma_forward(bf16*, const bf16*, const bf16*, const float*, float*, const ConvSize&,
                                 Neuron, bool, Stream);
template void conv_wgmma_backward_data(float*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                       Stream);
template void conv_wgmma_backward_data(bf16*, const bf16*, const bf16*, float*, const ConvSize&, bool,
                                       Stream);
