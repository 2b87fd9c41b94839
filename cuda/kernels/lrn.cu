// Local response normalisation across channels (paper, section 3.3).
//
//   d_i = min_div + scale * sum of inp_j^2 over the window of i, clipped to the array's channels
//   forward   out_i  = inp_i / d_i^power
//   backward  dinp_i = dout_i / d_i^power
//                      - 2 power scale inp_i * sum of dout_j inp_j / d_j^(power+1), i in window of j
//
// Arrays are (channels, plane), plane = height * width * images. A thread owns T::run lane groups of
// the plane and walks over the channels. Rings hold what it knows of the last `size` channels, so that
// it reads each array once; channels beyond the array's ends are zeros.
//
// Blocked, windows do not slide but tile: the window of i is the block of `size` channels that it is
// in, and one denominator serves them all.
#include "../core/bf16.h"
#include "../core/launch.h"
#include "../core/tuning.h"
#include "lrn.h"

namespace {

template <class T, int kSize>
using Ring = LrnRing<typename T::V, kSize, T::run>;

// Calls f(r, offset, lanes) for each of the lane groups that a thread owns from `first` on.
template <class T, class F>
__device__ __forceinline__ void for_each_group(index_t first, index_t plane, F f) {
    using V = typename T::V;
    for (int r = 0; r < T::run; ++r) {
        const index_t at = first + r * lane_count<V>;
        if (at < plane) with_lanes<V>(plane - at, [&](auto lanes) { f(r, at, lanes); });
    }
}

template <class T>
__device__ __forceinline__ index_t first_of_thread() {
    return (index_t(blockIdx.x) * T::threads + threadIdx.x) * T::run * lane_count<typename T::V>;
}

template <class T>
LaunchShape lrn_shape(index_t plane) {
    constexpr index_t per_block = index_t(T::threads) * T::run * lane_count<typename T::V>;
    return {dim3(unsigned(ceil_div(plane, per_block))), dim3(T::threads)};
}

}  // namespace

template <class T, int kSize, class S>
__global__ void lrn_forward_kernel(S* __restrict__ out, const S* __restrict__ inp, int channels,
                                   index_t plane, Norm norm) {
    using V = typename T::V;
    const int size = kSize ? kSize : norm.size, after = size - 1 - size / 2;
    const index_t first = first_of_thread<T>();
    if (first >= plane) return;

    Ring<T, kSize> x = {};
    // Channel c arrives; channel i has now seen its whole window.
    walk<kSize>(0, channels + after, size, [&](int c, int slot) {
        const int i = c - after, slot_i = (slot + size - after) % size;
        for_each_group<T>(first, plane, [&](int r, index_t at, auto lanes) {
            x[slot][r] = c < channels ? load<V>(inp + c * plane + at, lanes) : V{};
            if (i < 0) return;
            const Inverse<V> inverse(denominator<kSize>(x, r, norm), norm.power);
            store(out + i * plane + at, x[slot_i][r] * inverse.of_power, lanes);
        });
    });
}

template <class T, int kSize, bool relu_below, class S>
__global__ void lrn_backward_kernel(S* __restrict__ dinp, const S* __restrict__ dout,
                                    const S* __restrict__ inp, int channels, index_t plane, Norm norm,
                                    bool accumulate) {
    using V = typename T::V;
    const int size = kSize ? kSize : norm.size, before = size / 2, after = size - 1 - before;
    const float factor = 2 * norm.power * norm.scale;
    const index_t first = first_of_thread<T>();
    if (first >= plane) return;

    Ring<T, kSize> x = {}, scaled = {}, pull = {};  // of j: dout / d^power, and that times inp / d
    // Channel c arrives; j has seen its window of x, i all windows of j that hold it.
    walk<kSize>(0, channels + size - 1, size, [&](int c, int slot) {
        const int j = c - after, slot_j = (slot + size - after) % size;
        const int i = j - before, slot_i = (slot + 1) % size;
        for_each_group<T>(first, plane, [&](int r, index_t at, auto lanes) {
            x[slot][r] = c < channels ? load<V>(inp + c * plane + at, lanes) : V{};
            if (j < 0) return;
            scaled[slot_j][r] = pull[slot_j][r] = V{};
            if (j < channels) {
                const Inverse<V> inverse(denominator<kSize>(x, r, norm), norm.power);
                scaled[slot_j][r] = load<V>(dout + j * plane + at, lanes) * inverse.of_power;
                pull[slot_j][r] = lrn_pull(scaled[slot_j][r], x[slot_j][r], inverse.of_d);
            }
            if (i < 0) return;
            V pulls = pull[0][r];
            UNROLL
            for (int k = 1; k < size; ++k) pulls += pull[k][r];
            const V dx = lrn_gradient(scaled[slot_i][r], x[slot_i][r], pulls, factor);
            store_gradient<relu_below>(dinp + i * plane + at, dx, x[slot_i][r], accumulate, lanes);
        });
    });
}

template <class T, class S>
__global__ void lrn_blocked_forward_kernel(S* __restrict__ out, const S* __restrict__ inp, int channels,
                                           index_t plane, Norm norm) {
    using V = typename T::V;
    for (int first = 0; first < channels; first += norm.size) {
        const int end = smaller(first + norm.size, channels);
        for_each_group<T>(first_of_thread<T>(), plane, [&](int, index_t at, auto lanes) {
            V squares = splat<V>(0.f);
            for (int c = first; c < end; ++c) {
                const V x = load<V>(inp + c * plane + at, lanes);
                squares += x * x;
            }
            const Inverse<V> inverse(norm.min_div + norm.scale * squares, norm.power);
            for (int c = first; c < end; ++c)
                store(out + c * plane + at, load<V>(inp + c * plane + at, lanes) * inverse.of_power,
                      lanes);
        });
    }
}

template <class T, bool relu_below, class S>
__global__ void lrn_blocked_backward_kernel(S* __restrict__ dinp, const S* __restrict__ dout,
                                            const S* __restrict__ inp, int channels, index_t plane,
                                            Norm norm, bool accumulate) {
    using V = typename T::V;
    for (int first = 0; first < channels; first += norm.size) {
        const int end = smaller(first + norm.size, channels);
        for_each_group<T>(first_of_thread<T>(), plane, [&](int, index_t at, auto lanes) {
            V squares = splat<V>(0.f), products = splat<V>(0.f);
            for (int c = first; c < end; ++c) {
                const V x = load<V>(inp + c * plane + at, lanes);
                squares += x * x;
                products += x * load<V>(dout + c * plane + at, lanes);
            }
            const Inverse<V> inverse(norm.min_div + norm.scale * squares, norm.power);
            const V pulls = 2 * norm.power * norm.scale * products * (inverse.of_d * inverse.of_power);
            for (int c = first; c < end; ++c) {
                const V x = load<V>(inp + c * plane + at, lanes);
                const V scaled = load<V>(dout + c * plane + at, lanes) * inverse.of_power;
                const V dx = multiply_add(-x, pulls, scaled);
                store_gradient<relu_below>(dinp + c * plane + at, dx, x, accumulate, lanes);
            }
        });
    }
}

template <class S>
void lrn_forward(S* out, const S* inp, int channels, index_t plane, Norm norm, bool blocked,
                 Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const LaunchShape shape = lrn_shape<T>(plane);
        if (blocked)
            launch<lrn_blocked_forward_kernel<T, S>>(shape, stream, out, inp, channels, plane, norm);
        else if (norm.size == kUsualLrnSize)
            launch<lrn_forward_kernel<T, kUsualLrnSize, S>>(shape, stream, out, inp, channels, plane,
                                                            norm);
        else
            launch<lrn_forward_kernel<T, 0, S>>(shape, stream, out, inp, channels, plane, norm);
    });
}

template <class S>
void lrn_backward(S* dinp, const S* dout, const S* inp, int channels, index_t plane, Norm norm,
                  bool blocked, bool accumulate, bool relu_below, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const LaunchShape shape = lrn_shape<T>(plane);
        with_constant(relu_below, [&](auto known) {
            constexpr bool relu = decltype(known)::value;
            if (blocked)
                launch<lrn_blocked_backward_kernel<T, relu, S>>(shape, stream, dinp, dout, inp,
                                                                channels, plane, norm, accumulate);
            else if (norm.size == kUsualLrnSize)
                launch<lrn_backward_kernel<T, kUsualLrnSize, relu, S>>(
                    shape, stream, dinp, dout, inp, channels, plane, norm, accumulate);
            else
                launch<lrn_backward_kernel<T, 0, relu, S>>(shape, stream, dinp, dout, inp, channels,
                                                           plane, norm, accumulate);
        });
    });
}

template void lrn_forward(float*, const float*, int, index_t, Norm, bool, Stream);
template void lrn_forward(bf16*, const bf16*, int, index_t, Norm, bool, Stream);
template void lrn_backward(float*, const float*, const float*, int, index_t, Norm, bool, bool, bool,
                           Stream);
template void lrn_backward(bf16*, const bf16*, const bf16*, int, index_t, Norm, bool, bool, bool,
                           Stream);
