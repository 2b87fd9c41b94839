// Products whose depth is cut into parts ("split-K"): a kernel writes the sums of each part, and what
// follows adds them in a fixed order.
#pragma once

#include "../core/launch.h"
#include "../core/tuning.h"
#include "epilogue.h"

namespace {

// out = epilogue(sum of the parts): rows x columns elements, parts part_stride apart.
template <class T>
__global__ void sum_parts_kernel(float* out, const float* parts, int part_count, index_t part_stride,
                                 int columns, Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const int row = int(blockIdx.y);
    for (int i = 0; i < T::items; ++i) {
        const int column = ((int(blockIdx.x) * T::items + i) * T::threads + int(threadIdx.x)) * L;
        if (column >= columns) return;
        const index_t at = index_t(row) * columns + column;
        V sum = splat<V>(0.f);
        for (int p = 0; p < part_count; ++p)
            sum += load<V>(parts + p * part_stride + at, columns - column);
        store(out + at, epilogue(sum, out + at, columns - column, row), columns - column);
    }
}

// Runs a product of rows x columns: straight into `out`, or part by part into `workspace` and from
// there. `start(to, part_stride, epilogue)` launches it.
template <class T, class Start>
void run_in_parts(int parts, float* out, float* workspace, int rows, int columns,
                  const Epilogue& epilogue, Stream stream, const Start& start) {
    if (parts == 1) return start(out, index_t(0), epilogue);
    const index_t part_stride = index_t(rows) * columns;
    start(workspace, part_stride, Epilogue{false, nullptr, kIdent});
    constexpr int kPerBlock = T::threads * T::items * lane_count<typename T::V>;
    const dim3 grid(unsigned(ceil_div(columns, kPerBlock)), unsigned(rows));
    launch<sum_parts_kernel<T>>({grid, dim3(T::threads)}, stream, out, (const float*)workspace, parts,
                                part_stride, columns, epilogue);
}

}  // namespace
