// Stochastic gradient descent with momentum and weight decay, paper section 5.
//
//   velocity = momentum * velocity - rate * decay * weights - rate * gradient
//   weights  = weights + velocity
//
// All arrays have n elements; one pass over memory, in place. Thread map: items lane groups each,
// strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void sgd_step_kernel(float* weights, float* velocity, const float* gradient, index_t n,
                                float rate, float momentum, float decay) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V w = load<V>(weights + i, count), g = load<V>(gradient + i, count);
        const V v = momentum * load<V>(velocity + i, count) - rate * (decay * w + g);
        store(velocity + i, v, count);
        store(weights + i, w + v, count);
    });
}

void sgd_step(float* weights, float* velocity, const float* gradient, index_t n, float rate,
              float momentum, float decay, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<sgd_step_kernel<T>>(elementwise_shape<T>(n), stream, weights, velocity, gradient, n,
                                   rate, momentum, decay);
    });
}
