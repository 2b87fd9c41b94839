// out = [out +] coeff * inp: gradients of an array that several layers read, weighted sums of arrays.
// Either may be bfloat16: so are arrays converted. Thread map: as neuron.cu.
#include "../core/bf16.h"
#include "../core/elementwise.h"
#include "ops.h"

template <class T, class Out, class Inp>
__global__ void add_kernel(Out* out, const Inp* inp, index_t n, float coeff, bool accumulate) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        V sum = coeff * load<V>(inp + i, count);
        if (accumulate) sum = add_rounded(load<V>(out + i, count), as_stored<Out>(sum));
        store(out + i, sum, count);
    });
}

template <class Out, class Inp>
void add(Out* out, const Inp* inp, index_t n, float coeff, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<add_kernel<T, Out, Inp>>(elementwise_shape<T>(n), stream, out, inp, n, coeff,
                                        accumulate);
    });
}

template void add(float*, const float*, index_t, float, bool, Stream);
template void add(float*, const bf16*, index_t, float, bool, Stream);
template void add(bf16*, const float*, index_t, float, bool, Stream);
template void add(bf16*, const bf16*, index_t, float, bool, Stream);
