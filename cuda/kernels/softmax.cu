// Softmax over classes, paper section 3.5.
//
//   forward   out[c] = exp(inp[c]) / sum_j exp(inp[j])
//   backward  dinp[c] (+)= out[c] * (dout[c] - sum_j out[j] dout[j])
//
// All arrays are (classes, images). Thread map: a block owns one lane group of pictures, so that the
// GPU has as many blocks as pictures; its threads share the classes and reduce over the block.
#include "../core/launch.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "ops.h"

template <class T>
__global__ void softmax_forward_kernel(float* out, const float* inp, int classes, int images) {
    using V = typename T::V;
    const index_t first = index_t(blockIdx.x) * lane_count<V>, count = images - first;
    auto for_each_class = [&](auto f) {
        for (int c = int(threadIdx.x); c < classes; c += T::threads) f(index_t(c) * images + first);
    };
    // Less the maximum, exp does not overflow; the quotient is the same.
    V largest = splat<V>(Max::identity), sum = splat<V>(0.f);
    for_each_class([&](index_t i) { largest = max_lanes(largest, load<V>(inp + i, count)); });
    largest = block_reduce<T::threads>(largest, Max{});
    for_each_class([&](index_t i) {
        const V e = exp_lanes(load<V>(inp + i, count) - largest);
        store(out + i, e, count);
        sum += e;
    });
    sum = block_reduce<T::threads>(sum, Sum{});
    for_each_class([&](index_t i) { store(out + i, load<V>(out + i, count) / sum, count); });
}

template <class T>
__global__ void softmax_backward_kernel(float* dinp, const float* dout, const float* out, int classes,
                                        int images, bool accumulate) {
    using V = typename T::V;
    const index_t first = index_t(blockIdx.x) * lane_count<V>, count = images - first;
    auto for_each_class = [&](auto f) {
        for (int c = int(threadIdx.x); c < classes; c += T::threads) f(index_t(c) * images + first);
    };
    V dot = splat<V>(0.f);
    for_each_class([&](index_t i) { dot += load<V>(out + i, count) * load<V>(dout + i, count); });
    dot = block_reduce<T::threads>(dot, Sum{});
    for_each_class([&](index_t i) {
        V dx = load<V>(out + i, count) * (load<V>(dout + i, count) - dot);
        if (accumulate) dx = add_rounded(load<V>(dinp + i, count), dx);
        store(dinp + i, dx, count);
    });
}

void softmax_forward(float* out, const float* inp, int classes, int images, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const dim3 blocks(ceil_div(images, lane_count<typename T::V>));
        launch_with_barriers<softmax_forward_kernel<T>>({blocks, T::threads}, stream, out, inp, classes,
                                                        images);
    });
}

void softmax_backward(float* dinp, const float* dout, const float* out, int classes, int images,
                      bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const dim3 blocks(ceil_div(images, lane_count<typename T::V>));
        launch_with_barriers<softmax_backward_kernel<T>>({blocks, T::threads}, stream, dinp, dout, out,
                                                         classes, images, accumulate);
    });
}
