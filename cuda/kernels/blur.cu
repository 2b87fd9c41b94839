// Gaussian blur of each map (`blur` of the layer files).
//
//   out[c,y,x] = sum over i, j of w_i w_j inp[c, y + i - r, x + j - r],  i, j = 0 ... size - 1
//   w_i = exp(-(i - r)^2 / (2 stdev^2)) / sum of these,  r = size / 2; zeros beyond the map
//
// inp, out (channels, height, width, images). The weights are symmetric, so that the gradient of the
// input is the blur of the gradient of the output.
// Thread map: T::pixels columns of a map, T::run lane groups of images of each. A thread walks down its
// column: it sums each row that arrives along the row, and keeps these sums of the last `size` rows in
// a ring.
#include <cmath>

#include "../core/pixel_map.h"
#include "ops.h"

namespace {

struct Taps {
    float weight[kLargestBlurSize];
};

Taps gaussian(int size, double stdev) {
    double weight[kLargestBlurSize], sum = 0;
    for (int i = 0; i < size; ++i) {
        const double distance = (i - size / 2) / stdev;
        sum += weight[i] = std::exp(-distance * distance / 2);
    }
    Taps taps{};
    for (int i = 0; i < size; ++i) taps.weight[i] = float(weight[i] / sum);
    return taps;
}

}  // namespace

template <class T, int kSize>
__global__ void blur_kernel(float* __restrict__ out, const float* __restrict__ inp, int height,
                            int width, PixelMap<T> columns, Taps taps, bool accumulate) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kReach = kSize / 2;
    const int images = columns.images;
    columns.for_each_chunk([&](int channel, int, int x, int image, int count) {
        const int first = larger(kReach - x, 0), last = smaller(kReach + width - x, kSize);
        const index_t column = index_t(channel * height) * width + x;
        V ring[kSize][T::run] = {};
        // Row `arriving` arrives; row y has now seen its whole window.
        auto walk = [&](int arriving, int slot) {
            const int y = arriving - kReach;
            for (int r = 0; r * L < count; ++r)
                with_lanes<V>(count - r * L, [&](auto lanes) {
                    V along = splat<V>(0.f);
                    const index_t leftmost = column + index_t(arriving) * width - kReach;
                    UNROLL
                    for (int j = 0; j < kSize; ++j)
                        if (arriving < height && j >= first && j < last)
                            along += taps.weight[j] *
                                     load<V>(inp + (leftmost + j) * images + image + r * L, lanes);
                    ring[slot][r] = along;
                    if (y < 0) return;
                    V sum = splat<V>(0.f);
                    UNROLL
                    for (int i = 0; i < kSize; ++i)  // from the oldest row in the ring on
                        sum += taps.weight[i] * ring[(slot + 1 + i) % kSize][r];
                    float* to = out + (column + index_t(y) * width) * images + image + r * L;
                    if (accumulate) sum = add_rounded(load<V>(to, lanes), sum);
                    store(to, sum, lanes);
                });
        };
        const int end = height + kReach;
        for (int base = 0; base < end; base += kSize) UNROLL
        for (int slot = 0; slot < kSize; ++slot)
            if (base + slot < end) walk(base + slot, slot);
    });
}

void blur(float* out, const float* inp, MapSizes s, int size, double stdev, bool accumulate,
          Stream stream) {
    const Taps taps = gaussian(size, stdev);
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> columns(s.channels, 1, s.width, s.images);
        auto blur_of = [&](auto known_size) {
            launch<blur_kernel<T, known_size.value>>(columns.shape(), stream, out, inp, s.height,
                                                     s.width, columns, taps, accumulate);
        };
        switch (size) {
            case 3: return blur_of(std::integral_constant<int, 3>{});
            case 5: return blur_of(std::integral_constant<int, 5>{});
            case 7: return blur_of(std::integral_constant<int, 7>{});
            default: return blur_of(std::integral_constant<int, 9>{});
        }
    });
}
