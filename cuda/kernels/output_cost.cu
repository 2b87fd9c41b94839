// Costs that are sums over a picture's outputs y, some against targets t (cuda-convnet's; not the
// paper's).
//
//   forward   loss[n] = sum over f of c(t[f, n], y[f, n])
//   backward  dy = [dy +] coeff / images * dc/dy
//
//   kind       c                                  dc/dy
//   crossent   -t log y                           -t / y
//   crossent2  -t log y - (1 - t) log(1 - y)      (y - t) / (y (1 - y))
//   rflickr    log(1 + (y - t)^2)                 2 (y - t) / (1 + (y - t)^2)
//   sum2       y^2                                2 y               no targets
//   gsum2      g y^2                              2 g y             targets are one row: g[n]
//
// Logarithms and divisors are kept above the smallest normal float, as in logloss.cu.
// y, dy (features, images); targets the same or (1, images); loss (images,).
#include "../core/launch.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "cost.h"
#include "ops.h"

namespace {

template <class V>
__device__ __forceinline__ V cost_of(OutputCost kind, V t, V y) {
    const V one = splat<V>(1.f), d = y - t;
    switch (kind) {
        case OutputCost::crossent: return -t * log_lanes(at_least_smallest(y));
        case OutputCost::crossent2:
            return -t * log_lanes(at_least_smallest(y)) -
                   (one - t) * log_lanes(at_least_smallest(one - y));
        case OutputCost::rflickr: return log1p_lanes(d * d);
        default: return t * y * y;
    }
}

template <class V>
__device__ __forceinline__ V slope_of(OutputCost kind, V t, V y) {
    const V one = splat<V>(1.f), d = y - t;
    switch (kind) {
        case OutputCost::crossent: return -t / at_least_smallest(y);
        case OutputCost::crossent2: return d / at_least_smallest(y * (one - y));
        case OutputCost::rflickr: return 2.f * d / (one + d * d);
        default: return 2.f * t * y;
    }
}

// The target of output (f, n ...): sum2 is gsum2 with gates of 1.
template <class V>
__device__ __forceinline__ V target_of(OutputCost kind, const float* targets, index_t f, int images,
                                       int n) {
    if (kind == OutputCost::sum2) return splat<V>(1.f);
    return load<V>(targets + (kind == OutputCost::gsum2 ? 0 : f * images) + n, images - n);
}

}  // namespace

// Thread map: a block owns one lane group of pictures; its threads share the outputs.
template <class T>
__global__ void output_cost_forward_kernel(float* loss, const float* targets, const float* y,
                                           int features, int images, OutputCost kind) {
    using V = typename T::V;
    const int n = int(blockIdx.x) * lane_count<V>;
    V sum = splat<V>(0.f);
    for (int f = int(threadIdx.x); f < features; f += T::threads)
        sum += cost_of(kind, target_of<V>(kind, targets, f, images, n),
                       load<V>(y + index_t(f) * images + n, images - n));
    sum = block_reduce<T::threads>(sum, Sum{});
    if (threadIdx.x == 0) store(loss + n, sum, images - n);
}

// Thread map: a block owns one output; its threads share the pictures.
template <class T>
__global__ void output_cost_backward_kernel(float* dy, const float* targets, const float* y, int images,
                                            OutputCost kind, float factor, bool accumulate) {
    using V = typename T::V;
    for (int n = int(threadIdx.x) * lane_count<V>; n < images; n += T::threads * lane_count<V>) {
        const index_t at = index_t(blockIdx.x) * images + n;
        V slope = factor * slope_of(kind, target_of<V>(kind, targets, blockIdx.x, images, n),
                                    load<V>(y + at, images - n));
        if (accumulate) slope = add_rounded(load<V>(dy + at, images - n), slope);
        store(dy + at, slope, images - n);
    }
}

void output_cost_forward(float* loss, const float* targets, const float* y, int features, int images,
                         OutputCost kind, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const dim3 blocks(ceil_div(images, lane_count<typename T::V>));
        launch_with_barriers<output_cost_forward_kernel<T>>({blocks, T::threads}, stream, loss, targets,
                                                            y, features, images, kind);
    });
}

void output_cost_backward(float* dy, const float* targets, const float* y, int features, int images,
                          OutputCost kind, float coeff, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<output_cost_backward_kernel<T>>({dim3(features), T::threads}, stream, dy, targets, y,
                                               images, kind, coeff / images, accumulate);
    });
}
