// Convolutions of bfloat16 arrays by conv_wgmma.cu: what algorithm="wgmma" calls.
#include "conv_argument.h"
#include "topics.h"

#include "../cuda/kernels/conv_wgmma.h"

namespace {

ConvSize suitable_size(const ArrayArgument& inp, const ArrayArgument& weights, const ArrayArgument& out,
                       int stride, int padding, int groups, ConvPass pass) {
    const ConvSize size = conv_size(
        inp, weights, out, {stride, padding, groups, ConvAlgorithm::automatic, ConvPrecision::bf16});
    check_setting(wgmma_suits(size, pass),
                  "algorithm='wgmma' needs images and filters of a group in eights, 16 channels of a "
                  "group or more, arrays that begin on 16 bytes, and for the gradient of the input "
                  "stride 1; got stride " +
                      std::to_string(stride) + ", groups " + std::to_string(groups) + ", " +
                      inp.describe() + " and " + weights.describe());
    return size;
}

ArrayArgument bf16_input(const py::object& object, const char* name) {
    return array_argument(object, name, "bfloat16", {4});
}

}  // namespace

void bind_conv_wgmma(py::module_& m) {
    using namespace pybind11::literals;
    using Object = const py::object&;

    m.def("has_wgmma", &has_wgmma, "Whether the current device has code for algorithm='wgmma'.");
    m.def(
        "conv_wgmma_forward",
        [](Object out_, Object inp_, Object weights_, Object bias_, int stride, int padding, int groups,
           const py::tuple& neuron, bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}), inp = bf16_input(inp_, "inp"),
                       weights = bf16_input(weights_, "weights");
            const ConvSize size =
                suitable_size(inp, weights, out, stride, padding, groups, ConvPass::forward);
            check_no_overlap(out, {&inp, &weights});
            const float* bias = nullptr;
            if (!bias_.is_none()) {
                const auto given = input(bias_, "bias", {1});
                check_shape(given, {size.filters}, "one bias per filter");
                check_no_overlap(out, {&given});
                bias = given.f32();
            }
            const Neuron f = fused_neuron_argument(neuron);
            float* workspace = scratch_memory(scratch, conv_wgmma_forward_workspace(size));
            with_storage(out, [&](auto o) {
                run({&out, &inp, &weights}, stream, [&](Stream s) {
                    conv_wgmma_forward(out.as<decltype(o)>(), inp.as<const bf16>(),
                                       weights.as<const bf16>(), bias, workspace, size, f, accumulate,
                                       s);
                });
            });
        },
        "out"_a, "inp"_a, "weights"_a, "bias"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "neuron"_a, "accumulate"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_wgmma_backward_data",
        [](Object dinp_, Object dout_, Object weights_, int stride, int padding, int groups,
           bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp", {4}), dout = bf16_input(dout_, "dout"),
                       weights = bf16_input(weights_, "weights");
            const ConvSize size =
                suitable_size(dinp, weights, dout, stride, padding, groups, ConvPass::data);
            check_no_overlap(dinp, {&dout, &weights});
            float* workspace = scratch_memory(scratch, conv_wgmma_backward_data_workspace(size));
            with_storage(dinp, [&](auto d) {
                run({&dinp, &dout, &weights}, stream, [&](Stream s) {
                    conv_wgmma_backward_data(dinp.as<decltype(d)>(), dout.as<const bf16>(),
                                             weights.as<const bf16>(), workspace, size, accumulate, s);
                });
            });
        },
        "dinp"_a, "dout"_a, "weights"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_wgmma_backward_weights",
        [](Object dweights_, Object inp_, Object dout_, int stride, int padding, int groups,
           bool accumulate, const py::function& scratch, uintptr_t stream) {
            const auto dweights = output(dweights_, "dweights", {4}), inp = bf16_input(inp_, "inp"),
                       dout = bf16_input(dout_, "dout");
            const ConvSize size =
                suitable_size(inp, dweights, dout, stride, padding, groups, ConvPass::weights);
            check_no_overlap(dweights, {&inp, &dout});
            float* workspace = scratch_memory(scratch, conv_wgmma_backward_weights_workspace(size));
            run({&dweights, &inp, &dout}, stream, [&](Stream s) {
                conv_wgmma_backward_weights(dweights.f32(), inp.as<const bf16>(), dout.as<const bf16>(),
                                            workspace, size, accumulate, s);
            });
        },
        "dweights"_a, "inp"_a, "dout"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "scratch"_a, "stream"_a);
}
