// A crop of each map, resized by bilinear interpolation (`resize`, `rscale` and `crop` of the layer
// files).
//
//   out[c,y,x] = inp[c, v, u],  v = (top + y + 1/2) scale - 1/2,  u = (left + x + 1/2) scale - 1/2
//
// Where v and u, limited to the map, fall between pixels, the four pixels around count by how near they
// are. inp (channels, height, width, images), out (channels, out_height, out_width, images).
// Places are fixed-point numbers with 32 bits behind the point: the same on every device, and whole
// where they should be.
// Thread map: T::pixels pixels of out, T::run lane groups of images of each.
#include <cmath>

#include "../core/pixel_map.h"
#include "ops.h"

namespace {

constexpr double kOne = 4294967296.0;  // 2^32

struct Place {
    int first, second;  // the pixels on both sides
    float share;        // of the second
};

__device__ __forceinline__ Place place(int i, index_t half_scale, int limit) {
    const index_t at = (2 * index_t(i) + 1) * half_scale - (index_t(1) << 31);
    const index_t within = larger(index_t(0), smaller(at, index_t(limit - 1) << 32));
    const int first = int(within >> 32);
    return {first, smaller(first + 1, limit - 1), float(uint32_t(within)) * float(1 / kOne)};
}

}  // namespace

template <class T>
__global__ void resize_kernel(float* __restrict__ out, const float* __restrict__ inp, ResizeSizes s,
                              PixelMap<T> outputs, index_t half_scale) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    outputs.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const Place v = place(s.top + y, half_scale, s.height);
        const Place u = place(s.left + x, half_scale, s.width);
        auto pixel = [&](int row, int column) {
            return inp + (index_t(channel * s.height + row) * s.width + column) * s.images + image;
        };
        const float *a = pixel(v.first, u.first), *b = pixel(v.first, u.second),
                    *c = pixel(v.second, u.first), *d = pixel(v.second, u.second);
        float* to = out + (index_t(channel * s.out_height + y) * s.out_width + x) * s.images + image;
        for (int n = 0; n < count; n += L)
            with_lanes<V>(count - n, [&](auto lanes) {
                auto between = [&](const float* first, const float* second) {
                    const V p = load<V>(first + n, lanes), q = load<V>(second + n, lanes);
                    return V(p + u.share * (q - p));
                };
                const V above = between(a, b), below = between(c, d);
                store(to + n, V(above + v.share * (below - above)), lanes);
            });
    });
}

void resize(float* out, const float* inp, ResizeSizes s, double scale, Stream stream) {
    const index_t half_scale = std::llround(scale * (kOne / 2));
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> outputs(s.channels, s.out_height, s.out_width, s.images);
        launch<resize_kernel<T>>(outputs.shape(), stream, out, inp, s, outputs, half_scale);
    });
}
