// What winograd.cu and winograd_few_images.cu share.
#pragma once

#include "../core/lanes.h"
#include "../core/platform.h"
#include "conv.h"

__host__ __device__ constexpr int to_multiple(int n, int of) {
    return ceil_div(n, of) * of;
}

// How far apart the points' matrices of so many floats lie: not a power of two, or the 36 values of an
// element share a set of the cache.
__host__ __device__ constexpr index_t apart(index_t floats) {
    return floats + 16;
}

// r += a b, `depth` deep: a(i, k) gives its floats, b has rows `pitch` apart. In registers.
template <int RM, int RN, class V, class A>
__device__ __forceinline__ void multiply(V (&r)[RM][RN], int depth, const A& a, const float* b,
                                         int pitch) {
    for (int k = 0; k < depth; ++k) {
        V bv[RN];
        UNROLL for (int j = 0; j < RN; ++j) bv[j] = load<V>(b + k * pitch + j * lane_count<V>);
        UNROLL for (int i = 0; i < RM; ++i) UNROLL for (int j = 0; j < RN; ++j) r[i][j] +=
            a(i, k) * bv[j];
    }
}

// A pass that makes pictures of one group, `rows` of them from `depth` others: forward, or the gradient
// of the pictures.
struct PicturesPass {
    bool is_forward;
    int taps;  // of a filter's side
    int rows, depth, images;
    int height, width;                     // of the pictures made
    int from_height, from_width, padding;  // of the others
    int all_filters;                       // of all groups: a row of the weights

    Pictures pictures(const float* data) const { return {data, from_height, from_width, images}; }
};

// Calls launcher(constant taps) or launcher(constant taps, constant is_forward).
template <class Launcher>
void with_taps(int taps, const Launcher& launcher) {
    if (taps == 3)
        launcher(std::integral_constant<int, 3>());
    else
        launcher(std::integral_constant<int, 5>());
}

template <class Launcher>
void with_pass(const PicturesPass& pass, const Launcher& launcher) {
    with_taps(pass.taps, [&](auto taps) {
        if (pass.is_forward)
            launcher(taps, std::true_type());
        else
            launcher(taps, std::false_type());
    });
}
