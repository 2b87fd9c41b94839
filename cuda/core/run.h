// A few neighbours in memory, loaded and stored at once: in accesses of up to 16 bytes, to which they
// are aligned.
#pragma once

#include "lanes.h"
#include "platform.h"

template <class E, int kCount>
struct alignas(smaller(16, kCount* int(sizeof(E)))) Run {
    E v[kCount];
};

template <int kCount, class E>
__device__ __forceinline__ Run<E, kCount> load_run(const E* p) {
    return *reinterpret_cast<const Run<E, kCount>*>(p);
}

template <class E, int kCount>
__device__ __forceinline__ void store_run(E* p, const Run<E, kCount>& run) {
    *reinterpret_cast<Run<E, kCount>*>(p) = run;
}

template <int kCount>
__device__ __forceinline__ void operator+=(Run<float, kCount>& sum, const Run<float, kCount>& more) {
    UNROLL for (int i = 0; i < kCount; ++i) sum.v[i] += more.v[i];
}

// The same for what a kernel computes at once: lanes, or a run of floats.
template <class Values>
__device__ __forceinline__ Values load_values(const float* p) {
    if constexpr (std::is_class_v<Values>)
        return load_run<lane_count<Values>>(p);
    else
        return load<Values>(p);
}

template <class Values>
__device__ __forceinline__ void store_values(float* p, const Values& values) {
    if constexpr (std::is_class_v<Values>)
        store_run(p, values);
    else
        store(p, values);
}
