// Labels as targets: out[c, n] = 1 where c is the label of picture n, else 0.
//
// out (classes, images), labels (images,). Thread map: a block owns one class; its threads share the
// pictures.
#include "../core/launch.h"
#include "../core/tuning.h"
#include "ops.h"

template <class T>
__global__ void one_hot_kernel(float* out, const int* labels, int images) {
    for (int n = int(threadIdx.x); n < images; n += T::threads)
        out[index_t(blockIdx.x) * images + n] = labels[n] == int(blockIdx.x) ? 1.f : 0.f;
}

void one_hot(float* out, const int* labels, int classes, int images, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<one_hot_kernel<T>>({dim3(classes), T::threads}, stream, out, labels, images);
    });
}
