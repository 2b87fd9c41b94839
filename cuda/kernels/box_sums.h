// Sums over the size x size window of each pixel of a map, for rnorm.cu and cnorm.cu.
//
// A block walks down a strip of one map, for kBoxImages images. Its threads share one row of terms, sum
// it along the row, and keep these sums of the last `size` rows in a ring: each term is computed once,
// and no running sum drifts.
#pragma once

#include "../core/launch.h"
#include "../core/tuning.h"
#include "ops.h"

constexpr int kBoxImages = 32;             // of a block
constexpr int kBoxSharedBytes = 48 << 10;  // of a block at most: every GPU grants it unasked

struct Box {
    int size, before;  // of the window; rows and columns of it in front of its pixel
    int columns;       // of a block's strip

    // A block's shared memory is a row of columns + size - 1 terms and a ring of size * columns sums.
    Box(int size, int before, int width) : size(size), before(before) {
        constexpr int kRows = kBoxSharedBytes / int(kBoxImages * sizeof(float));
        columns = smaller(width, larger(1, (kRows - size + 1) / (size + 1)));
    }
    LaunchShape shape(const MapSizes& s, int threads) const {
        const index_t strips = ceil_div(s.width, columns),
                      image_blocks = ceil_div(s.images, kBoxImages);
        const size_t rows = size_t(columns + size - 1 + size * columns);
        return {dim3(unsigned(s.channels * strips * image_blocks)), dim3(threads),
                rows * kBoxImages * sizeof(float)};
    }
};

// Calls emit(i, sum, count) for each lane group i of the block's strip: sum is that of term(j, count)
// over the window of i's pixel. i and j are offsets in the array; `count` lanes are images.
template <class T, class Term, class Emit>
__device__ __forceinline__ void box_sums(const MapSizes& s, const Box& box, Term term, Emit emit) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kGroups = kBoxImages / L;
    const int image_blocks = ceil_div(s.images, kBoxImages), strips = ceil_div(s.width, box.columns);
    const int first_image = int(blockIdx.x) % image_blocks * kBoxImages;
    const int first_column = int(blockIdx.x) / image_blocks % strips * box.columns;
    const int channel = int(blockIdx.x) / image_blocks / strips;
    const int columns = smaller(box.columns, s.width - first_column);
    const int after = box.size - 1 - box.before;
    float* const row = dynamic_shared<float>();                       // [columns+size-1][kBoxImages]
    float* const ring = row + (columns + box.size - 1) * kBoxImages;  // [size][columns][kBoxImages]

    // Calls f(column, place in a shared row, image) for this thread's share of `n` columns.
    auto for_each_group = [&](int n, auto f) {
        for (int i = int(threadIdx.x); i < n * kGroups; i += T::threads)
            f(i / kGroups, i * L, first_image + i % kGroups * L);
    };
    auto offset = [&](int y, int x, int image) {
        return index_t((channel * s.height + y) * s.width + x) * s.images + image;
    };

    for_each_group(box.size * columns, [&](int, int at, int) { store(ring + at, splat<V>(0.f)); });
    // Row y arrives; row y - after has now seen its whole window.
    for (int y = 0; y < s.height + after; ++y) {
        for_each_group(columns + box.size - 1, [&](int column, int at, int image) {
            const int x = first_column + column - box.before;
            const bool inside = y < s.height && x >= 0 && x < s.width && image < s.images;
            store(row + at, inside ? term(offset(y, x, image), s.images - image) : splat<V>(0.f));
        });
        __syncthreads();
        for_each_group(columns, [&](int column, int at, int image) {
            V along = load<V>(row + at), sum = splat<V>(0.f);
            for (int i = 1; i < box.size; ++i) along += load<V>(row + at + i * kBoxImages);
            store(ring + y % box.size * columns * kBoxImages + at, along);
            if (y < after || image >= s.images) return;
            for (int i = 0; i < box.size; ++i) sum += load<V>(ring + i * columns * kBoxImages + at);
            emit(offset(y - after, first_column + column, image), sum, s.images - image);
        });
        __syncthreads();
    }
}
