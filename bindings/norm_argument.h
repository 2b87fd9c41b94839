// The settings that lrn and rnorm share.
#pragma once

#include <cmath>

#include "arrays.h"

// `squares` is the number of pixels or channels in a full window, which divides the scale.
inline Norm norm_argument(int size, index_t squares, double scale, double power, double min_div,
                          int largest, const std::string& size_name = "size") {
    check_setting(size >= 1 && size <= largest, size_name + " must be between 1 and " +
                                                    std::to_string(largest) + ", got " +
                                                    std::to_string(size));
    check_setting(std::isfinite(scale) && scale >= 0,
                  "scale must be 0 or positive, got " + std::to_string(scale));
    check_setting(std::isfinite(power), "power must be finite, got " + std::to_string(power));
    check_setting(std::isfinite(min_div) && min_div > 0,
                  "min_div must be positive, got " + std::to_string(min_div) +
                      ": pixels that are all zero would be divided by it");
    return {size, float(scale / double(squares)), float(power), float(min_div)};
}
