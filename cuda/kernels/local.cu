// Locally connected layers and their gradients: as conv.cu, but each output position has filters of its
// own.
//
//   inp      (channels, height, width, images)
//   weights  (out_height * out_width, channels / groups, filter_height, filter_width, filters)
//   bias     (filters, out_height, out_width)
//   out      (filters, out_height, out_width, images)
//
// At a position p, with the columns P[p] of the patch matrix (conv.h), which are its images:
//
//   forward           out[p] = f([out[p] +] weights[p]^T * P[p] + bias[p])       depth (ky, kx, c)
//   backward_weights  dweights[p] = [dweights[p] +] P[p] * dout[p]^T             depth: images
//   backward_data     dinp[q] = [dinp[q] +] sum over p  weights[p] * dout[p]     depth (p, f)
//
// where q is an input pixel, and p runs over the positions that see it, with the weights of the tap
// through which they do.
//
// Each is one matrix product per place (a position, or an input pixel), so that all of them run through
// the tile loop of conv.cu, whose columns are now the images of one place: a weight is read once for
// all images of a tile. There are many products and they are small, hence half-sized tiles on a GPU
// (T::Local), and no depth is cut into parts.
//
// Thread map: a block has one tile of one place's product; blockIdx = ((place, tile), group).
#include "../core/launch.h"
#include "../core/tile_loop.h"
#include "conv.h"
#include "ops.h"

namespace {

template <class Tile>
LaunchShape product_shape(int places, int rows, int columns, int groups) {
    const int tiles = ceil_div(rows, Tile::BM) * ceil_div(columns, Tile::BN);
    return {dim3(unsigned(places) * unsigned(tiles), unsigned(groups)), dim3(Tile::threads),
            size_t(Tile::shared_bytes)};
}

// This block's place, and its tile of that place's product: the corner and the extent inside.
template <class Tile>
struct Corner {
    int place, m, n, rows, columns;

    __device__ __forceinline__ Corner(int all_rows, int all_columns) {
        const int row_tiles = ceil_div(all_rows, Tile::BM);
        const int tiles = row_tiles * ceil_div(all_columns, Tile::BN);
        place = int(blockIdx.x) / tiles;
        const int tile = int(blockIdx.x) % tiles;
        m = tile % row_tiles * Tile::BM;
        n = tile / row_tiles * Tile::BN;
        rows = smaller(Tile::BM, all_rows - m);
        columns = smaller(Tile::BN, all_columns - n);
    }
    // Rows of A and columns of B to fill: whole passes of the micro-kernel.
    __device__ __forceinline__ int filled_rows() const {
        return Tile::in_registers ? Tile::BM : ceil_div(rows, Tile::RM) * Tile::RM;
    }
    __device__ __forceinline__ int filled_columns() const {
        constexpr int kPass = Tile::RN * Tile::L;
        return Tile::in_registers ? Tile::BN : ceil_div(columns, kPass) * kPass;
    }
};

// The columns of one place: its images.
Columns images_of_a_place(const ConvSize& s) {
    return Columns(s.images, 1, 1);
}

// Rows of P.
PatchRows patch_rows(const ConvSize& s) {
    return {s.group_channels() * s.taps(), s.group_channels(), 1, Divisor(s.group_channels()),
            Divisor(s.filter_width)};
}

template <class T>
__global__ void __launch_bounds__(T::Local::threads)
    local_forward_kernel(float* out, const float* inp, const float* weights, const float* bias,
                         ConvSize s, Columns columns, PatchRows taps, Neuron neuron, bool accumulate) {
    using Tile = typename T::Local::InPanels;
    using V = typename Tile::V;
    const int group = int(blockIdx.y), positions = s.out_height * s.out_width;
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;
    const Corner<Tile> tile(group_filters, columns.count);
    const int y = tile.place / s.out_width, x = tile.place % s.out_width;

    const Pictures pictures = {inp + index_t(group) * group_channels * s.height * s.width * s.images,
                               s.height, s.width, s.images};
    const PatchTile<V, Tile::threads, Tile::BN, Tile::in_registers> patches(
        pictures, columns, tile.n, 1, y * s.stride - s.padding, x * s.stride - s.padding,
        tile.filled_columns());
    // Row (tap, c) of A is row (c, tap) of the position's weights.
    const int tap_count = s.filter_height * s.filter_width, depth_all = taps.rows;
    const float* filters =
        weights + index_t(tile.place) * depth_all * s.filters + group * group_filters + tile.m;
    auto load_a = [&](float* a, int k0, int depth) {
        load_panels<Tile>(a, depth, tile.rows, tile.filled_rows(), [&](int k) {
            const PatchRow row = taps(k0 + k);
            const index_t at = index_t(row.channel * tap_count + row.tap) * s.filters;
            return row.channel < 0 ? nullptr : filters + at;
        });
    };
    auto load_b = [&](float* b, int k0, int depth) {
        patches.load_rows(taps, k0, depth,
                          [&](int k, int n, V v) { store(b + k * Tile::stride_b + n, v); });
    };
    tile_loop<Tile>(tile.rows, tile.columns, 0, depth_all, load_a, load_b, [&](int m, int n, V sum) {
        const index_t row = index_t(group * group_filters + tile.m + m) * positions + tile.place;
        float* p = out + row * s.images + tile.n + n;
        const int count = s.images - tile.n - n;
        if (accumulate) sum = load<V>(p, count) + sum;
        if (bias) sum += splat<V>(bias[row]);
        store(p, activate(neuron, sum), count);
    });
}

// The positions of one axis that see a pixel: position - i, for i < count, through tap + i * stride.
struct Seen {
    int position, tap, count;

    __device__ __forceinline__ Seen(int pixel, int filter, int outputs, int stride, int padding) {
        position = smaller((pixel + padding) / stride, outputs - 1);
        tap = pixel + padding - position * stride;
        count = tap < filter ? smaller(ceil_div(filter - tap, stride), position + 1) : 0;
    }
};

template <class T>
__global__ void __launch_bounds__(T::Local::threads)
    local_backward_data_kernel(float* dinp, const float* dout, const float* weights, ConvSize s,
                               Columns columns, Divisor padded_filters, bool accumulate) {
    using Tile = typename T::Local;
    using V = typename Tile::V;
    using WeightsWalk = TileWalk<Tile::L, Tile::threads, Tile::BK>;
    const int group = int(blockIdx.y);
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;
    const Corner<Tile> tile(group_channels, columns.count);
    const Seen y(tile.place / s.width, s.filter_height, s.out_height, s.stride, s.padding);
    const Seen x(tile.place % s.width, s.filter_width, s.out_width, s.stride, s.padding);
    // Rows (i, j, f) of the product's depth: filter f of position (y.position - i, x.position - j).
    const PatchRows seen = {y.count * x.count * padded_filters.value(), group_filters, -1,
                            padded_filters, Divisor(larger(1, x.count))};

    const Pictures gradients = {
        dout + index_t(group) * group_filters * s.out_height * s.out_width * s.images, s.out_height,
        s.out_width, s.images};
    const PatchTile<V, Tile::threads, Tile::BN, Tile::in_registers> patches(
        gradients, columns, tile.n, 1, y.position, x.position, tile.filled_columns());
    const int filter_size = s.filter_height * s.filter_width * s.filters;
    auto load_a = [&](float* a, int k0, int depth) {
        const float* from[WeightsWalk::per_thread];
        int count[WeightsWalk::per_thread];
        UNROLL for (int j = 0; j < WeightsWalk::per_thread; ++j) {
            const PatchRow row = seen(k0 + WeightsWalk::column(j));
            const int position = (y.position + row.y) * s.out_width + x.position + row.x;
            const int ky = y.tap - row.y * s.stride, kx = x.tap - row.x * s.stride;
            from[j] = weights + index_t(position) * group_channels * filter_size +
                      (index_t(ky) * s.filter_width + kx) * s.filters + group * group_filters +
                      row.channel;
            count[j] = row.channel < 0 ? 0 : group_filters - row.channel;
        }
        for (int m = WeightsWalk::first_row(); m < tile.filled_rows(); m += WeightsWalk::row_step) {
            const index_t channel = index_t(tile.m + m) * filter_size;
            UNROLL_ON_GPU for (int j = 0; j < WeightsWalk::per_thread; ++j) {
                if (WeightsWalk::column(j) >= depth) break;
                store(a + a_index<Tile>(m, WeightsWalk::column(j)),
                      load<V>(from[j] + channel, m < tile.rows ? count[j] : 0));
            }
        }
    };
    auto load_b = [&](float* b, int k0, int depth) {
        patches.load_rows(seen, k0, depth,
                          [&](int k, int n, V v) { store(b + k * Tile::stride_b + n, v); });
    };
    tile_loop<Tile>(tile.rows, tile.columns, 0, seen.rows, load_a, load_b, [&](int m, int n, V sum) {
        const index_t row = index_t(group * group_channels + tile.m + m) * s.height * s.width;
        float* p = dinp + (row + tile.place) * s.images + tile.n + n;
        const int count = s.images - tile.n - n;
        if (accumulate) sum = load<V>(p, count) + sum;
        store(p, sum, count);
    });
}

template <class T>
__global__ void __launch_bounds__(T::LocalWeights::threads)
    local_backward_weights_kernel(float* dweights, const float* inp, const float* dout, ConvSize s,
                                  Columns columns, PatchRows taps, bool accumulate) {
    using Tile = typename T::LocalWeights;
    using V = typename Tile::V;
    const int group = int(blockIdx.y), positions = s.out_height * s.out_width;
    const int group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;
    const Corner<Tile> tile(taps.rows, group_filters);
    const int y = tile.place / s.out_width, x = tile.place % s.out_width;

    const Pictures pictures = {inp + index_t(group) * group_channels * s.height * s.width * s.images,
                               s.height, s.width, s.images};
    const float* gradients =
        dout + (index_t(group * group_filters + tile.n) * positions + tile.place) * s.images;
    auto load_a = [&](float* a, int k0, int depth) {
        const PatchTile<V, Tile::threads, Tile::BK, Tile::in_registers> patches(
            pictures, columns, k0, 1, y * s.stride - s.padding, x * s.stride - s.padding, depth);
        patches.load_rows(taps, tile.m, tile.filled_rows(),
                          [&](int m, int k, V v) { store(a + a_index<Tile>(m, k), v); });
    };
    // dout has images contiguous and B wants filters so.
    auto load_b = [&](float* b, int k0, int depth) {
        load_transposed<V, Tile::threads, Tile::BK>(
            tile.filled_columns(), s.images - k0, depth,
            [&](int f) {
                return f < tile.columns ? gradients + index_t(f) * positions * s.images + k0 : nullptr;
            },
            [&](int k, int f, V v) { store(b + k * Tile::stride_b + f, v); });
    };
    const int tap_count = s.filter_height * s.filter_width;
    float* to = dweights + index_t(tile.place) * taps.rows * s.filters + group * group_filters + tile.n;
    tile_loop<Tile>(tile.rows, tile.columns, 0, columns.count, load_a, load_b,
                    [&](int m, int n, V sum) {
                        const PatchRow row = taps(tile.m + m);
                        float* p = to + index_t(row.channel * tap_count + row.tap) * s.filters + n;
                        const int count = tile.columns - n;
                        if (accumulate) sum = load<V>(p, count) + sum;
                        store(p, sum, count);
                    });
}

}  // namespace

void local_forward(float* out, const float* inp, const float* weights, const float* bias,
                   const ConvSize& s, Neuron neuron, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        using Tile = typename T::Local;
        const Columns columns = images_of_a_place(s);
        launch_with_barriers<local_forward_kernel<T>>(
            product_shape<Tile>(s.out_height * s.out_width, s.group_filters(), columns.count, s.groups),
            stream, out, inp, weights, bias, s, columns, patch_rows(s), neuron, accumulate);
    });
}

void local_backward_data(float* dinp, const float* dout, const float* weights, const ConvSize& s,
                         bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        using Tile = typename T::Local;
        const Columns columns = images_of_a_place(s);
        const Divisor padded_filters(ceil_div(s.group_filters(), Tile::L) * Tile::L);
        launch_with_barriers<local_backward_data_kernel<T>>(
            product_shape<Tile>(s.height * s.width, s.group_channels(), columns.count, s.groups),
            stream, dinp, dout, weights, s, columns, padded_filters, accumulate);
    });
}

void local_backward_weights(float* dweights, const float* inp, const float* dout, const ConvSize& s,
                            bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        using Tile = typename T::LocalWeights;
        const PatchRows taps = patch_rows(s);
        launch_with_barriers<local_backward_weights_kernel<T>>(
            product_shape<Tile>(s.out_height * s.out_width, taps.rows, s.group_filters(), s.groups),
            stream, dweights, inp, dout, s, images_of_a_place(s), taps, accumulate);
    });
}
