// Pooling that takes one pixel of each window at random (`pool=rand` of the layer files), in training.
//
//   forward   out[c,y,x] = one of the pixels of the window of (y, x), each as likely; windows: pool.cu
//   backward  dinp[c,y,x] = sum of dout over the windows that took (y, x)
//
// Which one is drawn for each element of out, and drawn again in the backward pass: nothing is stored.
// inp, dinp (channels, height, width, images); out, dout (channels, outputs_y, outputs_x, images).
// Thread map: as pool.cu. The backward pass gathers, so that its sums have a fixed order.
#include "../core/philox.h"
#include "../core/pixel_map.h"
#include "ops.h"
#include "pool.h"

namespace {

// Which of a window's `pixels` pixels, in rows, elements `element` ... of out take.
template <class V>
__device__ __forceinline__ V taken(const PhiloxStream& draws, index_t element, int pixels) {
    return each_lane(uniform_lanes_from<V>(draws, element), [pixels](float u) {
        return float(smaller(int(u * float(pixels)), pixels - 1));  // u * pixels may be rounded up
    });
}

}  // namespace

template <class T>
__global__ void random_pool_forward_kernel(float* __restrict__ out, const float* __restrict__ inp,
                                           PoolSizes s, PixelMap<T> outputs, PhiloxStream stream) {
    using V = typename T::V;
    const PhiloxStream draws = of_this_step(stream);
    constexpr int L = lane_count<V>;
    outputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = window(s, y, s.height), columns = window(s, x, s.width);
        const int h = rows.end - rows.first, w = columns.end - columns.first;
        const float* from =
            inp + (index_t(channel * s.height + rows.first) * s.width + columns.first) * s.images +
            image;
        const index_t to = index_t((channel * s.outputs_y + y) * s.outputs_x + x) * s.images + image;
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                const V wanted = taken<V>(draws, to + n, h * w);
                V pixel = splat<V>(0.f);
                for (int i = 0; i < h; ++i)
                    for (int j = 0; j < w; ++j) {
                        const V v = load<V>(from + (index_t(i) * s.width + j) * s.images + n, lanes);
                        pixel = wanted == float(i * w + j) ? v : pixel;
                    }
                store(out + to + n, pixel, lanes);
            });
    });
}

template <class T>
__global__ void random_pool_backward_kernel(float* __restrict__ dinp, const float* __restrict__ dout,
                                            PoolSizes s, PixelMap<T> inputs, Divisor stride,
                                            PhiloxStream stream, bool accumulate) {
    using V = typename T::V;
    const PhiloxStream draws = of_this_step(stream);
    constexpr int L = lane_count<V>;
    inputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Range rows = windows_with(s, stride, y, s.outputs_y);
        const Range columns = windows_with(s, stride, x, s.outputs_x);
        const index_t at = index_t((channel * s.height + y) * s.width + x) * s.images + image;
        const index_t map = index_t(channel) * s.outputs_y * s.outputs_x * s.images + image;
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                const V zero = splat<V>(0.f);
                V dx = zero;
                for (int i = rows.first; i < rows.end; ++i)
                    for (int j = columns.first; j < columns.end; ++j) {
                        const Range h = window(s, i, s.height), w = window(s, j, s.width);
                        const int across = w.end - w.first;
                        const index_t from = map + index_t(i * s.outputs_x + j) * s.images + n;
                        const V wanted = taken<V>(draws, from, (h.end - h.first) * across);
                        const float here = float((y - h.first) * across + x - w.first);
                        dx += wanted == here ? load<V>(dout + from, lanes) : zero;
                    }
                if (accumulate) dx = add_rounded(load<V>(dinp + at + n, lanes), dx);
                store(dinp + at + n, dx, lanes);
            });
    });
}

void random_pool_forward(float* out, const float* inp, PoolSizes s, PhiloxStream draws, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> outputs(s.channels, s.outputs_y, s.outputs_x, s.images);
        launch<random_pool_forward_kernel<T>>(outputs.shape(), stream, out, inp, s, outputs, draws);
    });
}

void random_pool_backward(float* dinp, const float* dout, PoolSizes s, PhiloxStream draws,
                          bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> inputs(s.channels, s.height, s.width, s.images);
        launch<random_pool_backward_kernel<T>>(inputs.shape(), stream, dinp, dout, s, inputs,
                                               Divisor(s.stride), draws, accumulate);
    });
}
