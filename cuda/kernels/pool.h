// Windows of pixels: what pool.cu and random_pool.cu share.
#pragma once

#include "../core/divisor.h"
#include "ops.h"

struct Range {
    int first, end;
};

// The pixels of one axis in window `i`.
__device__ __forceinline__ Range window(const PoolSizes& s, int i, int limit) {
    const int first = s.start + i * s.stride;
    return {larger(first, 0), smaller(first + s.size, limit)};
}

// The windows along one axis that hold pixel `i`: first + size > i >= first, first = start + w*stride.
__device__ __forceinline__ Range windows_with(const PoolSizes& s, Divisor stride, int i, int outputs) {
    const int from_start = i - s.start, beyond = from_start - s.size;
    return {beyond < 0 ? 0 : stride.quotient(beyond) + 1,
            from_start < 0 ? 0 : smaller(stride.quotient(from_start) + 1, outputs)};
}
