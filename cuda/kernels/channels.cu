// Channels picked by a table, each the sum of `terms` of them, as randSparse layers read theirs:
//
//   out[i] = [out[i] +] sum over t  inp[table[t, i]]
//
// inp (inp_channels, plane), out (channels, plane), table (terms, channels). One term picks channels;
// the gradient of that is the sum over the places of a channel, with the inverse table: no two threads
// write one element, and the order of the terms is fixed. An entry that is no channel adds nothing.
//
// Thread map: as an elementwise kernel over each plane; blockIdx.x = (channel, chunk of its plane).
#include "../core/elementwise.h"
#include "ops.h"

template <class T>
__global__ void channels_gather_kernel(float* out, const float* inp, const int* table, int terms,
                                       int channels, int inp_channels, index_t plane, int chunks,
                                       bool accumulate) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kStep = T::threads * L;
    const int channel = int(blockIdx.x) / chunks, chunk = int(blockIdx.x) % chunks;
    index_t at = index_t(chunk) * T::items * kStep + index_t(threadIdx.x) * L;
    for (int i = 0; i < T::items && at < plane; ++i, at += kStep) {
        float* to = out + channel * plane + at;
        V sum = splat<V>(0.f);
        for (int t = 0; t < terms; ++t) {
            const int from = table[index_t(t) * channels + channel];
            if (unsigned(from) < unsigned(inp_channels))
                sum += load<V>(inp + from * plane + at, plane - at);
        }
        if (accumulate) sum = load<V>(to, plane - at) + sum;
        store(to, sum, plane - at);
    }
}

void channels_gather(float* out, const float* inp, const int* table, int terms, int channels,
                     int inp_channels, index_t plane, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const LaunchShape one_plane = elementwise_shape<T>(plane);
        const unsigned chunks = one_plane.grid.x;
        launch<channels_gather_kernel<T>>({dim3(unsigned(channels) * chunks), one_plane.block}, stream,
                                          out, inp, table, terms, channels, inp_channels, plane,
                                          int(chunks), accumulate);
    });
}
