// Keeps the length of each filter between two limits (cuda-convnet's wball, wcNormMin, wcNormMax).
//
//   norm = sqrt(sum of (weights[:, f] - m)^2);  weights[:, f] *= clip(norm, least, most) / norm
//
// m is 0 or, if centred, the mean of weights[:, f]. weights (rows, filters), in place; most = 0 is no
// limit, and a filter of norm 0 stays as it is.
// Thread map: a block owns one lane group of filters; its threads share the rows.
#include "../core/launch.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "ops.h"

template <class T>
__global__ void limit_norms_kernel(float* weights, index_t rows, int filters, float least, float most,
                                   bool centred) {
    using V = typename T::V;
    const int f = int(blockIdx.x) * lane_count<V>;
    const V zero = splat<V>(0.f), one = splat<V>(1.f);
    V mean = zero, squares = zero;
    if (centred) {
        V sum = zero;
        for (index_t row = threadIdx.x; row < rows; row += T::threads)
            sum += load<V>(weights + row * filters + f, filters - f);
        mean = block_reduce<T::threads>(sum, Sum{}) / float(rows);
    }
    for (index_t row = threadIdx.x; row < rows; row += T::threads) {
        const V w = load<V>(weights + row * filters + f, filters - f) - mean;
        squares += w * w;
    }
    const V norm = sqrt_lanes(block_reduce<T::threads>(squares, Sum{}));
    V wanted = max_lanes(norm, splat<V>(least));
    if (most > 0.f) wanted = wanted > splat<V>(most) ? splat<V>(most) : wanted;
    const V scale = norm > zero ? wanted / norm : one;
    for (index_t row = threadIdx.x; row < rows; row += T::threads) {
        float* const at = weights + row * filters + f;
        store(at, load<V>(at, filters - f) * scale, filters - f);
    }
}

void limit_norms(float* weights, index_t rows, int filters, float least, float most, bool centred,
                 Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const dim3 blocks(ceil_div(filters, lane_count<typename T::V>));
        launch_with_barriers<limit_norms_kernel<T>>({blocks, T::threads}, stream, weights, rows,
                                                    filters, least, most, centred);
    });
}
