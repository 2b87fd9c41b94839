// Mirror images, left and right exchanged (`href` of the layer files).
//
//   out[c,y,x] = inp[c, y, width - 1 - x]
//
// inp, out (channels, height, width, images). It is its own inverse and transpose: the gradient of the
// input is the mirror image of the gradient of the output.
// Thread map: T::pixels pixels of out, T::run lane groups of images of each.
#include "../core/pixel_map.h"
#include "ops.h"

template <class T>
__global__ void mirror_kernel(float* __restrict__ out, const float* __restrict__ inp, MapSizes s,
                              PixelMap<T> pixels) {
    using V = typename T::V;
    pixels.for_each_chunk([&](int channel, int y, int x, int image, int count) {
        const index_t row = index_t(channel * s.height + y) * s.width;
        const float* from = inp + (row + s.width - 1 - x) * s.images + image;
        float* to = out + (row + x) * s.images + image;
        for (int n = 0; n < count; n += lane_count<V>)
            store(to + n, load<V>(from + n, count - n), count - n);
    });
}

void mirror(float* out, const float* inp, MapSizes s, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const PixelMap<T> pixels(s.channels, s.height, s.width, s.images);
        launch<mirror_kernel<T>>(pixels.shape(), stream, out, inp, s, pixels);
    });
}
