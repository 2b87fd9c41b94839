// Uniform random numbers: the stream that dropout draws from, laid open.
//
//   out[i] = draw i of the stream (seed, layer, step), in [0, 1)     core/philox.h
//
// Thread map: items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void philox_uniform_kernel(float* out, index_t n, PhiloxStream stream) {
    const PhiloxStream draws = of_this_step(stream);
    using V = typename T::V;
    for_each_lanes<T>(
        n, [&](index_t i, index_t count) { store(out + i, uniform_lanes<V>(draws, i), count); });
}

void philox_uniform(float* out, index_t n, PhiloxStream draws, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<philox_uniform_kernel<T>>(elementwise_shape<T>(n), stream, out, n, draws);
    });
}
