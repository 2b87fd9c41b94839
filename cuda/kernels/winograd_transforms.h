// The transforms of Winograd's algorithm (winograd.cu), for tiles of 6 x 6 and the points 0, infinity,
// 1, -1, 1/2, -2 of each axis.
//
// Each transform is of one axis, y = M x, written by the common parts of its sums. A tile with only m
// of the outputs along an axis needs only the first m + r - 1 points: of x the first reads(m) matter
// then, of y makes(m). `most` is the m of a whole tile.
#pragma once

#include "../core/lanes.h"
#include "../core/platform.h"

constexpr int kSide = 6, kPoints = kSide * kSide;

// Tiles have m x m outputs where filters have r x r taps.
__host__ __device__ constexpr int outputs_of(int taps) {
    return kSide + 1 - taps;
}

// The values at all points of a polynomial with m coefficients (at infinity: the last one), scaled as
// interpolation from all points wants them.
template <int most_>
struct Evaluate {
    static constexpr int most = most_;
    __host__ __device__ static constexpr int reads(int m) { return m; }
    __host__ __device__ static constexpr int makes(int) { return kSide; }

    template <int m, class V>
    static __device__ __forceinline__ void apply(V (&y)[kSide], const V (&x)[kSide]) {
        V even = x[0], odd = splat<V>(0.f), at_half = x[m - 1], at_minus_two = x[m - 1];
        UNROLL for (int i = 2; i < m; i += 2) even += x[i];
        UNROLL for (int i = 1; i < m; i += 2) odd += x[i];
        UNROLL for (int i = m - 2; i >= 0; --i) {
            at_half = x[i] + 0.5f * at_half;
            at_minus_two = x[i] - 2.f * at_minus_two;
        }
        y[0] = x[0];
        y[1] = x[m - 1];
        y[2] = (1.f / 3) * (even + odd);
        y[3] = (1.f / 3) * (odd - even);
        y[4] = (-16.f / 15) * at_half;
        y[5] = (1.f / 15) * at_minus_two;
    }
};

// Pixels: interpolation, transposed. Each y is what a polynomial does whose roots are the other points.
template <int most_>
struct Spread {
    static constexpr int most = most_;
    __host__ __device__ static constexpr int reads(int m) { return kSide - most + m; }
    __host__ __device__ static constexpr int makes(int m) { return kSide - most + m; }

    template <int m, class V>
    static __device__ __forceinline__ void apply(V (&y)[kSide], const V (&x)[kSide]) {
        if constexpr (makes(m) == 6) {
            V u[4];  // roots 1/2 and -2
            UNROLL for (int i = 0; i < 4; ++i) u[i] = x[i + 2] + 1.5f * x[i + 1] - x[i];
            const V v1 = x[3] - x[1], v2 = x[4] - x[2];  // roots 1 and -1
            y[0] = u[2] - u[0];
            y[1] = u[3] - u[1];
            y[2] = u[2] + u[1];
            y[3] = u[2] - u[1];
            y[4] = v2 + 2.f * v1;
            y[5] = v2 - 0.5f * v1;
        } else if constexpr (makes(m) == 5) {
            const V v0 = x[2] - x[0], v1 = x[3] - x[1], v2 = x[4] - x[2];
            y[0] = 2.f * v1 - v0;
            y[1] = v2 - 0.5f * v1;
            y[2] = 3.f * x[3] + 1.5f * (x[2] - x[1]);
            y[3] = x[3] - 1.5f * x[2] + 0.5f * x[1];
            y[4] = 2.5f * v1;
        } else if constexpr (makes(m) == 4) {
            y[0] = x[0] - x[2];
            y[1] = x[3] - x[1];
            y[2] = 1.5f * (x[1] + x[2]);
            y[3] = 1.5f * (x[1] - x[2]);
        } else {
            y[0] = x[0] - x[1];
            y[1] = x[2] - x[1];
            y[2] = 3.f * x[1];
        }
    }
};

// The transposed evaluation: m outputs from the values.
template <int most_>
struct Gather {
    static constexpr int most = most_;
    __host__ __device__ static constexpr int reads(int m) { return kSide - most + m; }
    __host__ __device__ static constexpr int makes(int m) { return m; }

    template <int m, class V>
    static __device__ __forceinline__ void apply(V (&y)[kSide], const V (&x)[kSide]) {
        const V even = x[2] + x[3], odd = x[2] - x[3];
        float half = 1.f, minus_two = 1.f;  // to the power of i
        UNROLL for (int i = 0; i < m; ++i, half *= 0.5f, minus_two *= -2.f) y[i] =
            (i % 2 ? odd : even) + half * x[4] + minus_two * x[5];
        y[0] += x[0];
        y[m - 1] += x[1];
    }
};

// M X M^T of a tile X with all of its outputs: get(i, k) gives its elements, put(i, k, value) takes the
// result's. Column by column, then row by row.
template <class M, class V, class Get, class Put>
__device__ __forceinline__ void transform_full(const Get& get, const Put& put) {
    constexpr int m = M::most, reads = M::reads(m), makes = M::makes(m);
    V x[kSide], y[kSide], half[makes][kSide];
    UNROLL for (int k = 0; k < reads; ++k) {
        UNROLL for (int i = 0; i < reads; ++i) x[i] = get(i, k);
        M::template apply<m>(y, x);
        UNROLL for (int i = 0; i < makes; ++i) half[i][k] = y[i];
    }
    UNROLL for (int i = 0; i < makes; ++i) {
        M::template apply<m>(y, half[i]);
        UNROLL for (int k = 0; k < makes; ++k) put(i, k, y[k]);
    }
}

// M along one axis, for an m known only now.
template <class M, int most = M::most, class V>
__device__ __forceinline__ void apply(int m, V (&y)[kSide], const V (&x)[kSide]) {
    if constexpr (most > 1)
        if (m < most) return apply<M, most - 1>(m, y, x);
    M::template apply<most>(y, x);
}

// The same for a tile with `down` x `across` outputs; zeros for points that it does not need.
template <class M, class V, class Get, class Put>
__device__ __forceinline__ void transform(int down, int across, const Get& get, const Put& put) {
    if (down == M::most && across == M::most) return transform_full<M, V>(get, put);
    V x[kSide] = {}, y[kSide] = {}, half[kSide][kSide] = {};
    for (int k = 0; k < M::reads(across); ++k) {
        for (int i = 0; i < M::reads(down); ++i) x[i] = get(i, k);
        apply<M>(down, y, x);
        for (int i = 0; i < M::makes(down); ++i) half[i][k] = y[i];
    }
    UNROLL for (int k = 0; k < kSide; ++k) y[k] = splat<V>(0.f);
    for (int i = 0; i < M::makes(M::most); ++i) {
        if (i < M::makes(down)) apply<M>(across, y, half[i]);
        for (int k = 0; k < M::makes(M::most); ++k)
            put(i, k, i < M::makes(down) && k < M::makes(across) ? y[k] : splat<V>(0.f));
    }
}
