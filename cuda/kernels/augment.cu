// From pictures to the network's input: crop, mirror image, mean, colour noise; paper section 4.1.
//
//   out[c, y, x, n] = (pictures[n, Y, X, c] - mean[c, Y, X] + noise[n, c]) * scale
//   Y = top + y,  X = left + x, or left + w - 1 - x in a mirror image;  (top, left) = offsets[n]
//
// pictures (images, H, W, channels) uint8, offsets (images, 2), flips (images,) uint8: 0 or not,
// mean (channels, H, W), noise (images, channels), out (channels, h, w, images). An offset that would
// leave the picture is moved to its border: nothing outside is read.
//
// This is a transposition. Thread map: a block owns one output row of a group of pictures. Each lane
// walks along one row of one picture, so that a line of the cache is fetched once and used up; each
// store covers neighbouring pictures. On a GPU the warps of the block share the row's pixels.
#include "../core/bf16.h"
#include "../core/launch.h"
#include "../core/tuning.h"
#include "ops.h"

constexpr int kWarp = 32;

template <class T, class S>
__global__ void augment_kernel(S* out, const uint8_t* pictures, const int* offsets,
                               const uint8_t* flips, const float* mean, const float* noise,
                               AugmentSizes s, float scale) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kPictures = smaller(T::threads, kWarp) * L;
    constexpr int kWarps = larger(T::threads / kWarp, 1);
    const int first = int(blockIdx.y) * kPictures + int(threadIdx.x) % kWarp * L;
    const int count = s.images - first, y = int(blockIdx.x);
    if (count <= 0) return;

    int picture[L], start[L], step[L];  // a lane past the end follows the last picture, unstored
    for (int lane = 0; lane < L; ++lane) {
        const int n = picture[lane] = smaller(first + lane, s.images - 1);
        const int top = larger(0, smaller(offsets[2 * n], s.height - s.out_height));
        const int left = larger(0, smaller(offsets[2 * n + 1], s.width - s.out_width));
        start[lane] = (top + y) * s.width + left + (flips[n] ? s.out_width - 1 : 0);
        step[lane] = flips[n] ? -1 : 1;
    }

    const int area = s.height * s.width;
    for (int c = 0; c < s.channels; ++c) {
        const V shift = make_lanes<V>([&](int i) { return noise[picture[i] * s.channels + c]; });
        for (int x = int(threadIdx.x) / kWarp; x < s.out_width; x += kWarps) {
            const V value = make_lanes<V>([&](int i) {
                const int place = start[i] + x * step[i];
                const uint8_t pixel = pictures[index_t(picture[i] * area + place) * s.channels + c];
                return float(pixel) - mean[c * area + place];
            });
            const index_t row = (index_t(c) * s.out_height + y) * s.out_width + x;
            store(out + row * s.images + first, (value + shift) * scale, count);
        }
    }
}

template <class S>
void augment(S* out, const uint8_t* pictures, const int* offsets, const uint8_t* flips,
             const float* mean, const float* noise, AugmentSizes sizes, float scale, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const int per_block = smaller(T::threads, kWarp) * lane_count<typename T::V>;
        const dim3 blocks(sizes.out_height, ceil_div(sizes.images, per_block));
        launch<augment_kernel<T, S>>({blocks, T::threads}, stream, out, pictures, offsets, flips, mean,
                                     noise, sizes, scale);
    });
}

template void augment(float*, const uint8_t*, const int*, const uint8_t*, const float*, const float*,
                      AugmentSizes, float, Stream);
template void augment(bf16*, const uint8_t*, const int*, const uint8_t*, const float*, const float*,
                      AugmentSizes, float, Stream);
