// A few neighbours in memory, loaded and stored at once: in accesses of up to 16 bytes, to which they
// are aligned.
#pragma once

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
