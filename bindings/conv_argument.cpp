#include "conv_argument.h"

ConvAlgorithm algorithm_argument(const std::string& name) {
    if (name == "auto") return ConvAlgorithm::automatic;
    if (name == "direct") return ConvAlgorithm::direct;
    if (name == "winograd") return ConvAlgorithm::winograd;
    check_setting(name == "wgmma",
                  "algorithm must be 'auto', 'direct', 'winograd' or 'wgmma', got '" + name + "'");
    return ConvAlgorithm::wgmma;
}

ConvPrecision precision_argument(const std::string& name) {
    if (name == "fp32") return ConvPrecision::fp32;
    if (name == "tf32") return ConvPrecision::tf32;
    check_setting(name == "bf16", "precision must be 'fp32', 'tf32' or 'bf16', got '" + name + "'");
    return ConvPrecision::bf16;
}

void check_operands(const ArrayArgument& a, const ArrayArgument& b, const ArrayArgument& out,
                    const std::string& algorithm, const std::string& precision) {
    check_same_dtype({&a, &b});
    if (a.dtype == "bfloat16") {
        check_setting(precision == "bf16",
                      "bfloat16 arrays are multiplied with precision='bf16', got '" + precision +
                          "' for " + a.describe());
        check_setting(algorithm != "winograd",
                      "algorithm='winograd' multiplies float32 arrays only, got " + a.describe());
    } else if (algorithm == "wgmma") {
        throw py::type_error("algorithm='wgmma' multiplies bfloat16 arrays only, got " + a.describe());
    } else if (out.dtype != a.dtype) {
        throw py::type_error(out.describe() + " must be float32, as " + a.describe() + " is");
    }
}

ConvSize conv_size(const ArrayArgument& inp, const ArrayArgument& weights, const ArrayArgument& out,
                   const Geometry& g) {
    constexpr int kLargestStride = 1 << 15;
    check_setting(g.stride >= 1, "stride must be at least 1, got " + std::to_string(g.stride));
    check_setting(g.stride <= kLargestStride,
                  "stride must be at most 32768, got " + std::to_string(g.stride));
    check_setting(g.groups >= 1, "groups must be at least 1, got " + std::to_string(g.groups));
    const size_t bank = weights.shape.size() - 4;  // 1 where each position has its own
    const ConvSize s = {inp.dim(3),
                        inp.dim(0),
                        inp.dim(1),
                        inp.dim(2),
                        weights.dim(bank + 3),
                        out.dim(1),
                        out.dim(2),
                        weights.dim(bank + 1),
                        weights.dim(bank + 2),
                        g.stride,
                        g.padding,
                        g.groups,
                        g.algorithm,
                        g.precision,
                        inp.is_aligned() && weights.is_aligned() && out.is_aligned()};
    check_setting(g.padding >= 0 && g.padding < s.filter_height && g.padding < s.filter_width,
                  "padding must be at least 0 and smaller than the filter, got " +
                      std::to_string(g.padding) + " for " + weights.describe());
    check_setting(s.channels % g.groups == 0 && s.filters % g.groups == 0,
                  "groups=" + std::to_string(g.groups) + " must divide the channels of " +
                      inp.describe() + " and the filters of " + weights.describe());
    if (bank)
        check_shape(weights,
                    {index_t(s.out_height) * s.out_width, s.group_channels(), s.filter_height,
                     s.filter_width, s.filters},
                    "(positions of out, channels / groups, filter height, filter width, filters)");
    else
        check_shape(weights, {s.group_channels(), s.filter_height, s.filter_width, s.filters},
                    "(channels / groups, filter height, filter width, filters)");
    auto pixels = [&](index_t size, index_t filter) {
        return 1 +
               ceil_div(larger(index_t(0), 2 * index_t(g.padding) + size - filter), index_t(g.stride));
    };
    check_shape(
        out, {s.filters, pixels(s.height, s.filter_height), pixels(s.width, s.filter_width), s.images},
        "(filters, height, width, images) with 1 + ceil((2 * padding + size - filter) / stride) "
        "pixels");
    check_setting(g.algorithm != ConvAlgorithm::winograd || s.suits_winograd(),
                  "algorithm='winograd' needs stride 1 and filters of 3 x 3 or 5 x 5, got stride " +
                      std::to_string(g.stride) + " and " + weights.describe());
    check_setting(g.algorithm != ConvAlgorithm::winograd || g.precision == ConvPrecision::fp32,
                  "algorithm='winograd' multiplies in fp32 only: give precision='fp32', or leave out "
                  "the algorithm");
    // Kernels count a product's rows and columns in ints, rounded up to whole lane groups.
    auto countable = [](index_t pixels, index_t each) {
        constexpr index_t kMostLanes = 16;
        return pixels * ceil_div(each, kMostLanes) * kMostLanes < index_t(1) << 31;
    };
    check_setting(
        countable(larger(index_t(s.height) * s.width, index_t(s.out_height) * s.out_width), s.images) &&
            countable(index_t(s.filter_height) * s.filter_width, larger(s.channels, s.filters)),
        out.describe() + ": pictures or filters are too large");
    return s;
}
