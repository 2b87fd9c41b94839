// Response normalisation across channels and the max pooling of it in one pass (paper, sections 3.3 and
// 3.4): the normalised maps are never in memory.
//
//   forward   out = f(max over the window of norm(inp))
//   backward  dinp = the gradient through both, and through the neuron `below` that made inp; norm(inp)
//             is computed again, to the bits that forward compared
//
// Formulas, windows and ties are those of lrn.cu and pool.cu, and so is each bit.
//
// inp, dinp (channels, height, width, images); out, dout (channels, outputs_y, outputs_x, images). With
// E bytes of maps and P of pooled ones, forward must move E + P, and backward 2 E + 2 P.
//
// Forward, a thread owns a tile of outputs in one lane group of images and walks over the channels: the
// pixels beneath it overlap only at its edges, so that few are normalised twice. A tile wants rings in
// registers, so it is for AlexNet's windows alone; with others a thread normalises what its window
// holds anew for each output. Backward, a thread owns one pixel in T::run lane groups, as in lrn.cu,
// and gathers from the outputs that its windows pool to. Where pixels are too few to fill the machine,
// the channels are cut into parts, each with some channels before and behind that it only looks at.
//
// On CPUs, where a core's arithmetic is soon the bottleneck, two passes are faster: nets do not use it.
#include "../core/pixel_map.h"
#include "lrn.h"
#include "pool.h"

namespace {

constexpr int kPool = 3, kStride = 2;  // AlexNet's windows

// Threads walk over channels: each has one pixel, or one tile.
template <class T>
struct OnePixel : T {
    static constexpr int pixels = 1;
};
template <class T>
struct OneTile : OnePixel<T> {
    static constexpr int threads = T::lrn_pool_threads;
};

struct Parts {
    int count, channels;  // of each; a multiple of the window, so that slots of rings stay the same

    // Enough for T::lrn_pool_blocks blocks, but not so short that they do little but look beyond.
    template <class T>
    static Parts of(int channels, int size, index_t threads) {
        const index_t blocks = ceil_div(threads, index_t(T::threads));
        const int wanted = int(ceil_div(index_t(T::lrn_pool_blocks), blocks));
        const int each = larger(ceil_div(channels, wanted), 4 * size);
        const int part = ceil_div(each, size) * size;
        return {ceil_div(channels, part), part};
    }
};

// norm(inp) of channel i: `inp_of(c)` for one channel after the other, squares in the order of lrn.h's
// rings.
template <class S, class V, class InpOf>
__device__ __forceinline__ V normalised(int i, int channels, const Norm& norm, InpOf inp_of) {
    const int first = i - norm.size / 2, slot_first = (first + norm.size) % norm.size;
    V squares = splat<V>(0.f);
    for (int slot = 0; slot < norm.size; ++slot) {
        const int c = first + slot - slot_first + (slot < slot_first ? norm.size : 0);
        if (c < 0 || c >= channels) continue;
        const V x = inp_of(c);
        squares = multiply_add(x, x, squares);
    }
    return as_stored<S>(inp_of(i) * Inverse<V>(denominator(squares, norm), norm.power).of_power);
}

}  // namespace

template <class T, class S>
__global__ void lrn_pool_forward_kernel(S* __restrict__ out, const S* __restrict__ inp, PoolSizes s,
                                        Norm norm, PixelMap<T> tiles, Parts parts, Neuron neuron) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kSize = kUsualLrnSize, kAfter = kSize - 1 - kSize / 2;
    constexpr int kTile = T::lrn_pool_tile, kSide = (kTile - 1) * kStride + kPool;
    const index_t map = index_t(s.height) * s.width * s.images;
    tiles.for_each_chunk([&](int part, int tile_y, int tile_x, int image, int count) {
        const int first = part * parts.channels, end = smaller(first + parts.channels, s.channels);
        const int top = tile_y * kTile, left = tile_x * kTile;
        // A CPU leaves out what no output needs.
        const int used_y = L == 1 ? kTile : smaller(kTile, s.outputs_y - top),
                  used_x = L == 1 ? kTile : smaller(kTile, s.outputs_x - left);
        const int rows = (used_y - 1) * kStride + kPool, columns = (used_x - 1) * kStride + kPool;
        // Pixels outside the map are taken to be those at its border: no maximum changes, for a window
        // that holds the former holds the latter.
        int row_at[kSide], column_at[kSide];
        UNROLL_ON_GPU
        for (int k = 0; k < kSide; ++k) {
            const int y = s.start + top * kStride + k, x = s.start + left * kStride + k;
            row_at[k] = smaller(larger(y, 0), s.height - 1) * s.width * s.images;
            column_at[k] = smaller(larger(x, 0), s.width - 1) * s.images;
        }
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                LrnRing<V, kSize, kSide * kSide> x = {};
                // Channel c arrives; channel i has now seen its whole window.
                walk<kSize>(larger(first - kSize, 0), end + kAfter, kSize, [&](int c, int slot) {
                    const int i = c - kAfter, slot_i = (slot + kSize - kAfter) % kSize;
                    const S* const from = inp + c * map + image + n;
                    UNROLL_ON_GPU
                    for (int row = 0; row < rows; ++row) UNROLL_ON_GPU
                    for (int column = 0; column < columns; ++column)
                        x[slot][row * kSide + column] =
                            c < s.channels ? load<V>(from + row_at[row] + column_at[column], lanes)
                                           : V{};
                    if (i < first) return;
                    V pooled[kTile][kTile];
                    UNROLL_ON_GPU
                    for (int row = 0; row < rows; ++row) {
                        V pixels[kSide];
                        UNROLL_ON_GPU
                        for (int column = 0; column < columns; ++column) {
                            const int r = row * kSide + column;
                            const Inverse<V> inverse(denominator<kSize>(x, r, norm), norm.power);
                            pixels[column] = as_stored<S>(x[slot_i][r] * inverse.of_power);
                        }
                        UNROLL_ON_GPU
                        for (int v = 0; v < used_x; ++v) {
                            V largest = splat<V>(-INFINITY);
                            UNROLL_ON_GPU
                            for (int k = 0; k < kPool; ++k)
                                largest = max_lanes(pixels[v * kStride + k], largest);
                            UNROLL_ON_GPU
                            for (int u = 0; u < used_y; ++u) {
                                const int k = row - u * kStride;
                                if (k < 0 || k >= kPool) continue;
                                const V so_far = k ? pooled[u][v] : splat<V>(-INFINITY);
                                pooled[u][v] = max_lanes(largest, so_far);
                            }
                        }
                    }
                    UNROLL_ON_GPU
                    for (int u = 0; u < used_y; ++u) UNROLL_ON_GPU
                    for (int v = 0; v < used_x; ++v)
                        if (L > 1 || (top + u < s.outputs_y && left + v < s.outputs_x))
                            store(out + image + n +
                                      index_t((i * s.outputs_y + top + u) * s.outputs_x + left + v) *
                                          s.images,
                                  activate(neuron, pooled[u][v]), lanes);
                });
            });
    });
}

// For windows of any sizes.
template <class T, class S>
__global__ void lrn_pool_any_forward_kernel(S* __restrict__ out, const S* __restrict__ inp, PoolSizes s,
                                            Norm norm, PixelMap<T> outputs, Neuron neuron) {
    using V = typename T::V;
    const index_t map = index_t(s.height) * s.width * s.images;
    outputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = window(s, y, s.height), columns = window(s, x, s.width);
        for (int n = 0; n < count; n += lane_count<V>)
            with_lanes<V>(count - n, [&](auto lanes) {
                V pooled = splat<V>(-INFINITY);
                for (int row = rows.first; row < rows.end; ++row)
                    for (int column = columns.first; column < columns.end; ++column) {
                        const S* const from =
                            inp + index_t(row * s.width + column) * s.images + image + n;
                        const V pixel = normalised<S, V>(channel, s.channels, norm, [&](int c) {
                            return load<V>(from + c * map, lanes);
                        });
                        pooled = max_lanes(pixel, pooled);
                    }
                store(
                    out + index_t((channel * s.outputs_y + y) * s.outputs_x + x) * s.images + image + n,
                    activate(neuron, pooled), lanes);
            });
    });
}

template <class T, class S, int kSize, bool relu_below>
__global__ void lrn_pool_backward_kernel(S* __restrict__ dinp, const S* __restrict__ dout,
                                         const S* __restrict__ inp, const S* __restrict__ out,
                                         PoolSizes s, Norm norm, PixelMap<T> pixels, Parts parts,
                                         Divisor stride, Neuron neuron, bool accumulate) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const int size = kSize ? kSize : norm.size, before = size / 2, after = size - 1 - before;
    const float factor = 2 * norm.power * norm.scale;
    const index_t map = index_t(s.height) * s.width * s.images,
                  outputs = index_t(s.outputs_y) * s.outputs_x * s.images;
    pixels.for_each_chunk([&](int part, int y, int x_, int image, int count) {
        const int first = part * parts.channels, end = smaller(first + parts.channels, s.channels);
        const Range rows = windows_with(s, stride, y, s.outputs_y);
        const Range columns = windows_with(s, stride, x_, s.outputs_x);
        const index_t at = index_t(y * s.width + x_) * s.images + image;

        // The gradient of channel j's normalised pixel, which went into the maxima that equal it.
        auto dnormalised_of = [&](int j, V pixel, int n, auto lanes) {
            const V zero = splat<V>(0.f);
            V sum = zero;
            for (int u = rows.first; u < rows.end; ++u)
                for (int v = columns.first; v < columns.end; ++v) {
                    const index_t from =
                        j * outputs + index_t(u * s.outputs_x + v) * s.images + image + n;
                    const V pooled = load<V>(out + from, lanes);
                    const V dy = activate_backward(neuron, load<V>(dout + from, lanes), pooled);
                    sum += pixel == pooled ? dy : zero;
                }
            return as_stored<S>(sum);
        };

        LrnRing<V, kSize, T::run> x = {}, scaled = {}, pull = {};  // of j, as in lrn.cu
        // Channel c arrives; j has seen its window of x, i all windows of j that hold it.
        walk<kSize>(larger(first - size, 0), end + size - 1, size, [&](int c, int slot) {
            const int j = c - after, slot_j = (slot + size - after) % size;
            const int i = j - before, slot_i = (slot + 1) % size;
            for (int r = 0, n = 0; n < count; ++r, n += L)
                with_lanes<V>(count - n, [&](auto lanes) {
                    x[slot][r] = c < s.channels ? load<V>(inp + c * map + at + n, lanes) : V{};
                    if (j < 0) return;
                    scaled[slot_j][r] = pull[slot_j][r] = V{};
                    if (j < s.channels) {
                        const V xj = x[slot_j][r];
                        const Inverse<V> inverse(denominator<kSize>(x, r, norm), norm.power);
                        const V pixel = as_stored<S>(xj * inverse.of_power);
                        scaled[slot_j][r] = dnormalised_of(j, pixel, n, lanes) * inverse.of_power;
                        pull[slot_j][r] = lrn_pull(scaled[slot_j][r], xj, inverse.of_d);
                    }
                    if (i < first) return;
                    V pulls = pull[0][r];
                    UNROLL
                    for (int k = 1; k < size; ++k) pulls += pull[k][r];
                    const V xi = x[slot_i][r];
                    const V dx = lrn_gradient(scaled[slot_i][r], xi, pulls, factor);
                    store_gradient<relu_below>(dinp + i * map + at + n, dx, xi, accumulate, lanes);
                });
        });
    });
}

template <class S>
void lrn_pool_forward(S* out, const S* inp, PoolSizes s, Norm norm, Neuron neuron, Stream stream) {
    tuned_for(s.images, [&](auto tuning) {
        using T = decltype(tuning);
        if (norm.size == kUsualLrnSize && s.size == kPool && s.stride == kStride) {
            using Tiled = OneTile<T>;
            const int tiles_y = ceil_div(s.outputs_y, T::lrn_pool_tile),
                      tiles_x = ceil_div(s.outputs_x, T::lrn_pool_tile);
            const index_t threads = PixelMap<Tiled>(1, tiles_y, tiles_x, s.images).chunks;
            const auto parts = Parts::of<Tiled>(s.channels, norm.size, threads);
            const PixelMap<Tiled> tiles(parts.count, tiles_y, tiles_x, s.images);
            launch<lrn_pool_forward_kernel<Tiled, S>>(tiles.shape(), stream, out, inp, s, norm, tiles,
                                                      parts, neuron);
        } else {
            const PixelMap<T> outputs(s.channels, s.outputs_y, s.outputs_x, s.images);
            launch<lrn_pool_any_forward_kernel<T, S>>(outputs.shape(), stream, out, inp, s, norm,
                                                      outputs, neuron);
        }
    });
}

template <class S>
void lrn_pool_backward(S* dinp, const S* dout, const S* inp, const S* out, PoolSizes s, Norm norm,
                       Neuron neuron, bool accumulate, bool relu_below, Stream stream) {
    tuned_for(s.images, [&](auto tuning) {
        using T = OnePixel<decltype(tuning)>;
        const index_t threads = PixelMap<T>(1, s.height, s.width, s.images).chunks;
        const auto parts = Parts::of<T>(s.channels, norm.size, threads);
        const PixelMap<T> pixels(parts.count, s.height, s.width, s.images);
        auto start = [&](auto size) {
            constexpr int kSize = decltype(size)::value;
            with_constant(relu_below, [&](auto relu) {
                launch<lrn_pool_backward_kernel<T, S, kSize, decltype(relu)::value>>(
                    pixels.shape(), stream, dinp, dout, inp, out, s, norm, pixels, parts,
                    Divisor(s.stride), neuron, accumulate);
            });
        };
        if (norm.size == kUsualLrnSize)
            start(std::integral_constant<int, kUsualLrnSize>{});
        else
            start(std::integral_constant<int, 0>{});
    });
}

template void lrn_pool_forward(float*, const float*, PoolSizes, Norm, Neuron, Stream);
template void lrn_pool_forward(bf16*, const bf16*, PoolSizes, Norm, Neuron, Stream);
template void lrn_pool_backward(float*, const float*, const float*, const float*, PoolSizes, Norm,
                                Neuron, bool, bool, Stream);
template void lrn_pool_backward(bf16*, const bf16*, const bf16*, const bf16*, PoolSizes, Norm, Neuron,
                                bool, bool, Stream);
