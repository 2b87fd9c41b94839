// What becomes of an element of a convolution: [+ what was there] + bias, then the neuron.
#pragma once

#include "../core/bf16.h"
#include "neuron.h"

constexpr Neuron kIdent = {NeuronKind::ident, 1.f, 1.f};

struct Epilogue {
    bool accumulate;
    const float* bias;  // one per row, or null
    Neuron neuron;

    // `was` is float32 or bfloat16, for which the sum is rounded before it is added.
    template <class V, class S>
    __device__ __forceinline__ V operator()(V sum, const S* was, index_t count, int row) const {
        if (accumulate) sum = load<V>(was, count) + as_stored<S>(sum);
        if (bias) sum += splat<V>(bias[row]);
        return activate(neuron, sum);
    }

    // Stores an element for each of the next rows, of which there are `count`, in memory `stride`
    // apart.
    template <class V>
    __device__ __forceinline__ void store_rows(V sum, float* to, index_t stride, int count,
                                               int row) const {
        const int lanes = smaller(lane_count<V>, count);
        if (accumulate) sum += make_lanes<V>([&](int i) { return i < lanes ? to[i * stride] : 0.f; });
        if (bias) sum += load<V>(bias + row, count);
        sum = activate(neuron, sum);
        for (int i = 0; i < lanes; ++i) to[i * stride] = lane(sum, i);
    }
};
