// Stochastic gradient descent with momentum and weight decay, paper section 5.
//
//   velocity = momentum * velocity - rate * decay * weights - rate * gradient
//   weights  = weights + velocity
//   rounded  = weights as bfloat16, where a tensor has it
//
// One launch for all tensors of a net: most have too few elements to fill a GPU. What they are is an
// argument of the kernel; settings (tensors, 3) are the rate, momentum and decay of each, in memory, so
// that a launch that was recorded in a graph learns at the rate of the day.
// Thread map: each tensor has blocks of its own; items lane groups each, strided by the block.
#include "../core/elementwise.h"
#include "ops.h"

namespace {

constexpr int kTensors = 80;  // of one launch, whose arguments may have 4 KiB

struct Tensors {
    SgdTensor tensor[kTensors];
    unsigned end[kTensors];  // the block behind each one's last
};

}  // namespace

template <class T>
__global__ void sgd_step_kernel(__grid_constant__ const Tensors tensors, int count,
                                const float* settings) {
    using V = typename T::V;
    int mine = 0;
    for (int last = count - 1; mine < last;) {
        const int middle = (mine + last) / 2;
        if (blockIdx.x < tensors.end[middle])
            last = middle;
        else
            mine = middle + 1;
    }
    const SgdTensor& t = tensors.tensor[mine];
    float *const weights = t.weights, *const velocity = t.velocity;
    const float* const gradient = t.gradient;
    const float rate = settings[3 * mine], momentum = settings[3 * mine + 1],
                decay = settings[3 * mine + 2];
    const unsigned block = blockIdx.x - (mine ? tensors.end[mine - 1] : 0);
    for_each_lanes<T>(block, t.n, [&](index_t i, index_t count) {
        const V w = load<V>(weights + i, count), g = load<V>(gradient + i, count);
        const V v = momentum * load<V>(velocity + i, count) - rate * (decay * w + g);
        store(velocity + i, v, count);
        store(weights + i, w + v, count);
        if (t.rounded) store(t.rounded + i, w + v, count);
    });
}

void sgd_step(const SgdTensor* tensors, int count, const float* settings, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        for (int first = 0; first < count; first += kTensors) {
            Tensors some{};
            const int taken = smaller(kTensors, count - first);
            unsigned blocks = 0;
            for (int i = 0; i < taken; ++i) {
                some.tensor[i] = tensors[first + i];
                some.end[i] = blocks += elementwise_blocks<T>(some.tensor[i].n);
            }
            launch<sgd_step_kernel<T>>({dim3(blocks), dim3(T::threads)}, stream, some, taken,
                                       settings + 3 * first);
        }
    });
}
