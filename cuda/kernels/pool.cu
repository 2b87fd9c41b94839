// Overlapping max and average pooling (paper, section 3.4), with the neuron behind it.
//
//   forward   out[c,y,x] = f(max or mean of the window of (y, x)): the size x size pixels of map c from
//             (start + y*stride, start + x*stride) on, clipped to the map
//   backward  dinp[c,y,x] = sum over the windows that hold (y, x) of dout f'(out) / area, for max only
//             where inp equals the maximum: all pixels that tie get the whole gradient, as in
//             cuda-convnet
//
// inp, dinp (channels, height, width, images); out, dout (channels, outputs_y, outputs_x, images).
// Thread map: T::pixels pixels of the array written, T::run lane groups of images of each. The backward
// pass gathers, so that its sums have a fixed order.
#include "../core/pixel_map.h"
#include "ops.h"

namespace {

struct Range {
    int first, end;
};

// The pixels of one axis in window `i`.
__device__ __forceinline__ Range window(const PoolSizes& s, int i, int limit) {
    const int first = s.start + i * s.stride;
    return {larger(first, 0), smaller(first + s.size, limit)};
}

// The windows along one axis that hold pixel `i`: first + size > i >= first, first = start + w*stride.
__device__ __forceinline__ Range windows_with(const PoolSizes& s, Divisor stride, int i, int outputs) {
    const int from_start = i - s.start, beyond = from_start - s.size;
    return {beyond < 0 ? 0 : stride.quotient(beyond) + 1,
            from_start < 0 ? 0 : smaller(stride.quotient(from_start) + 1, outputs)};
}

}  // namespace

template <class T, PoolKind kind>
__global__ void pool_forward_kernel(float* __restrict__ out, const float* __restrict__ inp, PoolSizes s,
                                    PixelMap<T> outputs, Neuron neuron) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const index_t next_row = index_t(s.width) * s.images;
    outputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = window(s, y, s.height), columns = window(s, x, s.width);
        const int h = rows.end - rows.first, w = columns.end - columns.first;
        const float share = 1.f / float(h * w);
        const float* from = inp + (index_t(channel) * s.height + rows.first) * next_row +
                            columns.first * s.images + image;
        float* to = out + index_t((channel * s.outputs_y + y) * s.outputs_x + x) * s.images + image;
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                V pooled = splat<V>(kind == PoolKind::max ? -INFINITY : 0.f);
                const float* row = from + n;
                for (int i = 0; i < h; ++i, row += next_row)
                    for (int j = 0; j < w; ++j) {
                        const V v = load<V>(row + index_t(j) * s.images, lanes);
                        pooled = kind == PoolKind::max ? max_lanes(v, pooled) : pooled + v;
                    }
                if (kind == PoolKind::avg) pooled *= share;
                store(to + n, activate(neuron, pooled), lanes);
            });
    });
}

// The neuron is ident or relu: where its gradient is not zero, out is the maximum itself.
template <class T, PoolKind kind>
__global__ void pool_backward_kernel(float* __restrict__ dinp, const float* __restrict__ dout,
                                     const float* __restrict__ inp, const float* __restrict__ out,
                                     PoolSizes s, PixelMap<T> inputs, Divisor stride, Neuron neuron,
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
                V dx = accumulate ? load<V>(dinp + at + n, lanes) : zero;
                for (int i = rows.first; i < rows.end; ++i)
                    for (int j = columns.first; j < columns.end; ++j) {
                        const index_t from = map + index_t(i * s.outputs_x + j) * s.images + n;
                        const V pooled = load<V>(out + from, lanes);
                        const V dy = activate_backward(neuron, load<V>(dout + from, lanes), pooled);
                        if (kind == PoolKind::max) {
                            dx += pixel == pooled ? dy : zero;
                        } else {
                            const Range h = window(s, i, s.height), w = window(s, j, s.width);
                            dx += dy * (1.f / float((h.end - h.first) * (w.end - w.first)));
                        }
                    }
                store(dinp + at + n, dx, lanes);
            });
    });
}

void pool_forward(float* out, const float* inp, PoolSizes s, PoolKind kind, Neuron neuron,
                  Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> outputs(s.channels, s.outputs_y, s.outputs_x, s.images);
        if (kind == PoolKind::max)
            launch<pool_forward_kernel<T, PoolKind::max>>(outputs.shape(), stream, out, inp, s, outputs,
                                                          neuron);
        else
            launch<pool_forward_kernel<T, PoolKind::avg>>(outputs.shape(), stream, out, inp, s, outputs,
                                                          neuron);
    });
}

void pool_backward(float* dinp, const float* dout, const float* inp, const float* out, PoolSizes s,
                   PoolKind kind, Neuron neuron, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> inputs(s.channels, s.height, s.width, s.images);
        const Divisor stride(s.stride);
        if (kind == PoolKind::max)
            launch<pool_backward_kernel<T, PoolKind::max>>(inputs.shape(), stream, dinp, dout, inp, out,
                                                           s, inputs, stride, neuron, accumulate);
        else
            launch<pool_backward_kernel<T, PoolKind::avg>>(inputs.shape(), stream, dinp, dout, inp, out,
                                                           s, inputs, stride, neuron, accumulate);
    });
}
