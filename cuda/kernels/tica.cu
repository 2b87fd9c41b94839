// Topographic ICA, cuda-convnet's cost.tica: pixels of a map that are neighbours shall be active
// together.
//
//   s_p = sqrt(sum of inp_q^2 over the size x size window of p, clipped to the map)
//   forward   loss[n] = sum over channels and pixels of s - e log(1 + s / e), and s is kept
//   backward  dinp_p = [dinp_p +] coeff / images * inp_p * sum of 1 / (e + s_q), p in window of q
//
// e = 0.001. The gradient is cuda-convnet's; the loss is what it is the gradient of (for s far above e
// the plain sum of s), since cuda-convnet reports none.
// inp, dinp, norms (channels, height, width, images); loss (images,). Windows are box sums
// (box_sums.h).
#include "../core/reduce.h"
#include "box_sums.h"

constexpr float kTicaSmall = 1e-3f;

template <class T>
__global__ void tica_norms_kernel(float* __restrict__ norms, const float* __restrict__ inp, MapSizes s,
                                  Box box) {
    using V = typename T::V;
    auto square = [&](index_t i, index_t count) {
        const V x = load<V>(inp + i, count);
        return x * x;
    };
    box_sums<T>(s, box, square, [&](index_t i, V squares, index_t count) {
        store(norms + i, sqrt_lanes(squares), count);
    });
}

// Thread map: a block owns one lane group of pictures; its threads share the pixels of each map.
template <class T>
__global__ void tica_loss_kernel(float* loss, const float* norms, MapSizes s) {
    using V = typename T::V;
    const int n = int(blockIdx.x) * lane_count<V>, pixels = s.height * s.width;
    V sum = splat<V>(0.f);
    for (int c = 0; c < s.channels; ++c) {
        V of_map = splat<V>(0.f);
        for (int p = int(threadIdx.x); p < pixels; p += T::threads) {
            const V norm = load<V>(norms + (index_t(c) * pixels + p) * s.images + n, s.images - n);
            of_map += norm - kTicaSmall * log1p_lanes(norm / kTicaSmall);
        }
        sum += of_map;
    }
    sum = block_reduce<T::threads>(sum, Sum{});
    if (threadIdx.x == 0) store(loss + n, sum, s.images - n);
}

template <class T>
__global__ void tica_backward_kernel(float* __restrict__ dinp, const float* __restrict__ inp,
                                     const float* __restrict__ norms, MapSizes s, Box box, float factor,
                                     bool accumulate) {
    using V = typename T::V;
    auto pull = [&](index_t i, index_t count) {
        return 1.f / (load<V>(norms + i, count) + kTicaSmall);
    };
    box_sums<T>(s, box, pull, [&](index_t i, V pulls, index_t count) {
        V dx = factor * load<V>(inp + i, count) * pulls;
        if (accumulate) dx = add_rounded(load<V>(dinp + i, count), dx);
        store(dinp + i, dx, count);
    });
}

void tica_forward(float* loss, float* norms, const float* inp, MapSizes s, int size, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(size, size / 2, s.width);
        launch_with_barriers<tica_norms_kernel<T>>(box.shape(s, T::threads), stream, norms, inp, s,
                                                   box);
        const dim3 blocks(ceil_div(s.images, lane_count<typename T::V>));
        launch_with_barriers<tica_loss_kernel<T>>({blocks, T::threads}, stream, loss,
                                                  (const float*)norms, s);
    });
}

void tica_backward(float* dinp, const float* inp, const float* norms, MapSizes s, int size, float coeff,
                   bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(size, size - 1 - size / 2, s.width);
        launch_with_barriers<tica_backward_kernel<T>>(box.shape(s, T::threads), stream, dinp, inp,
                                                      norms, s, box, coeff / s.images, accumulate);
    });
}
