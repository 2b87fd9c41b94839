// The sizes that convolutions and locally connected layers share.
#pragma once

#include "arrays.h"

struct Geometry {
    int stride, padding, groups;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
    ConvPrecision precision = ConvPrecision::fp32;
};

// "auto", "direct", "winograd" or "wgmma", or ValueError.
ConvAlgorithm algorithm_argument(const std::string& name);

// "fp32", "tf32" or "bf16", or ValueError.
ConvPrecision precision_argument(const std::string& name);

// That a product of `a` and `b` can be stored in `out`, and that these settings suit bfloat16 arrays if
// they are some: else TypeError for a dtype, ValueError for a setting.
void check_operands(const ArrayArgument& a, const ArrayArgument& b, const ArrayArgument& out,
                    const std::string& algorithm, const std::string& precision);

// Calls use(E(), S()), what the elements of operands and result are: float both, or E bf16.
template <class Use>
void with_elements(const ArrayArgument& operand, const ArrayArgument& out, const Use& use) {
    if (operand.dtype == "bfloat16")
        with_storage(out, [&](auto s) { use(bf16(), s); });
    else
        use(float(), float());
}

// The sizes that the arrays of one call agree on, or ValueError. weights (channels / groups, filter
// height, filter width, filters), or a bank of these for each output position.
ConvSize conv_size(const ArrayArgument& inp, const ArrayArgument& weights, const ArrayArgument& out,
                   const Geometry& g);
