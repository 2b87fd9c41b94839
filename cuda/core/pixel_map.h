// Loops over the pixels of (channels, height, width, images) arrays, for kernels that need to know
// where they are.
#pragma once

#include "divisor.h"
#include "launch.h"
#include "tuning.h"

// The pixels of a (channels, height, width, images) array, cut into chunks of images: a thread has
// T::pixels chunks of T::run lane groups.
template <class T>
struct PixelMap {
    static constexpr int kChunk = T::run * lane_count<typename T::V>;
    int images;
    index_t chunks;
    Divisor per_pixel, width, height;

    PixelMap(int channels, int height, int width, int images)
        : images(images),
          chunks(index_t(channels) * height * width * ceil_div(images, kChunk)),
          per_pixel(ceil_div(images, kChunk)),
          width(width),
          height(height) {}

    LaunchShape shape() const {
        return {dim3(unsigned(ceil_div(chunks, index_t(T::threads) * T::pixels))), dim3(T::threads)};
    }

    // Calls f(channel, y, x, image, count) for each chunk of the calling thread: `count` images.
    template <class F>
    __device__ __forceinline__ void for_each_chunk(F f) const {
        index_t i = (index_t(blockIdx.x) * T::threads + threadIdx.x) * T::pixels;
        const index_t end = smaller(i + T::pixels, chunks);
        for (; i < end; ++i) {
            const int chunk = int(i), pixel = per_pixel.quotient(chunk), row = width.quotient(pixel),
                      channel = height.quotient(row);
            const int image = per_pixel.remainder(chunk, pixel) * kChunk;
            f(channel, height.remainder(row, channel), width.remainder(pixel, row), image,
              smaller(kChunk, images - image));
        }
    }
};
