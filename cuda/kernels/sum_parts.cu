// The sums of a product's parts (sum_parts.h).
//
// Thread map: T::items lane groups of the rows, one row after the other.
#include "sum_parts.h"

#include "../core/divisor.h"
#include "../core/launch.h"
#include "../core/tuning.h"

template <class T, class Out>
__global__ void sum_parts_kernel(Out* out, const float* parts, int part_count, index_t part_stride,
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

template <class Out>
void sum_parts(Out* out, const float* parts, int part_count, int rows, int columns,
               const Epilogue& epilogue, Stream stream) {
    tuned_for(columns, [&](auto tuning) {
        using T = decltype(tuning);
        const int groups_of_row = ceil_div(columns, lane_count<typename T::V>);
        const int groups = rows * groups_of_row;
        launch<sum_parts_kernel<T, Out>>({ceil_div(groups, T::threads * T::items), T::threads}, stream,
                                         out, parts, part_count, index_t(rows) * columns, columns,
                                         groups, Divisor(groups_of_row), epilogue);
    });
}

template void sum_parts(float*, const float*, int, int, int, const Epilogue&, Stream);
template void sum_parts(bf16*, const float*, int, int, int, const Epilogue&, Stream);
