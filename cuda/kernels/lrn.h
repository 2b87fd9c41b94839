// What lrn.cu and lrn_pool.cu share: walks over the channels, and arithmetic of the same bits.
#pragma once

#include "../core/lanes.h"
#include "norm.h"
#include "ops.h"

constexpr int kUsualLrnSize =
    5;  // AlexNet's: known to the compiler, which keeps a GPU's rings in registers

// Of the last `size` channels, in N lane groups; channel c is in slot c % size.
template <class V, int kSize, int N>
using LrnRing = V[kSize ? kSize : kLargestLrnSize][N];

// Calls f(c, slot) for c = first ... end - 1, slot = c % size; first is a multiple of size.
template <int kSize, class F>
__device__ __forceinline__ void walk(int first, int end, int size, F f) {
    if constexpr (kSize > 0) {
        for (int base = first; base < end; base += kSize) UNROLL
        for (int slot = 0; slot < kSize; ++slot)
            if (base + slot < end) f(base + slot, slot);
    } else {
        for (int c = first; c < end; ++c) f(c, c % size);
    }
}

// d, from the sum of the window's squares.
template <class V>
__device__ __forceinline__ V denominator(V squares, const Norm& norm) {
    return multiply_add(splat<V>(norm.scale), squares, splat<V>(norm.min_div));
}

// d, where the ring holds the window's inputs: squares are added in the order of its slots.
template <int kSize, class V, int slots, int N>
__device__ __forceinline__ V denominator(const V (&x)[slots][N], int r, const Norm& norm) {
    V squares = x[0][r] * x[0][r];
    UNROLL
    for (int i = 1; i < (kSize ? kSize : norm.size); ++i)
        squares = multiply_add(x[i][r], x[i][r], squares);
    return denominator(squares, norm);
}

// The gradient of an input, from scaled = dout / d^power and the sum of what the outputs pull in whose
// windows it is; factor = 2 power scale.
template <class V>
__device__ __forceinline__ V lrn_gradient(V scaled, V inp, V pulls, float factor) {
    return multiply_add(-(factor * inp), pulls, scaled);
}

// What an output pulls.
template <class V>
__device__ __forceinline__ V lrn_pull(V scaled, V inp, V inverse_of_d) {
    return multiply_rounded(scaled * inp, inverse_of_d);
}
