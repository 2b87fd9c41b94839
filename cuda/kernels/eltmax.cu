// The elementwise maximum of several arrays, for layers of type `eltmax`.
//
//   forward   out = max(out, inp)                      once for each input but the first, which is
//   copied backward  dinp = [dinp +] inp == out ? dout : 0    inputs that tie all get the gradient
//
// All arrays have n elements. Thread map: items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void eltmax_forward_kernel(float* out, const float* inp, index_t n) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        store(out + i, max_lanes(load<V>(inp + i, count), load<V>(out + i, count)), count);
    });
}

template <class T>
__global__ void eltmax_backward_kernel(float* dinp, const float* dout, const float* inp,
                                       const float* out, index_t n, bool accumulate) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V x = load<V>(inp + i, count), y = load<V>(out + i, count);
        V dx = x == y ? load<V>(dout + i, count) : splat<V>(0.f);
        if (accumulate) dx += load<V>(dinp + i, count);
        store(dinp + i, dx, count);
    });
}

void eltmax_forward(float* out, const float* inp, index_t n, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<eltmax_forward_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n);
    });
}

void eltmax_backward(float* dinp, const float* dout, const float* inp, const float* out, index_t n,
                     bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<eltmax_backward_kernel<T>>(elementwise_shape<T>(n), stream, dinp, dout, inp, out, n,
                                          accumulate);
    });
}
