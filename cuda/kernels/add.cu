// out += inp: gradients of an array that several layers read. Thread map: as neuron.cu.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void add_kernel(float* out, const float* inp, index_t n) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        store(out + i, load<V>(out + i, count) + load<V>(inp + i, count), count);
    });
}

void add(float* out, const float* inp, index_t n, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<add_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n);
    });
}
