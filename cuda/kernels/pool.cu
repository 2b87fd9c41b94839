// Overlapping max and average pooling (paper, section 3.4), with the neuron behind it.
//
//   forward   out[c,y,x] = f(max or mean of the window of (y, x)): the size x size pixels of map c from
//             (start + y*stride, start + x*stride) on, clipped to the map; maxabs is the pixel of the
//             largest magnitude, the first of equal ones
//   backward  dinp[c,y,x] = sum over the windows that hold (y, x) of dout f'(out) / area, for max and
//             maxabs only where inp equals the window's: all pixels that tie get the whole gradient, as
//             in cuda-convnet
//
// inp, dinp (channels, height, width, images); out, dout (channels, outputs_y, outputs_x, images).
// Thread map: T::pixels pixels of the array written, T::run lane groups of images of each. The backward
// pass gathers, so that its sums have a fixed order.
#include "../core/bf16.h"
#include "../core/pixel_map.h"
#include "ops.h"
#include "pool.h"

namespace {

template <PoolKind kind>
constexpr float kOfNone = kind == PoolKind::max ? -INFINITY : 0.f;

// What the pixels so far and one more pool to.
template <PoolKind kind, class V>
__device__ __forceinline__ V pool(V pooled, V pixel) {
    if constexpr (kind == PoolKind::max)
        return max_lanes(pixel, pooled);
    else if constexpr (kind == PoolKind::maxabs)
        return abs_lanes(pixel) > abs_lanes(pooled) ? pixel : pooled;
    else
        return pooled + pixel;
}

// A number that is known when the kernel is compiled.
template <int n>
struct Known {
    __device__ constexpr operator int() const { return n; }
};

// Calls f(std::integral_constant<PoolKind, kind>).
template <class F>
void with_kind(PoolKind kind, F f) {
    switch (kind) {
        case PoolKind::max: return f(std::integral_constant<PoolKind, PoolKind::max>{});
        case PoolKind::maxabs: return f(std::integral_constant<PoolKind, PoolKind::maxabs>{});
        case PoolKind::avg: return f(std::integral_constant<PoolKind, PoolKind::avg>{});
    }
}

}  // namespace

template <class T, PoolKind kind, class S>
__global__ void pool_forward_kernel(S* __restrict__ out, const S* __restrict__ inp, PoolSizes s,
                                    PixelMap<T> outputs, Neuron neuron) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const index_t next_row = index_t(s.width) * s.images;
    outputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = window(s, y, s.height), columns = window(s, x, s.width);
        const int h = rows.end - rows.first, w = columns.end - columns.first;
        const float share = 1.f / float(h * w);
        const S* from = inp + (index_t(channel) * s.height + rows.first) * next_row +
                        columns.first * s.images + image;
        S* to = out + index_t((channel * s.outputs_y + y) * s.outputs_x + x) * s.images + image;
        auto pool_window = [&](auto h, auto w) {
            for (int n = 0; n < count; n += L)
                with_lanes<V>(count - n, [&](auto lanes) {
                    V pooled = splat<V>(kOfNone<kind>);
                    const S* row = from + n;
                    for (int i = 0; i < h; ++i, row += next_row)
                        for (int j = 0; j < w; ++j)
                            pooled = pool<kind>(pooled, load<V>(row + index_t(j) * s.images, lanes));
                    if (kind == PoolKind::avg) pooled *= share;
                    store(to + n, activate(neuron, pooled), lanes);
                });
        };
        if (h == 3 && w == 3)  // the paper's windows, without loops
            pool_window(Known<3>{}, Known<3>{});
        else
            pool_window(h, w);
    });
}

// The neuron is ident or relu: where its gradient is not zero, out is the maximum itself.
template <class T, PoolKind kind, bool relu_below, class S>
__global__ void pool_backward_kernel(S* __restrict__ dinp, const S* __restrict__ dout,
                                     const S* __restrict__ inp, const S* __restrict__ out, PoolSizes s,
                                     PixelMap<T> inputs, Divisor stride, Neuron neuron,
                                     bool accumulate) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    inputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = windows_with(s, stride, y, s.outputs_y);
        const Range columns = windows_with(s, stride, x, s.outputs_x);
        const index_t at = index_t((channel * s.height + y) * s.width + x) * s.images + image;
        const index_t map = index_t(channel) * s.outputs_y * s.outputs_x * s.images + image;
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                const V zero = splat<V>(0.f), pixel = load<V>(inp + at + n, lanes);
                V dx = zero;
                for (int i = rows.first; i < rows.end; ++i)
                    for (int j = columns.first; j < columns.end; ++j) {
                        const index_t from = map + index_t(i * s.outputs_x + j) * s.images + n;
                        const V pooled = load<V>(out + from, lanes);
                        const V dy = activate_backward(neuron, load<V>(dout + from, lanes), pooled);
                        if (kind != PoolKind::avg) {
                            dx += pixel == pooled ? dy : zero;
                        } else {
                            const Range h = window(s, i, s.height), w = window(s, j, s.width);
                            dx += dy * (1.f / float((h.end - h.first) * (w.end - w.first)));
                        }
                    }
                store_gradient<relu_below>(dinp + at + n, dx, pixel, accumulate, lanes);
            });
    });
}

template <class S>
void pool_forward(S* out, const S* inp, PoolSizes s, PoolKind kind, Neuron neuron, Stream stream) {
    tuned_for(s.images, [&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> outputs(s.channels, s.outputs_y, s.outputs_x, s.images);
        with_kind(kind, [&](auto known) {
            launch<pool_forward_kernel<T, known.value, S>>(outputs.shape(), stream, out, inp, s,
                                                           outputs, neuron);
        });
    });
}

template <class S>
void pool_backward(S* dinp, const S* dout, const S* inp, const S* out, PoolSizes s, PoolKind kind,
                   Neuron neuron, bool accumulate, bool relu_below, Stream stream) {
    tuned_for(s.images, [&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> inputs(s.channels, s.height, s.width, s.images);
        const Divisor stride(s.stride);
        with_kind(kind, [&](auto known) {
            constexpr PoolKind constant = decltype(known)::value;
            with_constant(relu_below, [&](auto relu) {
                launch<pool_backward_kernel<T, constant, decltype(relu)::value, S>>(
                    inputs.shape(), stream, dinp, dout, inp, out, s, inputs, stride, neuron,
                    accumulate);
            });
        });
    });
}

template void pool_forward(float*, const float*, PoolSizes, PoolKind, Neuron, Stream);
template void pool_forward(bf16*, const bf16*, PoolSizes, PoolKind, Neuron, Stream);
template void pool_backward(float*, const float*, const float*, const float*, PoolSizes, PoolKind,
                            Neuron, bool, bool, Stream);
template void pool_backward(bf16*, const bf16*, const bf16*, const bf16*, PoolSizes, PoolKind, Neuron,
                            bool, bool, Stream);
