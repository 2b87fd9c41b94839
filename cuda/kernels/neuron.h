// Neurons: the activation functions, as the epilogues of other kernels call them (paper, section 3.1).
#pragma once

#include "../core/bf16.h"

// The first three run inside other kernels; all run as a pass of their own (neuron.cu).
enum class NeuronKind : int {
    ident,
    relu,
    tanh,
    logistic,
    softrelu,
    abs,
    square,
    sqrt,
    brelu,
    linear,
    drelu
};

struct Neuron {
    NeuronKind kind;
    float a, b;  // tanh: a * tanh(b * x); the others: neuron.cu
};

// f(x), for ident, relu and tanh.
template <class V>
__device__ __forceinline__ V activate(const Neuron& neuron, V x) {
    switch (neuron.kind) {
        case NeuronKind::relu: return max_lanes(x, splat<V>(0.f));
        case NeuronKind::tanh: return neuron.a * tanh_lanes(neuron.b * x);
        default: return x;
    }
}

// dy * f'(x), from y = f(x): none of these three needs x itself.
template <class V>
__device__ __forceinline__ V activate_backward(const Neuron& neuron, V dy, V y) {
    const V zero = splat<V>(0.f);
    switch (neuron.kind) {
        case NeuronKind::relu: return y > zero ? dy : zero;
        case NeuronKind::tanh:
            return dy * (neuron.b / neuron.a) * multiply_add(-y, y, splat<V>(neuron.a * neuron.a));
        default: return dy;
    }
}

// Calls f(std::true_type) or f(std::false_type): for kernels that have both forms.
template <class F>
void with_constant(bool value, const F& f) {
    if (value)
        f(std::true_type());
    else
        f(std::false_type());
}

// Stores the gradient dx of x, or adds it to what is there; or, where x is the output of a relu below,
// stores that of its input.
template <bool relu_below, class S, class V, class Count>
__device__ __forceinline__ void store_gradient(S* to, V dx, V x, bool accumulate, Count count) {
    if constexpr (relu_below)
        dx = x > splat<V>(0.f) ? dx : splat<V>(0.f);
    else if (accumulate)
        dx = add_rounded(load<V>(to, count), as_stored<S>(dx));
    store(to, dx, count);
}
