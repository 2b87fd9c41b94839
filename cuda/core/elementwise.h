// Loops over the elements of arrays, a lane group at a time.
#pragma once

#include "launch.h"
#include "tuning.h"

// The blocks in which for_each_lanes<T>(n, ...) covers n elements, and their grid.
template <class T>
unsigned elementwise_blocks(index_t n) {
    constexpr index_t per_block = index_t(T::threads) * T::items * lane_count<typename T::V>;
    return unsigned(ceil_div(n, per_block));
}

template <class T>
LaunchShape elementwise_shape(index_t n) {
    return {dim3(elementwise_blocks<T>(n)), dim3(T::threads)};
}

// Calls f(offset, count) for each lane group of [0, n) that this thread owns; `count` lanes are valid.
// block: its number among those of [0, n).
template <class T, class F>
__device__ __forceinline__ void for_each_lanes(unsigned block, index_t n, F f) {
    constexpr int L = lane_count<typename T::V>;
    index_t offset = (index_t(block) * T::items * T::threads + threadIdx.x) * L;
    for (int i = 0; i < T::items && offset < n; ++i, offset += T::threads * L) f(offset, n - offset);
}

template <class T, class F>
__device__ __forceinline__ void for_each_lanes(index_t n, F f) {
    for_each_lanes<T>(blockIdx.x, n, f);
}
