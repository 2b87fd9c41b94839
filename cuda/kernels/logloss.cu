// The cost, paper section 3.5, and the top-1 and top-k errors of section 6.
//
//   forward           loss[n] = -log(probs[label, n])
//                     top1[n], topk[n] = 1 - clip((k - greater) / equal, 0, 1), for 1 and for k
//   backward          dprobs = -coeff / (images * probs) at the label, 0 elsewhere
//   softmax_backward  dinp = coeff * (probs - onehot) / images: through cost and softmax at once
//
// `greater` classes are more probable than the label, `equal` as probable, itself among them: ties
// share the remaining places, as in cuda-convnet. A probability below the smallest normal float counts
// as that one, so that the loss stays finite (at most 87.3). A picture whose label is no class has loss
// NaN and error 1, and no gradient of its own; a NaN probability is never right.
//
// probs (classes, images), labels (images,), loss, top1, topk (images,).
#include "../core/launch.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "cost.h"
#include "ops.h"

template <class V>
__device__ __forceinline__ V error_in_top(float k, V greater, V equal) {
    const V zero = splat<V>(0.f), one = splat<V>(1.f);
    const V share = (k - greater) / equal;
    const V right = share > one ? one : max_lanes(share, zero);
    return equal > zero ? one - right : one;
}

// Thread map: a block owns one lane group of pictures; its threads share the classes.
template <class T>
__global__ void logloss_forward_kernel(float* loss, float* top1, float* topk, const float* probs,
                                       const int* labels, int classes, int images, int k) {
    using V = typename T::V;
    const index_t first = index_t(blockIdx.x) * lane_count<V>, count = images - first;
    const V p = make_lanes<V>([&](int lane) {
        const int label = lane < count ? labels[first + lane] : -1;
        return label >= 0 && label < classes ? probs[index_t(label) * images + first + lane] : NAN;
    });
    const V zero = splat<V>(0.f), one = splat<V>(1.f);
    V greater = zero, equal = zero;
    for (int c = int(threadIdx.x); c < classes; c += T::threads) {
        const V q = load<V>(probs + index_t(c) * images + first, count);
        greater += q > p ? one : zero;
        equal += q == p ? one : zero;
    }
    greater = block_reduce<T::threads>(greater, Sum{});
    equal = block_reduce<T::threads>(equal, Sum{});
    if (threadIdx.x != 0) return;
    store(loss + first, -log_lanes(at_least_smallest(p)), count);
    store(top1 + first, error_in_top<V>(1.f, greater, equal), count);
    store(topk + first, error_in_top<V>(float(k), greater, equal), count);
}

// Thread map of both gradients: a block owns one class; its threads share the pictures.
template <class T, class F>
__device__ __forceinline__ void for_each_picture(const int* labels, int images, F f) {
    using V = typename T::V;
    for (int n = int(threadIdx.x) * lane_count<V>; n < images; n += T::threads * lane_count<V>) {
        const int count = images - n;
        const V is_label = make_lanes<V>(
            [&](int lane) { return lane < count && labels[n + lane] == int(blockIdx.x) ? 1.f : 0.f; });
        f(index_t(blockIdx.x) * images + n, count, is_label);
    }
}

template <class T>
__global__ void logloss_backward_kernel(float* dprobs, const float* probs, const int* labels,
                                        int images, float factor) {
    using V = typename T::V;
    for_each_picture<T>(labels, images, [&](index_t i, int count, V is_label) {
        const V p = at_least_smallest(load<V>(probs + i, count));
        store(dprobs + i, is_label > 0.f ? -factor / p : splat<V>(0.f), count);
    });
}

template <class T>
__global__ void softmax_logloss_backward_kernel(float* dinp, const float* probs, const int* labels,
                                                int images, float factor) {
    using V = typename T::V;
    for_each_picture<T>(labels, images, [&](index_t i, int count, V is_label) {
        store(dinp + i, factor * (load<V>(probs + i, count) - is_label), count);
    });
}

void logloss_forward(float* loss, float* top1, float* topk, const float* probs, const int* labels,
                     int classes, int images, int k, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const dim3 blocks(ceil_div(images, lane_count<typename T::V>));
        launch_with_barriers<logloss_forward_kernel<T>>({blocks, T::threads}, stream, loss, top1, topk,
                                                        probs, labels, classes, images, k);
    });
}

void logloss_backward(float* dprobs, const float* probs, const int* labels, int classes, int images,
                      float coeff, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<logloss_backward_kernel<T>>({dim3(classes), T::threads}, stream, dprobs, probs, labels,
                                           images, coeff / images);
    });
}

void softmax_logloss_backward(float* dinp, const float* probs, const int* labels, int classes,
                              int images, float coeff, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<softmax_logloss_backward_kernel<T>>({dim3(classes), T::threads}, stream, dinp, probs,
                                                   labels, images, coeff / images);
    });
}
