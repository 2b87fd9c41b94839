// Lanes: a few consecutive floats handled as one value.
//
// A GPU thread handles one float, a CPU core a vector register of 4, 8 or 16. Kernels are templates
// over the lane type V and use only what works for both: + - * /, comparisons, `mask ? a : b`, and the
// functions below. On the GPU V is float.
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>

#include "platform.h"

#if defined(__AVX__) && !defined(ALEXNET_RAW_CUDA)
#include <immintrin.h>
#endif

template <class V>
constexpr int lane_count = int(sizeof(V) / sizeof(float));

#ifdef ALEXNET_RAW_CUDA
using CpuLanes = float;  // never used, nor is the other: the CUDA target has no CPU tuning
using CpuIndices = int;
#else
#if defined(__AVX512F__)
constexpr int kCpuLanes = 16;
#elif defined(__AVX__)
constexpr int kCpuLanes = 8;
#else
constexpr int kCpuLanes = 4;
#endif
typedef float CpuLanes __attribute__((vector_size(4 * kCpuLanes)));
typedef int CpuIndices __attribute__((vector_size(4 * kCpuLanes)));
#endif

template <class V>
__device__ __forceinline__ V splat(float x) {
    if constexpr (lane_count<V> == 1)
        return x;
    else
        return V{} + x;
}

template <class V>
__device__ __forceinline__ V load(const float* p) {
    if constexpr (lane_count<V> == 1) {
        return *p;
    } else {
        V v;
        memcpy(&v, p, sizeof v);  // one unaligned vector load
        return v;
    }
}

template <class V>
__device__ __forceinline__ void store(float* p, V v) {
    if constexpr (lane_count<V> == 1)
        *p = v;
    else
        memcpy(p, &v, sizeof v);
}

// The first `count` lanes only, at the ragged end of a row; the other lanes are 0.
template <class V>
__device__ __forceinline__ V load(const float* p, index_t count) {
    if (count >= lane_count<V>) return load<V>(p);
    V v = splat<V>(0.f);
    if constexpr (lane_count<V> > 1)
        for (int i = 0; i < int(count); ++i) v[i] = p[i];
    return v;
}

template <class V>
__device__ __forceinline__ void store(float* p, V v, index_t count) {
    if (count >= lane_count<V>) return store(p, v);
    if constexpr (lane_count<V> > 1)
        for (int i = 0; i < int(count); ++i) p[i] = v[i];
}

// An integer for each lane. Comparisons make masks of them: 0 in the lanes where they fail.
template <class V>
using Indices = std::conditional_t<lane_count<V> == 1, int, CpuIndices>;

// A bit for each lane of a mask, lane 0 the lowest.
template <class V>
__device__ __forceinline__ unsigned bits_of(Indices<V> mask) {
    if constexpr (lane_count<V> == 1) {
        return mask ? 1 : 0;
    } else {
#if defined(__AVX512F__)
        return _mm512_test_epi32_mask(__m512i(mask), __m512i(mask));
#elif defined(__AVX__)
        return unsigned(_mm256_movemask_ps(__m256(mask)));
#else
        unsigned bits = 0;
        for (int i = 0; i < lane_count<V>; ++i) bits |= mask[i] ? 1u << i : 0u;
        return bits;
#endif
    }
}

template <class V>
__device__ __forceinline__ bool all(Indices<V> mask) {
    return bits_of<V>(mask) == (1u << lane_count<V>)-1;
}

// The floats from p on in the lanes of the mask, which alone are read; 0 in the others.
template <class V>
__device__ __forceinline__ V load_where(const float* p, Indices<V> mask) {
    if constexpr (lane_count<V> == 1) {
        return mask ? *p : 0.f;
    } else {
#if defined(__AVX512F__)
        return V(_mm512_maskz_loadu_ps(__mmask16(bits_of<V>(mask)), p));
#elif defined(__AVX__)
        return V(_mm256_maskload_ps(p, __m256i(mask)));
#else
        V v = splat<V>(0.f);
        for (int i = 0; i < lane_count<V>; ++i)
            if (mask[i]) v[i] = p[i];
        return v;
#endif
    }
}

// The same of floats that lie anywhere: lane i's at p[offset[i]].
template <class V>
__device__ __forceinline__ V gather_where(const float* p, Indices<V> offset, Indices<V> mask) {
    if constexpr (lane_count<V> == 1) {
        return mask ? p[offset] : 0.f;
    } else {
#if defined(__AVX512F__)
        return V(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), __mmask16(bits_of<V>(mask)),
                                          __m512i(offset), p, 4));
#elif defined(__AVX2__)
        return V(_mm256_mask_i32gather_ps(_mm256_setzero_ps(), p, __m256i(offset), __m256(mask), 4));
#else
        V v = splat<V>(0.f);
        for (int i = 0; i < lane_count<V>; ++i)
            if (mask[i]) v[i] = p[offset[i]];
        return v;
#endif
    }
}

// In place of a count: all lanes, known at compile time.
struct AllLanes {};

template <class V>
__device__ __forceinline__ V load(const float* p, AllLanes) {
    return load<V>(p);
}

template <class V>
__device__ __forceinline__ void store(float* p, V v, AllLanes) {
    store(p, v);
}

// Calls f(AllLanes) or, for a lane group at the ragged end of a row, f(count); count > 0. For loops
// that load much a group: the test is made once.
template <class V, class F>
__device__ __forceinline__ void with_lanes(index_t count, F f) {
    if (lane_count<V> == 1 || count >= lane_count<V>)
        f(AllLanes{});
    else if constexpr (lane_count<V> > 1)
        f(count);
}

template <class V>  // of floats or of Indices
__device__ __forceinline__ auto lane(V v, [[maybe_unused]] int i) {
    if constexpr (lane_count<V> == 1)
        return v;
    else
        return v[i];
}

// The value, of floats or Indices, whose lane i is f(i).
template <class V, class F>
__device__ __forceinline__ V make_lanes(F f) {
    if constexpr (lane_count<V> == 1) {
        return f(0);
    } else {
        V v;
        for (int i = 0; i < lane_count<V>; ++i) v[i] = f(i);
        return v;
    }
}

// The same number, which the compiler no longer sees to be a product: it is rounded, and not fused with
// an addition that follows.
template <class V>
__device__ __forceinline__ V opaque(V v) {
#if defined(__x86_64__) && !defined(ALEXNET_RAW_CUDA)
    asm("" : "+x"(v));
#elif defined(__aarch64__) && !defined(ALEXNET_RAW_CUDA)
    asm("" : "+w"(v));
#endif
    return v;
}

// was + result, where result is rounded first: never fused with the multiplication that made it. Adding
// to a gradient in place then gives the bits of a separate addition.
template <class V>
__device__ __forceinline__ V add_rounded(V was, V result) {
#ifdef ALEXNET_RAW_CUDA
    return __fadd_rn(was, result);
#else
    return was + opaque(result);
#endif
}

// a * b, rounded first whatever is added to it: kernels that must agree to the bit cannot leave to the
// compiler which products it fuses with additions.
template <class V>
__device__ __forceinline__ V multiply_rounded(V a, V b) {
#ifdef ALEXNET_RAW_CUDA
    return __fmul_rn(a, b);
#else
    return opaque(a * b);
#endif
}

// a * b + c, rounded once where the machine can.
template <class V>
__device__ __forceinline__ V multiply_add(V a, V b, V c) {
#ifdef ALEXNET_RAW_CUDA
    return __fmaf_rn(a, b, c);
#else
#if defined(__AVX512F__)
    if constexpr (lane_count<V> == 16) return V(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__FMA__)
    if constexpr (lane_count<V> == 8) return V(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#endif
#if defined(__FMA__) || defined(__aarch64__)
    return make_lanes<V>([&](int i) { return __builtin_fmaf(lane(a, i), lane(b, i), lane(c, i)); });
#else
    return opaque(a * b) + c;
#endif
#endif
}

template <class V, class F>
__device__ __forceinline__ V each_lane(V v, F f) {
    if constexpr (lane_count<V> == 1) {
        return f(v);
    } else {
        for (int i = 0; i < lane_count<V>; ++i) v[i] = f(v[i]);
        return v;
    }
}

template <class V>
__device__ __forceinline__ V max_lanes(V a, V b) {
    return a > b ? a : b;
}

template <class V>
__device__ __forceinline__ V abs_lanes(V v) {
    return max_lanes(v, -v);
}

template <class V>
__device__ __forceinline__ V sqrt_lanes(V v) {
    return each_lane(v, [](float x) { return sqrtf(x); });
}

// 1 / sqrt(v) for normal v > 0, to within 4e-7: an estimate and a Newton step cost far less than a root
// and a division. A single float gets the bits that it gets among others.
template <class V>
__device__ __forceinline__ V rsqrt_lanes(V v) {
#ifdef ALEXNET_RAW_CUDA
    return rsqrtf(v);
#elif defined(__AVX512F__) || defined(__AVX__)
    V r;
#if defined(__AVX512F__)
    if constexpr (lane_count<V> == 16)
        r = V(_mm512_rsqrt14_ps(__m512(v)));
    else
        r = _mm_cvtss_f32(_mm_rsqrt14_ss(_mm_setzero_ps(), _mm_set_ss(v)));
#else
    if constexpr (lane_count<V> == 8)
        r = V(_mm256_rsqrt_ps(__m256(v)));
    else
        r = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(v)));
#endif
    return r * multiply_add(-(0.5f * v * r), r, splat<V>(1.5f));
#else
    return 1.f / sqrt_lanes(v);
#endif
}

template <class V>
__device__ __forceinline__ V exp_lanes(V v) {
    return each_lane(v, [](float x) { return expf(x); });
}

template <class V>
__device__ __forceinline__ V log_lanes(V v) {
    return each_lane(v, [](float x) { return logf(x); });
}

template <class V>
__device__ __forceinline__ V log1p_lanes(V v) {  // log(1 + v)
    return each_lane(v, [](float x) { return log1pf(x); });
}

template <class V>
__device__ __forceinline__ V expm1_lanes(V v) {  // e^v - 1
    return each_lane(v, [](float x) { return expm1f(x); });
}

template <class V>
__device__ __forceinline__ V tanh_lanes(V v) {
    return each_lane(v, [](float x) { return tanhf(x); });
}

template <class V>
__device__ __forceinline__ V pow_lanes(V v, float exponent) {
    return each_lane(v, [exponent](float x) { return powf(x, exponent); });
}

// The sum over the lanes of one value, always in the same order.
template <class V>
__device__ __forceinline__ float sum_of_lanes(V v) {
    if constexpr (lane_count<V> == 1) {
        return v;
    } else {
        float s = 0.f;
        for (int i = 0; i < lane_count<V>; ++i) s += v[i];
        return s;
    }
}

#ifndef ALEXNET_RAW_CUDA
// Swaps the off-diagonal step x step blocks of two rows that lie `step` apart.
template <int step, int... lane>
__attribute__((always_inline)) inline void swap_blocks(CpuLanes& upper, CpuLanes& lower,
                                                       std::integer_sequence<int, lane...>) {
    constexpr CpuIndices from_upper = {(lane & step ? kCpuLanes + lane - step : lane)...};
    constexpr CpuIndices from_lower = {(lane & step ? kCpuLanes + lane : lane + step)...};
    const CpuLanes u = upper, l = lower;
    upper = __builtin_shuffle(u, l, from_upper);
    lower = __builtin_shuffle(u, l, from_lower);
}

template <int step>
__attribute__((always_inline)) inline void transpose_blocks(CpuLanes (&rows)[kCpuLanes]) {
    if constexpr (step < kCpuLanes) {
        UNROLL for (int i = 0; i < kCpuLanes; ++i) if (!(i & step))
            swap_blocks<step>(rows[i], rows[i + step], std::make_integer_sequence<int, kCpuLanes>());
        transpose_blocks<2 * step>(rows);
    }
}
#endif

// Transposes a square of as many rows as there are lanes, in registers.
template <class V>
__device__ __forceinline__ void transpose([[maybe_unused]] V (&rows)[lane_count<V>]) {
#ifndef ALEXNET_RAW_CUDA
    if constexpr (lane_count<V> > 1) transpose_blocks<1>(rows);
#endif
}
