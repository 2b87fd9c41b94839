// What logloss.cu and output_cost.cu share.
#pragma once

#include <cfloat>

#include "../core/lanes.h"

// v, or the smallest normal float instead of less: for logarithms and divisors. Keeps a NaN.
template <class V>
__device__ __forceinline__ V at_least_smallest(V v) {
    return v < FLT_MIN ? splat<V>(FLT_MIN) : v;
}
