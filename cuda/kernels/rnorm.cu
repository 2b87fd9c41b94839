// Response normalisation within each map (`rnorm` of the layer files; the 2012 nets use it).
//
//   d_p = min_div + scale * sum of inp_q^2 over the size x size window of p, clipped to the map
//   forward   out_p  = inp_p / d_p^power, and d is kept
//   backward  dinp_p = dout_p / d_p^power
//                      - 2 power scale inp_p * sum of dout_q inp_q / d_q^(power+1), p in window of q
//
// All arrays are (channels, height, width, images). Both passes are box sums, of squares and of the
// terms above with the window mirrored. A block walks down a strip of one map, for kImages images. Its
// threads share one row of terms, sum it along the row, and keep these sums of the last `size` rows in
// a ring: each term is computed once, and no running sum drifts.
#include "../core/launch.h"
#include "../core/tuning.h"
#include "ops.h"

namespace {

constexpr int kImages = 32;             // of a block
constexpr int kSharedBytes = 48 << 10;  // of a block at most: every GPU grants it unasked

struct Box {
    int size, before;  // of the window; rows and columns of it in front of its pixel
    int columns;       // of a block's strip

    // A block's shared memory is a row of columns + size - 1 terms and a ring of size * columns sums.
    Box(int size, int before, int width) : size(size), before(before) {
        constexpr int kRows = kSharedBytes / int(kImages * sizeof(float));
        columns = smaller(width, larger(1, (kRows - size + 1) / (size + 1)));
    }
    LaunchShape shape(const MapSizes& s, int threads) const {
        const index_t strips = ceil_div(s.width, columns), image_blocks = ceil_div(s.images, kImages);
        const size_t rows = size_t(columns + size - 1 + size * columns);
        return {dim3(unsigned(s.channels * strips * image_blocks)), dim3(threads),
                rows * kImages * sizeof(float)};
    }
};

// Calls emit(i, sum, count) for each lane group i of the block's strip: sum is that of term(j, count)
// over the window of i's pixel. i and j are offsets in the array; `count` lanes are images.
template <class T, class Term, class Emit>
__device__ __forceinline__ void box_sums(const MapSizes& s, const Box& box, Term term, Emit emit) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kGroups = kImages / L;
    const int image_blocks = ceil_div(s.images, kImages), strips = ceil_div(s.width, box.columns);
    const int first_image = int(blockIdx.x) % image_blocks * kImages;
    const int first_column = int(blockIdx.x) / image_blocks % strips * box.columns;
    const int channel = int(blockIdx.x) / image_blocks / strips;
    const int columns = smaller(box.columns, s.width - first_column);
    const int after = box.size - 1 - box.before;
    float* const row = dynamic_shared<float>();                    // [columns+size-1][kImages]
    float* const ring = row + (columns + box.size - 1) * kImages;  // [size][columns][kImages]

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
            for (int i = 1; i < box.size; ++i) along += load<V>(row + at + i * kImages);
            store(ring + y % box.size * columns * kImages + at, along);
            if (y < after || image >= s.images) return;
            for (int i = 0; i < box.size; ++i) sum += load<V>(ring + i * columns * kImages + at);
            emit(offset(y - after, first_column + column, image), sum, s.images - image);
        });
        __syncthreads();
    }
}

}  // namespace

template <class T>
__global__ void rnorm_forward_kernel(float* __restrict__ out, float* __restrict__ denom,
                                     const float* __restrict__ inp, MapSizes s, Norm norm, Box box) {
    using V = typename T::V;
    auto square = [&](index_t i, index_t count) {
        const V x = load<V>(inp + i, count);
        return x * x;
    };
    box_sums<T>(s, box, square, [&](index_t i, V squares, index_t count) {
        const V d = norm.min_div + norm.scale * squares;
        store(denom + i, d, count);
        store(out + i, load<V>(inp + i, count) * Inverse<V>(d, norm.power).of_power, count);
    });
}

template <class T>
__global__ void rnorm_backward_kernel(float* __restrict__ dinp, const float* __restrict__ dout,
                                      const float* __restrict__ inp, const float* __restrict__ denom,
                                      MapSizes s, Norm norm, Box box, bool accumulate) {
    using V = typename T::V;
    auto pull = [&](index_t i, index_t count) {
        const Inverse<V> inverse(load<V>(denom + i, count), norm.power);
        return load<V>(dout + i, count) * load<V>(inp + i, count) * (inverse.of_power * inverse.of_d);
    };
    box_sums<T>(s, box, pull, [&](index_t i, V pulls, index_t count) {
        const V direct =
            load<V>(dout + i, count) * Inverse<V>(load<V>(denom + i, count), norm.power).of_power;
        V dx = direct - 2 * norm.power * norm.scale * load<V>(inp + i, count) * pulls;
        if (accumulate) dx += load<V>(dinp + i, count);
        store(dinp + i, dx, count);
    });
}

void rnorm_forward(float* out, float* denom, const float* inp, MapSizes s, Norm norm, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size / 2, s.width);
        launch_with_barriers<rnorm_forward_kernel<T>>(box.shape(s, T::threads), stream, out, denom, inp,
                                                      s, norm, box);
    });
}

void rnorm_backward(float* dinp, const float* dout, const float* inp, const float* denom, MapSizes s,
                    Norm norm, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Box box(norm.size, norm.size - 1 - norm.size / 2, s.width);
        launch_with_barriers<rnorm_backward_kernel<T>>(box.shape(s, T::threads), stream, dinp, dout,
                                                       inp, denom, s, norm, box, accumulate);
    });
}
