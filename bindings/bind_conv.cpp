// Convolution. Fully-connected layers come here too: as convolutions of a one-pixel picture.
#include <optional>

#include "arrays.h"
#include "topics.h"

namespace {

struct Geometry {
    int stride, padding, groups;
};

// The sizes that the arrays of one call agree on, or ValueError.
ConvSize conv_size(const ArrayArgument& inp, const ArrayArgument& weights, const ArrayArgument& out,
                   const Geometry& g) {
    constexpr int kLargestStride = 1 << 15;
    check_setting(g.stride >= 1, "stride must be at least 1, got " + std::to_string(g.stride));
    check_setting(g.stride <= kLargestStride,
                  "stride must be at most 32768, got " + std::to_string(g.stride));
    check_setting(g.groups >= 1, "groups must be at least 1, got " + std::to_string(g.groups));
    const ConvSize s = {inp.dim(3),     inp.dim(0), inp.dim(1), inp.dim(2),
                        weights.dim(3), out.dim(1), out.dim(2), weights.dim(1),
                        weights.dim(2), g.stride,   g.padding,  g.groups};
    check_setting(g.padding >= 0 && g.padding < s.filter_height && g.padding < s.filter_width,
                  "padding must be at least 0 and smaller than the filter, got " +
                      std::to_string(g.padding) + " for " + weights.describe());
    check_setting(s.channels % g.groups == 0 && s.filters % g.groups == 0,
                  "groups=" + std::to_string(g.groups) + " must divide the channels of " +
                      inp.describe() + " and the filters of " + weights.describe());
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

}  // namespace

void bind_conv(py::module_& m) {
    using namespace pybind11::literals;
    using Object = const py::object&;

    m.def(
        "conv_forward",
        [](Object out_, Object inp_, Object weights_, Object bias_, int stride, int padding, int groups,
           const py::tuple& neuron, bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4}),
                       weights = input(weights_, "weights", {4});
            const ConvSize size = conv_size(inp, weights, out, {stride, padding, groups});
            check_no_overlap(out, {&inp, &weights});
            const float* bias = nullptr;
            if (!bias_.is_none()) {
                const auto given = input(bias_, "bias", {1});
                check_shape(given, {size.filters}, "one bias per filter");
                check_no_overlap(out, {&given});
                bias = given.f32();
            }
            const Neuron f = fused_neuron_argument(neuron);
            float* workspace = scratch_memory(scratch, conv_forward_workspace(size));
            run({&out, &inp, &weights}, stream, [&](Stream s) {
                conv_forward(out.f32(), inp.f32(), weights.f32(), bias, workspace, size, f, accumulate,
                             s);
            });
        },
        "out"_a, "inp"_a, "weights"_a, "bias"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "neuron"_a, "accumulate"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_data",
        [](Object dinp_, Object dout_, Object weights_, int stride, int padding, int groups,
           bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), dout = input(dout_, "dout", {4}),
                       weights = input(weights_, "weights", {4});
            const ConvSize size = conv_size(dinp, weights, dout, {stride, padding, groups});
            check_no_overlap(dinp, {&dout, &weights});
            float* workspace = scratch_memory(scratch, conv_backward_data_workspace(size));
            run({&dinp, &dout, &weights}, stream, [&](Stream s) {
                conv_backward_data(dinp.f32(), dout.f32(), weights.f32(), workspace, size, accumulate,
                                   s);
            });
        },
        "dinp"_a, "dout"_a, "weights"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_weights",
        [](Object dweights_, Object inp_, Object dout_, int stride, int padding, int groups,
           bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto dweights = output(dweights_, "dweights", {4}), inp = input(inp_, "inp", {4}),
                       dout = input(dout_, "dout", {4});
            const ConvSize size = conv_size(inp, dweights, dout, {stride, padding, groups});
            check_no_overlap(dweights, {&inp, &dout});
            float* workspace = scratch_memory(scratch, conv_backward_weights_workspace(size));
            run({&dweights, &inp, &dout}, stream, [&](Stream s) {
                conv_backward_weights(dweights.f32(), inp.f32(), dout.f32(), workspace, size,
                                      accumulate, s);
            });
        },
        "dweights"_a, "inp"_a, "dout"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "scratch"_a, "stream"_a);
}
