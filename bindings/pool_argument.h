// The windows that pool and random_pool share.
#pragma once

#include "arrays.h"

// `out` and `inp` are what is pooled to and from, or their gradients. Any number of outputs will do
// whose windows all hold a pixel.
inline PoolSizes pool_sizes_argument(const ArrayArgument& out, const ArrayArgument& inp, int size,
                                     int stride, int start, int largest = 1 << 15) {
    check_setting(out.shape[0] == inp.shape[0] && out.shape[3] == inp.shape[3],
                  out.describe() + " and " + inp.describe() +
                      " must have the same channels (axis 0) and images (axis 3)");
    check_setting(
        size >= 1 && size <= largest,
        "size must be between 1 and " + std::to_string(largest) + ", got " + std::to_string(size));
    check_setting(stride >= 1 && stride <= 1 << 15,
                  "stride must be between 1 and 32768, got " + std::to_string(stride));
    for (int axis : {1, 2}) {
        const index_t last = start + index_t(out.dim(axis) - 1) * stride;
        const std::string axis_name = axis == 1 ? "rows" : "columns";
        check_setting(start > -size, "start " + std::to_string(start) + ", size " +
                                         std::to_string(size) +
                                         ": the first window lies outside the image");
        check_setting(last < inp.shape[axis],
                      out.describe() + ": the last of " + std::to_string(out.dim(axis)) +
                          " windows would begin at " + std::to_string(last) + ", outside the " +
                          std::to_string(inp.dim(axis)) + " " + axis_name + " of " + inp.name);
    }
    return {inp.dim(0), inp.dim(1), inp.dim(2), inp.dim(3), out.dim(1),
            out.dim(2), size,       stride,     start};
}
