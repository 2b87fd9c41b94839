// Loops over the elements of arrays, a lane group at a time.
#pragma once

#include "launch.h"
#include "tuning.h"

// The grid in which for_each_lanes<T>(n, ...) covers n elements.
template <class T>
LaunchShape elementwise_shape(index_t n) {
    constexpr index_t per_block = index_t(T::threads) * T::items * lane_count<typename T::V>;
    return {dim3(unsigned(ceil_div(n, per_block))), dim3(T::threads)};
}

// Calls f(offset, count) for each lane group of [0, n) that this thread owns; `count` lanes are valid.
template <class T, class F>
__device__ __forceinline__ void for_each_lanes(index_t n, F f) {
    constexpr int L = lane_count<typename T::V>;
    index_t offset = (index_t(blockIdx.x) * T::items * T::threads + threadIdx.x) * L;
    for (int i = 0; i < T::items && offset < n; ++i, offset += T::threads * L) f(offset, n - offset);
}
