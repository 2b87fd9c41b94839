// Response normalisation within each map (`rnorm` of the layer files; the 2012 nets use it).
//
//   d_p = min_div + scale * sum of inp_q^2 over the size x size window of p, clipped to the map
//   forward   out_p  = inp_p / d_p^power, and d is kept
//   backward  dinp_p = dout_p / d_p^power
//                      - 2 power scale inp_p * sum of dout_q inp_q / d_q^(power+1), p in window of q
//
// All arrays are (channels, height, width, images). Both passes are box sums (box_sums.h), of squares
// and of the terms above with the window mirrored.
#include "box_sums.h"

template <class T>
__global__ void rnorm_forward_kernel(float* __restrict__ out, float* __restrict__ denom,
                                     const float* __restrict__ inp, MapSizes s, Norm norm, Box box) {
    using V = typename T::V;
    auto square = [&](index_t i, index_t count) {
        const V x = load<V>(inp + i, count);
        return x * x;
    };
    box_sums<T>(s, box, square, [&](index_t i, V squares, index_t count) {
        const V d = norm.min_div + norm.scale * squares;
        store(denom + i, d, count);
        store(out + i, load<V>(inp + i, count) * Inverse<V>(d, norm.power).of_power, count);
    });
}

template <class T>
__global__ void rnorm_backward_kernel(float* __restrict__ dinp, const float* __restrict__ dout,
                                      const float* __restrict__ inp, const float* __restrict__ denom,
                                      MapSizes s, Norm norm, Box box, bool accumulate) {
    using V = typename T::V;
    auto pull = [&](index_t i, index_t count) {
        const Inverse<V> inverse(load<V>(denom + i, count), norm.power);
        return load<V>(dout + i, count) * load<V>(inp + i, count) * (inverse.of_power * inverse.of_d);
    };
    box_sums<T>(s, box, pull, [&](index_t i, V pulls, index_t count) {
        const V direct =
            load<V>(dout + i, count) * Inverse<V>(load<V>(denom + i, count), norm.power).of_power;
        V dx = direct - 2 * norm.power * norm.scale * load<V>(inp + i, count) * pulls;
        if (accumulate) dx = add_rounded(load<V>(dinp + i, count), dx);
        store(dinp + i, dx, count);
    });
}

void rnorm_forward(float* out, float* denom, const float* inp, MapSizes s, Norm norm, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size / 2, s.width);
        launch_with_barriers<rnorm_forward_kernel<T>>(box.shape(s, T::threads), stream, out, denom, inp,
                                                      s, norm, box);
    });
}

void rnorm_backward(float* dinp, const float* dout, const float* inp, const float* denom, MapSizes s,
                    Norm norm, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size - 1 - norm.size / 2, s.width);
        launch_with_barriers<rnorm_backward_kernel<T>>(box.shape(s, T::threads), stream, dinp, dout,
                                                       inp, denom, s, norm, box, accumulate);
    });
}
