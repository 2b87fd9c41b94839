// What becomes of an element of a convolution: [+ what was there] + bias, then the neuron.
#pragma once

#include "neuron.h"

constexpr Neuron kIdent = {NeuronKind::ident, 1.f, 1.f};

struct Epilogue {
    bool accumulate;
    const float* bias;  // one per row, or null
    Neuron neuron;

    template <class V>
    __device__ __forceinline__ V operator()(V sum, const float* was, index_t count, int row) const {
        if (accumulate) sum = load<V>(was, count) + sum;
        if (bias) sum += splat<V>(bias[row]);
        return activate(neuron, sum);
    }
};
