// The noisy rectified linear unit of Nair and Hinton (ICML 2010), cuda-convnet's `nrelu`, in training.
//
//   out = max(0, inp + g * sqrt(1 / (1 + e^-inp)))     g: a normal draw for each element
//
// In testing, and backward, it is a plain relu. All arrays have n elements; out may be inp.
// Thread map: items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void noisy_relu_kernel(float* out, const float* inp, index_t n, PhiloxStream stream) {
    const PhiloxStream draws = of_this_step(stream);
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V x = load<V>(inp + i, count), one = splat<V>(1.f);
        const V deviation = sqrt_lanes(one / (one + exp_lanes(-x)));
        store(out + i, max_lanes(x + normal_lanes<V>(draws, i) * deviation, splat<V>(0.f)), count);
    });
}

void noisy_relu(float* out, const float* inp, index_t n, PhiloxStream draws, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<noisy_relu_kernel<T>>(elementwise_shape<T>(n), stream, out, inp, n, draws);
    });
}
