// Softmax over sets of classes, cuda-convnet's cost.msm.
//
// A set of `size` different classes is chosen with a probability proportional to the exp of the sum of
// its inp. probs[c] is the probability that c is in it; with labels, given that the label is.
//
// All in logarithms, and sums only, in double: nothing cancels. Summed over the sets of s classes among
// those from c on (the lattice) and those before c:
//   probs[c] = exp(inp[c]) * sum over s of before[s] * from[c + 1][size - 1 - s] / all[size]
//
// inp, probs (classes, images); lattice (classes, size, images); labels (images,) or null. Thread map:
// a thread owns a picture. The classes follow each other; cuda-convnet left this to the CPU.
#include "../core/launch.h"
#include "../core/tuning.h"
#include "ops.h"

__device__ __forceinline__ double log_add(double a, double b) {  // log(exp(a) + exp(b))
    const double larger = a > b ? a : b, smaller = a > b ? b : a;
    return smaller == -INFINITY ? larger : larger + log1p(exp(smaller - larger));
}

template <class T>
__global__ void multi_softmax_kernel(float* probs, float* lattice, const float* inp, const int* labels,
                                     int classes, int images, int size) {
    const int n = int(blockIdx.x) * int(blockDim.x) + int(threadIdx.x);
    if (n >= images) return;
    const int label = labels ? labels[n] : -1, wanted = labels ? size - 1 : size;
    double sets[kLargestSet + 1];  // [s]: log of the sum over sets of s classes of those passed so far
    auto start = [&] {
        for (int s = 0; s <= wanted; ++s) sets[s] = s ? -INFINITY : 0;
    };
    auto pass = [&](double x) {
        for (int s = wanted; s > 0; --s) sets[s] = log_add(sets[s], sets[s - 1] + x);
    };
    auto from_next = [&](int c, int s) -> float& {
        return lattice[(index_t(c) * size + s) * images + n];
    };
    start();
    for (int c = classes - 1; c >= 0; --c) {
        for (int s = 0; s < wanted; ++s) from_next(c, s) = float(sets[s]);
        if (c != label) pass(inp[index_t(c) * images + n]);
    }
    const double all = sets[wanted];
    start();
    for (int c = 0; c < classes; ++c) {
        const index_t at = index_t(c) * images + n;
        if (c == label) {
            probs[at] = 1.f;
            continue;
        }
        double others = -INFINITY;
        for (int s = 0; s < wanted; ++s)
            others = log_add(others, sets[s] + from_next(c, wanted - 1 - s));
        probs[at] = float(exp(others + inp[at] - all));
        pass(inp[at]);
    }
}

void multi_softmax(float* probs, float* lattice, const float* inp, const int* labels, int classes,
                   int images, int size, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const int threads = smaller(T::threads, 32);  // so that a GPU has some blocks
        launch<multi_softmax_kernel<T>>({dim3(ceil_div(images, threads)), dim3(threads)}, stream, probs,
                                        lattice, inp, labels, classes, images, size);
    });
}
