// Convolution. Fully-connected layers come here too: as convolutions of a one-pixel picture.
#include "../cuda/kernels/conv_wgmma.h"
#include "conv_argument.h"
#include "topics.h"

namespace {

// As conv_size, where the algorithm can do this pass.
ConvSize size_of_pass(ConvPass pass, const ArrayArgument& inp, const ArrayArgument& weights,
                      const ArrayArgument& out, const Geometry& g) {
    const ConvSize size = conv_size(inp, weights, out, g);
    check_setting(g.algorithm != ConvAlgorithm::wgmma || wgmma_suits(size, pass),
                  "algorithm='wgmma' needs images and filters of a group in eights, 16 channels of a "
                  "group or more, arrays that begin on 16 bytes, and for the gradient of the input "
                  "stride 1; got stride " +
                      std::to_string(g.stride) + ", groups " + std::to_string(g.groups) + ", " +
                      inp.describe() + " and " + weights.describe());
    return size;
}

}  // namespace

void bind_conv(py::module_& m) {
    using namespace pybind11::literals;
    using Object = const py::object&;

    m.def("has_wgmma", &has_wgmma, "Whether the current device has code for algorithm='wgmma'.");

    m.def(
        "conv_forward",
        [](Object out_, Object inp_, Object weights_, Object bias_, int stride, int padding, int groups,
           const py::tuple& neuron, bool accumulate, const std::string& algorithm,
           const std::string& precision, const py::function& scratch, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}), inp = activations(inp_, "inp", {4}),
                       weights = activations(weights_, "weights", {4});
            check_operands(inp, weights, out, algorithm, precision);
            const ConvSize size = size_of_pass(ConvPass::forward, inp, weights, out,
                                               {stride, padding, groups, algorithm_argument(algorithm),
                                                precision_argument(precision)});
            check_no_overlap(out, {&inp, &weights});
            const float* bias = nullptr;
            if (!bias_.is_none()) {
                const auto given = input(bias_, "bias", {1});
                check_shape(given, {size.filters}, "one bias per filter");
                check_no_overlap(out, {&given});
                bias = given.f32();
            }
            const Neuron f = fused_neuron_argument(neuron);
            with_elements(inp, out, [&](auto e, auto s) {
                using E = decltype(e);
                float* workspace = scratch_memory(scratch, conv_forward_workspace<E>(size));
                run({&out, &inp, &weights}, stream, [&](Stream on) {
                    conv_forward(out.as<decltype(s)>(), inp.as<const E>(), weights.as<const E>(), bias,
                                 workspace, size, f, accumulate, on);
                });
            });
        },
        "out"_a, "inp"_a, "weights"_a, "bias"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "neuron"_a, "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_data",
        [](Object dinp_, Object dout_, Object weights_, int stride, int padding, int groups,
           bool accumulate, const std::string& algorithm, const std::string& precision,
           const py::function& scratch, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp", {4}),
                       dout = activations(dout_, "dout", {4}),
                       weights = activations(weights_, "weights", {4});
            check_operands(dout, weights, dinp, algorithm, precision);
            const ConvSize size = size_of_pass(ConvPass::data, dinp, weights, dout,
                                               {stride, padding, groups, algorithm_argument(algorithm),
                                                precision_argument(precision)});
            check_no_overlap(dinp, {&dout, &weights});
            with_elements(dout, dinp, [&](auto e, auto s) {
                using E = decltype(e);
                float* workspace = scratch_memory(scratch, conv_backward_data_workspace<E>(size));
                run({&dinp, &dout, &weights}, stream, [&](Stream on) {
                    conv_backward_data(dinp.as<decltype(s)>(), dout.as<const E>(),
                                       weights.as<const E>(), workspace, size, accumulate, on);
                });
            });
        },
        "dinp"_a, "dout"_a, "weights"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_weights",
        [](Object dweights_, Object inp_, Object dout_, int stride, int padding, int groups,
           bool accumulate, const std::string& algorithm, const std::string& precision,
           const py::function& scratch, uintptr_t stream) {
            const auto dweights = output(dweights_, "dweights", {4}),
                       inp = activations(inp_, "inp", {4}), dout = activations(dout_, "dout", {4});
            check_operands(inp, dout, dweights, algorithm, precision);
            const ConvSize size = size_of_pass(ConvPass::weights, inp, dweights, dout,
                                               {stride, padding, groups, algorithm_argument(algorithm),
                                                precision_argument(precision)});
            check_no_overlap(dweights, {&inp, &dout});
            with_storage(inp, [&](auto e) {
                using E = decltype(e);
                float* workspace = scratch_memory(scratch, conv_backward_weights_workspace<E>(size));
                run({&dweights, &inp, &dout}, stream, [&](Stream on) {
                    conv_backward_weights(dweights.f32(), inp.as<const E>(), dout.as<const E>(),
                                          workspace, size, accumulate, on);
                });
            });
        },
        "dweights"_a, "inp"_a, "dout"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);
}
