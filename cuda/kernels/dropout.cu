// Dropout, paper section 4.2.
//
//   forward, backward   out = u < keep ? inp * scale : 0     u: a uniform draw for each element
//   test                out = inp * keep
//
// scale is 1 in the paper's convention, whose test multiplies by keep, and 1 / keep in the inverted
// one, whose test does nothing. The mask is never stored: backward draws the same numbers again.
//
// All arrays have n elements; out may be inp. Thread map: items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void dropout_kernel(float* out, const float* inp, index_t n, float keep, float scale,
                               PhiloxStream stream) {
    const PhiloxStream draws = of_this_step(stream);
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V kept = load<V>(inp + i, count) * scale;
        store(out + i, uniform_lanes<V>(draws, i) < keep ? kept : splat<V>(0.f), count);
    });
}

template <class T>
__global__ void dropout_test_kernel(float* out, const float* inp, index_t n, float keep) {
    using V = typename T::V;
    for_each_lanes<T>(
        n, [&](index_t i, index_t count) { store(out + i, load<V>(inp + i, count) * keep, count); });
}

void dropout_forward(float* out, const float* inp, index_t n, float keep, bool inverted,
                     PhiloxStream draws, Stream stream) {
    const float scale = inverted ? 1 / keep : 1;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<dropout_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n, keep, scale, draws);
    });
}

// Dropout is linear in its input: the gradient passes through the same mask.
void dropout_backward(float* dinp, const float* dout, index_t n, float keep, bool inverted,
                      PhiloxStream draws, Stream stream) {
    dropout_forward(dinp, dout, n, keep, inverted, draws, stream);
}

void dropout_test(float* out, const float* inp, index_t n, float keep, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<dropout_test_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n, keep);
    });
}
