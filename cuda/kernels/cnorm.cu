// Contrast normalisation within each map (`cnorm` of the layer files), as cuda-convnet has it.
//
//   m_p = inp_p - mean of inp over the window of p: given, as `differences`
//   d_p = min_div + scale * sum of m_q^2 over the size x size window of p, clipped to the map
//   forward   out_p  = inp_p / d_p^power, and d is kept
//   backward  dinp_p = dout_p / d_p^power, as far as inp_p is divided itself
//             dm_p   = -2 power scale m_p * sum of dout_q inp_q / d_q^(power+1), p in window of q
//
// All arrays are (channels, height, width, images). Both passes are box sums (box_sums.h), of squares
// and of the terms above with the window mirrored.
#include "box_sums.h"

template <class T>
__global__ void cnorm_forward_kernel(float* __restrict__ out, float* __restrict__ denom,
                                     const float* __restrict__ inp,
                                     const float* __restrict__ differences, MapSizes s, Norm norm,
                                     Box box) {
    using V = typename T::V;
    auto square = [&](index_t i, index_t count) {
        const V m = load<V>(differences + i, count);
        return m * m;
    };
    box_sums<T>(s, box, square, [&](index_t i, V squares, index_t count) {
        const V d = norm.min_div + norm.scale * squares;
        store(denom + i, d, count);
        store(out + i, load<V>(inp + i, count) * Inverse<V>(d, norm.power).of_power, count);
    });
}

template <class T>
__global__ void cnorm_backward_kernel(float* __restrict__ dinp, float* __restrict__ ddifferences,
                                      const float* __restrict__ dout, const float* __restrict__ inp,
                                      const float* __restrict__ differences,
                                      const float* __restrict__ denom, MapSizes s, Norm norm, Box box) {
    using V = typename T::V;
    auto pull = [&](index_t i, index_t count) {
        const Inverse<V> inverse(load<V>(denom + i, count), norm.power);
        return load<V>(dout + i, count) * load<V>(inp + i, count) * (inverse.of_power * inverse.of_d);
    };
    box_sums<T>(s, box, pull, [&](index_t i, V pulls, index_t count) {
        const Inverse<V> inverse(load<V>(denom + i, count), norm.power);
        const V m = load<V>(differences + i, count);
        store(dinp + i, load<V>(dout + i, count) * inverse.of_power, count);
        store(ddifferences + i, -2 * norm.power * norm.scale * m * pulls, count);
    });
}

void cnorm_forward(float* out, float* denom, const float* inp, const float* differences, MapSizes s,
                   Norm norm, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size / 2, s.width);
        launch_with_barriers<cnorm_forward_kernel<T>>(box.shape(s, T::threads), stream, out, denom, inp,
                                                      differences, s, norm, box);
    });
}

void cnorm_backward(float* dinp, float* ddifferences, const float* dout, const float* inp,
                    const float* differences, const float* denom, MapSizes s, Norm norm,
                    Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size - 1 - norm.size / 2, s.width);
        launch_with_barriers<cnorm_backward_kernel<T>>(box.shape(s, T::threads), stream, dinp,
                                                       ddifferences, dout, inp, differences, denom, s,
                                                       norm, box);
    });
}
