// out = [out +] coeff * inp: gradients of an array that several layers read, weighted sums of arrays.
// Thread map: as neuron.cu.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void add_kernel(float* out, const float* inp, index_t n, float coeff, bool accumulate) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        V sum = coeff * load<V>(inp + i, count);
        if (accumulate) sum = add_rounded(load<V>(out + i, count), sum);
        store(out + i, sum, count);
    });
}

void add(float* out, const float* inp, index_t n, float coeff, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<add_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n, coeff, accumulate);
    });
}
