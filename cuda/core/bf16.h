// bfloat16 in memory: the upper half of a float32. Arithmetic is float32's; a number is rounded to the
// nearest, halves to even, where it is stored.
#pragma once

#include <cstring>

#include "lanes.h"

struct bf16 {
    uint16_t bits;
};

__host__ __device__ __forceinline__ uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

__host__ __device__ __forceinline__ float to_float(bf16 x) {
    const uint32_t bits = uint32_t(x.bits) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

__host__ __device__ __forceinline__ bf16 to_bf16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    bf16 rounded;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(x));
    return rounded;
#else
    const uint32_t bits = bits_of_float(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {0x7FFF};  // NaN
    return {uint16_t((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
#endif
}

// The same for all lanes of a vector register at once.
#ifdef ALEXNET_RAW_CUDA
using CpuHalves = uint16_t;  // never used, nor are the functions: the CUDA target has no CPU tuning
CpuLanes widened(CpuHalves halves);
CpuHalves rounded(CpuLanes v);
#else
typedef uint16_t CpuHalves __attribute__((vector_size(2 * kCpuLanes)));
typedef uint32_t CpuBits __attribute__((vector_size(4 * kCpuLanes)));

inline CpuLanes widened(CpuHalves halves) {
    return CpuLanes(__builtin_convertvector(halves, CpuBits) << 16);
}

inline CpuHalves rounded(CpuLanes v) {
    const CpuBits bits = CpuBits(v), nearest = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    const auto is_number = (bits & 0x7FFFFFFFu) <= 0x7F800000u;
    return __builtin_convertvector(is_number ? nearest : CpuBits{} + 0x7FFFu, CpuHalves);
}
#endif

// Lanes of bfloat16s, as of floats: lanes.h.
template <class V>
__device__ __forceinline__ V load(const bf16* p, AllLanes) {
    if constexpr (lane_count<V> == 1) {
        return to_float(*p);
    } else {
        CpuHalves halves;
        memcpy(&halves, p, sizeof halves);
        return widened(halves);
    }
}

template <class V>
__device__ __forceinline__ void store(bf16* p, V v, AllLanes) {
    if constexpr (lane_count<V> == 1) {
        *p = to_bf16(v);
    } else {
        const CpuHalves halves = rounded(v);
        memcpy(p, &halves, sizeof halves);
    }
}

template <class V>
__device__ __forceinline__ V load(const bf16* p, index_t count) {
    if (count >= lane_count<V>) return load<V>(p, AllLanes());
    return make_lanes<V>([&](int i) { return i < count ? to_float(p[i]) : 0.f; });
}

template <class V>
__device__ __forceinline__ void store(bf16* p, V v, index_t count) {
    if (count >= lane_count<V>) return store(p, v, AllLanes());
    for (int i = 0; i < int(count); ++i) p[i] = to_bf16(lane(v, i));
}

// What an array of S makes of a value: adding to a gradient in place then gives the bits of storing it
// first and adding that.
template <class S, class V>
__device__ __forceinline__ V as_stored(V v) {
    if constexpr (std::is_same_v<S, float>)
        return v;
    else if constexpr (lane_count<V> == 1)
        return to_float(to_bf16(v));
    else
        return widened(rounded(v));
}
