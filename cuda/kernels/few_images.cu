// Fully-connected layers on so few images that a weight is hardly used once it is read: a pass takes as
// long as reading all weights, or writing their gradient, which is done once and in their order.
//
//   inp (inputs, images), weights (inputs, filters), out (filters, images)
//
//   forward           out[f] = f([out[f] +] sum over k  weights[k][f] * inp[k] + bias[f])
//   backward_data     dinp[k] = [dinp[k] +] sum over f  weights[k][f] * dout[f]
//   backward_weights  dweights[k][f] = [dweights[k][f] +] sum over images  inp[k] * dout[f]
//
// Thread map: forward, a thread owns some lane groups of filters and a block a part of the inputs; the
// parts are added in a fixed order. Backward, a block owns an input's row of the weights, and the
// images' gradients lie filter by filter.
#include "few_images.h"

#include "../core/divisor.h"
#include "../core/launch.h"
#include "../core/reduce.h"
#include "../core/tuning.h"
#include "epilogue.h"

namespace {

constexpr int kMost = 8;      // images
constexpr int kTogether = 4;  // inputs of which a thread reads the weights at a time

// `part` inputs for each block in y. to (filters, images), a part after the other.
template <class T>
__global__ void few_images_forward_kernel(float* to, index_t part_stride, const float* inp,
                                          const float* weights, int inputs, int filters, int images,
                                          int part, Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, kGroups = T::filter_groups;
    const int first = (int(blockIdx.x) * T::threads + int(threadIdx.x)) * kGroups * L;
    const int groups = smaller(kGroups, ceil_div(filters - first, L));
    const int begin = int(blockIdx.y) * part, end = smaller(inputs, begin + part);
    V sums[kMost][kGroups];
    UNROLL_ON_GPU for (int n = 0; n < kMost; ++n) UNROLL_ON_GPU for (int g = 0; g < kGroups; ++g)
        sums[n][g] = splat<V>(0.f);
    for (int k = begin; k < end; k += kTogether) {
        const float* row = weights + index_t(k) * filters + first;
        const float* x = inp + index_t(k) * images;
        const int left = smaller(kTogether, end - k);
        for (int g = 0; g < groups; ++g) {
            if (g * L % 16 == 0)  // a line of what comes next
                UNROLL for (int i = 0; i < kTogether; ++i)
                    prefetch(row + index_t(kTogether + i) * filters + g * L);
            V w[kTogether];
            UNROLL for (int i = 0; i < kTogether; ++i) w[i] =
                load<V>(row + index_t(i) * filters + g * L, i < left ? filters - first - g * L : 0);
            UNROLL_ON_GPU for (int n = 0; n < kMost; ++n) {
                if (n >= images) break;
                UNROLL for (int i = 0; i < kTogether; ++i) if (i < left) sums[n][g] +=
                    w[i] * x[i * images + n];
            }
        }
    }
    to += blockIdx.y * part_stride;
    for (int g = 0; g < groups; ++g) {
        UNROLL_ON_GPU for (int n = 0; n < kMost; ++n) {
            if (n >= images) break;
            for (int i = 0; i < smaller(L, filters - first - g * L); ++i) {
                const int f = first + g * L + i;
                float* p = to + index_t(f) * images + n;
                *p = epilogue(lane(sums[n][g], i), p, 1, f);
            }
        }
    }
}

// out = epilogue(sum of the parts), added in their order. out (rows, columns), parts (part_count, rows,
// columns). Thread map: T::items lane groups of the rows, one row after the other.
template <class T>
__global__ void sum_parts_kernel(float* out, const float* parts, int part_count, index_t part_stride,
                                 int columns, int groups, Divisor groups_of_row, Epilogue epilogue) {
    using V = typename T::V;
    for (int i = 0; i < T::items; ++i) {
        const int group = (int(blockIdx.x) * T::items + i) * T::threads + int(threadIdx.x);
        if (group >= groups) return;
        const int row = groups_of_row.quotient(group);
        const int column = groups_of_row.remainder(group, row) * lane_count<V>,
                  count = columns - column;
        const index_t at = index_t(row) * columns + column;
        V sum = splat<V>(0.f);
        for (int p = 0; p < part_count; ++p) sum += load<V>(parts + p * part_stride + at, count);
        store(out + at, epilogue(sum, out + at, count, row), count);
    }
}

void sum_parts(float* out, const float* parts, int part_count, int rows, int columns,
               const Epilogue& epilogue, Stream stream) {
    tuned_for(columns, [&](auto tuning) {
        using T = decltype(tuning);
        const int groups_of_row = ceil_div(columns, lane_count<typename T::V>);
        const int groups = rows * groups_of_row;
        launch<sum_parts_kernel<T>>({ceil_div(groups, T::threads * T::items), T::threads}, stream, out,
                                    parts, part_count, index_t(rows) * columns, columns, groups,
                                    Divisor(groups_of_row), epilogue);
    });
}

// to (images, filters) = from (filters, images)
template <class T>
__global__ void filter_by_filter_kernel(float* to, const float* from, int filters, int images) {
    const int f = int(blockIdx.x) * T::threads + int(threadIdx.x);
    if (f >= filters) return;
    for (int n = 0; n < images; ++n) to[index_t(n) * filters + f] = from[index_t(f) * images + n];
}

// dout (images, filters)
template <class T>
__global__ void few_images_data_kernel(float* dinp, const float* dout, const float* weights,
                                       int filters, int images, Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    constexpr int kStep = T::threads * L,
                  kSums = 4;  // several, since an addition waits for the last one
    const float* row = weights + index_t(blockIdx.x) * filters;
    for (int n = 0; n < images; ++n) {
        const float* with = dout + index_t(n) * filters;
        V sums[kSums] = {};
        for (int f0 = int(threadIdx.x) * L; f0 < filters; f0 += kSums * kStep) {
            UNROLL for (int i = 0; i < kSums; ++i) {
                const int f = f0 + i * kStep, count = larger(0, filters - f);
                sums[i] += load<V>(row + f, count) * load<V>(with + f, count);
            }
        }
        const V all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        const float sum = sum_of_lanes(block_reduce<T::threads>(all, Sum{}));
        float* p = dinp + index_t(blockIdx.x) * images + n;
        if (threadIdx.x == 0) *p = epilogue(sum, p, 1, 0);
    }
}

// dout (images, filters)
template <class T>
__global__ void few_images_weights_kernel(float* dweights, const float* inp, const float* dout,
                                          int filters, int images, Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const float* x = inp + index_t(blockIdx.x) * images;
    float* row = dweights + index_t(blockIdx.x) * filters;
    for (int f = int(threadIdx.x) * L; f < filters; f += T::threads * L) {
        V sum = splat<V>(0.f);
        for (int n = 0; n < images; ++n)
            sum += x[n] * load<V>(dout + index_t(n) * filters + f, filters - f);
        store(row + f, epilogue(sum, row + f, filters - f, 0), filters - f);
    }
}

// Blocks for the filters, and the parts of the inputs that make them many.
template <class T>
struct Cut {
    int strips, part, parts;

    explicit Cut(const ConvSize& s) {
        strips = ceil_div(s.filters, T::threads * T::filter_groups * lane_count<typename T::V>);
        part =
            ceil_div(ceil_div(s.channels, larger(1, T::filter_blocks / strips)), kTogether) * kTogether;
        parts = ceil_div(s.channels, part);
    }
};

// dout with each image's gradients side by side: itself, or rearranged in the workspace.
template <class T>
const float* filter_by_filter(const float* dout, float* workspace, const ConvSize& s, Stream stream) {
    if (s.images == 1) return dout;
    launch<filter_by_filter_kernel<T>>({ceil_div(s.filters, T::threads), T::threads}, stream, workspace,
                                       dout, s.filters, s.images);
    return workspace;
}

}  // namespace

bool has_few_images(const ConvSize& s) {
    return s.images <= kMost && s.groups == 1 && s.taps() == 1 && s.padding == 0 && s.height == 1 &&
           s.width == 1;
}

index_t few_images_forward_workspace(const ConvSize& s) {
    index_t floats = 0;
    tuned([&](auto tuning) {
        const Cut<decltype(tuning)> cut(s);
        if (cut.parts > 1) floats = index_t(cut.parts) * s.filters * s.images;
    });
    return floats;
}

void few_images_forward(float* out, const float* inp, const float* weights, const float* bias,
                        float* workspace, const ConvSize& s, Neuron neuron, bool accumulate,
                        Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const Cut<T> cut(s);
        const LaunchShape shape = {dim3(unsigned(cut.strips), unsigned(cut.parts)), dim3(T::threads)};
        const bool is_cut = cut.parts > 1;
        const Epilogue epilogue = {accumulate, bias, neuron}, none = {false, nullptr, kIdent};
        launch<few_images_forward_kernel<T>>(shape, stream, is_cut ? workspace : out,
                                             index_t(s.filters) * s.images, inp, weights, s.channels,
                                             s.filters, s.images, cut.part, is_cut ? none : epilogue);
        if (is_cut) sum_parts(out, workspace, cut.parts, s.filters, s.images, epilogue, stream);
    });
}

index_t few_images_backward_workspace(const ConvSize& s) {
    return s.images == 1 ? 0 : index_t(s.filters) * s.images;
}

void few_images_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                              const ConvSize& s, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        dout = filter_by_filter<T>(dout, workspace, s, stream);
        launch_with_barriers<few_images_data_kernel<T>>(
            {dim3(unsigned(s.channels)), dim3(T::threads)}, stream, dinp, dout, weights, s.filters,
            s.images, Epilogue{accumulate, nullptr, kIdent});
    });
}

void few_images_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                                 const ConvSize& s, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        dout = filter_by_filter<T>(dout, workspace, s, stream);
        launch<few_images_weights_kernel<T>>({dim3(unsigned(s.channels)), dim3(T::threads)}, stream,
                                             dweights, inp, dout, s.filters, s.images,
                                             Epilogue{accumulate, nullptr, kIdent});
    });
}
