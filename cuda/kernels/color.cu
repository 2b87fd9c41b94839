// Colour spaces (`rgb2yuv` and `rgb2lab` of the layer files), with cuda-convnet2's coefficients.
//
//   to YUV   Y = .2126 R + .7152 G + .0722 B,  U = -.09991 R - .33609 G + .436 B,
//            V = .615 R - .55861 G - .05639 B
//   to Lab   L = 116 f(Y) - 16 - offset,  a = 500 (f(X) - f(Y)),  b = 200 (f(Y) - f(Z))
//            X = .49 R + .31 G + .2 B,  Y = .17697 R + .8124 G + .01063 B,  Z = .01 G + .99 B
//            f(t) = t^(1/3) for t > (6/29)^3, else t / (3 (6/29)^2) + 4/29
//
// The X, Y and Z of white (1, 1, 1) are 1 each, so that L is in 0 ... 100 for colours in 0 ... 1.
// inp, out (3, plane), plane = height * width * images.
// Thread map: items lane groups of the plane each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

namespace {

template <class V>
__device__ __forceinline__ V lab_curve(V t) {
    constexpr float kKnee = 6.f / 29;
    const V root = each_lane(t, [](float x) { return cbrtf(x); });
    return t > kKnee * kKnee * kKnee ? root : t * (1 / (3 * kKnee * kKnee)) + 4.f / 29;
}

}  // namespace

template <class T>
__global__ void rgb_to_yuv_kernel(float* __restrict__ out, const float* __restrict__ inp,
                                  index_t plane) {
    using V = typename T::V;
    for_each_lanes<T>(plane, [&](index_t i, index_t count) {
        const V r = load<V>(inp + i, count), g = load<V>(inp + plane + i, count),
                b = load<V>(inp + 2 * plane + i, count);
        store(out + i, .2126f * r + .7152f * g + .0722f * b, count);
        store(out + plane + i, -.09991f * r - .33609f * g + .436f * b, count);
        store(out + 2 * plane + i, .615f * r - .55861f * g - .05639f * b, count);
    });
}

template <class T>
__global__ void rgb_to_lab_kernel(float* __restrict__ out, const float* __restrict__ inp, index_t plane,
                                  float offset) {
    using V = typename T::V;
    for_each_lanes<T>(plane, [&](index_t i, index_t count) {
        const V r = load<V>(inp + i, count), g = load<V>(inp + plane + i, count),
                b = load<V>(inp + 2 * plane + i, count);
        const V x = lab_curve<V>(.49f * r + .31f * g + .2f * b);
        const V y = lab_curve<V>(.17697f * r + .8124f * g + .01063f * b);
        const V z = lab_curve<V>(.01f * g + .99f * b);
        store(out + i, 116.f * y - (16.f + offset), count);
        store(out + plane + i, 500.f * (x - y), count);
        store(out + 2 * plane + i, 200.f * (y - z), count);
    });
}

void rgb_to_yuv(float* out, const float* inp, index_t plane, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<rgb_to_yuv_kernel<T>>(elementwise_shape<T>(plane), stream, out, inp, plane);
    });
}

void rgb_to_lab(float* out, const float* inp, index_t plane, bool center, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<rgb_to_lab_kernel<T>>(elementwise_shape<T>(plane), stream, out, inp, plane,
                                     center ? 50.f : 0.f);
    });
}
