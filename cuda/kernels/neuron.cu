// Neurons as a pass of their own (layers of type `neuron`); most run inside other kernels' epilogues.
//
//   forward   out = f(inp)                 paper section 3.1: f(x) = max(0, x), or tanh
//   backward  dinp = dout * f'(inp)        from out alone
//
// All arrays have n elements. Thread map: items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void neuron_forward_kernel(float* out, const float* inp, index_t n, Neuron neuron) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        store(out + i, activate(neuron, load<V>(inp + i, count)), count);
    });
}

template <class T>
__global__ void neuron_backward_kernel(float* dinp, const float* dout, const float* out, index_t n,
                                       Neuron neuron) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V dy = load<V>(dout + i, count), y = load<V>(out + i, count);
        store(dinp + i, activate_backward(neuron, dy, y), count);
    });
}

void neuron_forward(float* out, const float* inp, index_t n, Neuron neuron, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<neuron_forward_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n, neuron);
    });
}

void neuron_backward(float* dinp, const float* dout, const float* out, index_t n, Neuron neuron,
                     Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<neuron_backward_kernel<T>>(elementwise_shape<T>(n), stream, dinp, dout, out, n, neuron);
    });
}
