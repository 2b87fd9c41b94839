// Gradient of the biases, and of what lies before the neuron, in one pass; and biases as a pass of
// their own, for convolutions whose biases are not shared by the pixels of a map.
//
//   forward   out = f(out + bias[c]), in place
//   backward  dz = dout * f'(z), from out = f(z);   dbias[c] (+)= sum of dz over all but axis 0
//
// dz, dout, out (channels, inner); dz may be dout, and is then left alone where f is the identity. A
// channel is whatever has one bias: a map, or one pixel of it.
// Thread map: forward has a thread for a few lane groups of one channel. In backward a block owns a
// slice of one channel, so that few channels occupy a GPU too, and writes the slice's sum; a second
// kernel adds these. The cuts depend on the sizes alone: so does the result.
#include "../core/bf16.h"
#include "../core/launch.h"
#include "../core/pixel_map.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "ops.h"

namespace {

constexpr index_t kSlice = 16384;  // floats

index_t slices_of(index_t inner) {
    return ceil_div(inner, kSlice);
}

}  // namespace

template <class T, class S>
__global__ void bias_forward_kernel(S* out, const float* bias, PixelMap<T> map, Neuron neuron) {
    using V = typename T::V;
    map.for_each_chunk([&](int channel, int, int, int first, int count) {
        S* const row = out + index_t(channel) * map.images + first;
        const V b = splat<V>(bias[channel]);
        for (int i = 0; i < count; i += lane_count<V>)
            store(row + i, activate(neuron, load<V>(row + i, count - i) + b), count - i);
    });
}

// sums (channels, slices)
template <class T, class Z, class S>
__global__ void bias_backward_kernel(float* sums, Z* dz, const S* dout, const S* out, index_t inner,
                                     int slices, Neuron neuron, bool accumulate) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const index_t channel = blockIdx.x / unsigned(slices), slice = blockIdx.x % unsigned(slices);
    const index_t end = channel * inner + smaller((slice + 1) * kSlice, inner);
    const index_t first = channel * inner + slice * kSlice + index_t(threadIdx.x) * L;
    const bool identity = neuron.kind == NeuronKind::ident;
    const bool in_place = static_cast<const void*>(dz) == dout;
    V sum = splat<V>(0.f);
    for (index_t i = first; i < end; i += T::threads * L) {
        V g = load<V>(dout + i, end - i);
        if (!identity) g = activate_backward(neuron, g, load<V>(out + i, end - i));
        if (!identity || !in_place) store(dz + i, g, end - i);
        sum += g;
    }
    sum = block_reduce<T::threads>(sum, Sum{});
    if (threadIdx.x == 0) sums[blockIdx.x] = (accumulate ? sums[blockIdx.x] : 0.f) + sum_of_lanes(sum);
}

template <class T>
__global__ void bias_sum_kernel(float* dbias, const float* sums, int channels, int slices,
                                bool accumulate) {
    const int channel = int(blockIdx.x) * T::threads + int(threadIdx.x);
    if (channel >= channels) return;
    float sum = 0.f;
    for (int i = 0; i < slices; ++i) sum += sums[index_t(channel) * slices + i];
    dbias[channel] = (accumulate ? dbias[channel] : 0.f) + sum;
}

template <class S>
void bias_forward(S* out, const float* bias, int channels, int inner, Neuron neuron, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> map(channels, 1, 1, inner);
        launch<bias_forward_kernel<T, S>>(map.shape(), stream, out, bias, map, neuron);
    });
}

index_t bias_backward_workspace(int channels, index_t inner) {
    const index_t slices = slices_of(inner);
    return slices > 1 ? channels * slices : 0;
}

template <class Z, class S>
void bias_backward(float* dbias, Z* dz, const S* dout, const S* out, float* workspace, int channels,
                   index_t inner, Neuron neuron, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const auto slices = int(slices_of(inner));
        const dim3 blocks(unsigned(channels) * unsigned(slices));
        float* const sums = slices > 1 ? workspace : dbias;
        launch_with_barriers<bias_backward_kernel<T, Z, S>>({blocks, T::threads}, stream, sums, dz,
                                                            dout, out, inner, slices, neuron,
                                                            accumulate && slices == 1);
        if (slices > 1)
            launch<bias_sum_kernel<T>>({ceil_div(channels, T::threads), T::threads}, stream, dbias,
                                       sums, channels, slices, accumulate);
    });
}

template void bias_forward(float*, const float*, int, int, Neuron, Stream);
template void bias_forward(bf16*, const float*, int, int, Neuron, Stream);
template void bias_backward(float*, float*, const float*, const float*, float*, int, index_t, Neuron,
                            bool, Stream);
template void bias_backward(float*, float*, const bf16*, const bf16*, float*, int, index_t, Neuron,
                            bool, Stream);
template void bias_backward(float*, bf16*, const float*, const float*, float*, int, index_t, Neuron,
                            bool, Stream);
template void bias_backward(float*, bf16*, const bf16*, const bf16*, float*, int, index_t, Neuron, bool,
                            Stream);
