// Dropout, paper section 4.2.
//
//   forward, backward   out = u < keep ? inp * scale : 0     u: a uniform draw for each element
//   test                out = inp * keep
//
// scale is 1 in the paper's convention, whose test multiplies by keep, and 1 / keep in the inverted
// one, whose test does nothing. The mask is never stored: backward draws the same numbers again.
//
// All arrays have n elements; out may be inp. Thread map: items lane groups each, strided by the block.
#include "../core/bf16.h"
#include "../core/elementwise.h"
#include "ops.h"

template <class T, class S>
__global__ void dropout_kernel(S* out, const S* inp, index_t n, float keep, float scale,
                               PhiloxStream stream) {
    const PhiloxStream draws = of_this_step(stream);
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V kept = load<V>(inp + i, count) * scale;
        store(out + i, uniform_lanes<V>(draws, i) < keep ? kept : splat<V>(0.f), count);
    });
}

template <class T, class S>
__global__ void dropout_test_kernel(S* out, const S* inp, index_t n, float keep) {
    using V = typename T::V;
    for_each_lanes<T>(
        n, [&](index_t i, index_t count) { store(out + i, load<V>(inp + i, count) * keep, count); });
}

template <class S>
void dropout_forward(S* out, const S* inp, index_t n, float keep, bool inverted, PhiloxStream draws,
                     Stream stream) {
    const float scale = inverted ? 1 / keep : 1;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<dropout_kernel<T, S>>(elementwise_shape<T>(n), stream, out, inp, n, keep, scale, draws);
    });
}

// Dropout is linear in its input: the gradient passes through the same mask.
template <class S>
void dropout_backward(S* dinp, const S* dout, index_t n, float keep, bool inverted, PhiloxStream draws,
                      Stream stream) {
    dropout_forward(dinp, dout, n, keep, inverted, draws, stream);
}

template <class S>
void dropout_test(S* out, const S* inp, index_t n, float keep, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<dropout_test_kernel<T, S>>(elementwise_shape<T>(n), stream, out, inp, n, keep);
    });
}

template void dropout_forward(float*, const float*, index_t, float, bool, PhiloxStream, Stream);
template void dropout_forward(bf16*, const bf16*, index_t, float, bool, PhiloxStream, Stream);
template void dropout_backward(float*, const float*, index_t, float, bool, PhiloxStream, Stream);
template void dropout_backward(bf16*, const bf16*, index_t, float, bool, PhiloxStream, Stream);
template void dropout_test(float*, const float*, index_t, float, Stream);
template void dropout_test(bf16*, const bf16*, index_t, float, Stream);
