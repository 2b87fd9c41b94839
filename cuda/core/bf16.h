// bfloat16 in memory: the upper half of a float32. Arithmetic is float32's; a number is rounded to the
// nearest, halves to even, where it is stored.
#pragma once

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

// Lanes of bfloat16s, as of floats: lanes.h.
template <class V>
__device__ __forceinline__ V load(const bf16* p, index_t count) {
    if constexpr (lane_count<V> == 1)
        return to_float(*p);
    else
        return make_lanes<V>([&](int i) { return i < count ? to_float(p[i]) : 0.f; });
}

template <class V>
__device__ __forceinline__ void store(bf16* p, V v, index_t count) {
    for (int i = 0; i < lane_count<V>; ++i)
        if (i < count) p[i] = to_bf16(lane(v, i));
}

template <class V>
__device__ __forceinline__ V load(const bf16* p, AllLanes) {
    return load<V>(p, index_t(lane_count<V>));
}

template <class V>
__device__ __forceinline__ void store(bf16* p, V v, AllLanes) {
    store(p, v, index_t(lane_count<V>));
}

// What an array of S makes of a value: adding to a gradient in place then gives the bits of storing it
// first and adding that.
template <class S, class V>
__device__ __forceinline__ V as_stored(V v) {
    if constexpr (std::is_same_v<S, bf16>)
        return each_lane(v, [](float x) { return to_float(to_bf16(x)); });
    else
        return v;
}
