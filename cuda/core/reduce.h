// Reductions over a warp and over a block, in an order that depends on the block's size alone.
#pragma once

#include "platform.h"

struct Sum {
    static constexpr float identity = 0.f;
    __device__ float operator()(float a, float b) const { return a + b; }
};

struct Max {
    static constexpr float identity = -3.402823466e38f;
    __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

// Every lane of the warp gets the result.
template <class Op>
__device__ float warp_reduce(float value, Op op) {
    for (int mask = warpSize / 2; mask > 0; mask /= 2)
        value = op(value, __shfl_xor_sync(0xFFFFFFFFu, value, mask));
    return value;
}

// Every thread of the block gets the result. `threads` is blockDim.x: 1, or a multiple of 32 up to
// 1024. Needs launch_with_barriers; may be called again at once. A block of one thread keeps its lanes
// apart.
template <int threads, class V, class Op>
__device__ V block_reduce(V value, Op op) {
    if constexpr (threads == 1) {
        return value;
    } else {
        static_assert(threads % 32 == 0, "whole warps only");
        constexpr int kWarps = threads / 32;
        __shared__ float partial[kWarps];
        value = warp_reduce(value, op);
        if (threadIdx.x % warpSize == 0) partial[threadIdx.x / warpSize] = value;
        __syncthreads();
        value = partial[0];
        for (int i = 1; i < kWarps; ++i) value = op(value, partial[i]);
        __syncthreads();  // the next call may write partial[]
        return value;
    }
}
