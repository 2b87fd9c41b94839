// The sizes that convolutions and locally connected layers share.
#pragma once

#include "arrays.h"

struct Geometry {
    int stride, padding, groups;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
    ConvPrecision precision = ConvPrecision::fp32;
};

// "auto", "direct" or "winograd", or ValueError.
ConvAlgorithm algorithm_argument(const std::string& name);

// "fp32", "tf32" or "bf16", or ValueError.
ConvPrecision precision_argument(const std::string& name);

// The sizes that the arrays of one call agree on, or ValueError. weights (channels / groups, filter
// height, filter width, filters), or a bank of these for each output position.
ConvSize conv_size(const ArrayArgument& inp, const ArrayArgument& weights, const ArrayArgument& out,
                   const Geometry& g);
