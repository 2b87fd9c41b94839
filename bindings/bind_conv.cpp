// Convolution. Fully-connected layers come here too: as convolutions of a one-pixel picture.
#include "conv_argument.h"
#include "topics.h"

void bind_conv(py::module_& m) {
    using namespace pybind11::literals;
    using Object = const py::object&;

    m.def(
        "conv_forward",
        [](Object out_, Object inp_, Object weights_, Object bias_, int stride, int padding, int groups,
           const py::tuple& neuron, bool accumulate, const std::string& algorithm,
           const std::string& precision, const py::function& scratch, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4}),
                       weights = input(weights_, "weights", {4});
            const ConvSize size = conv_size(inp, weights, out,
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
            float* workspace = scratch_memory(scratch, conv_forward_workspace(size));
            run({&out, &inp, &weights}, stream, [&](Stream s) {
                conv_forward(out.f32(), inp.f32(), weights.f32(), bias, workspace, size, f, accumulate,
                             s);
            });
        },
        "out"_a, "inp"_a, "weights"_a, "bias"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "neuron"_a, "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_data",
        [](Object dinp_, Object dout_, Object weights_, int stride, int padding, int groups,
           bool accumulate, const std::string& algorithm, const std::string& precision,
           const py::function& scratch, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), dout = input(dout_, "dout", {4}),
                       weights = input(weights_, "weights", {4});
            const ConvSize size = conv_size(dinp, weights, dout,
                                            {stride, padding, groups, algorithm_argument(algorithm),
                                             precision_argument(precision)});
            check_no_overlap(dinp, {&dout, &weights});
            float* workspace = scratch_memory(scratch, conv_backward_data_workspace(size));
            run({&dinp, &dout, &weights}, stream, [&](Stream s) {
                conv_backward_data(dinp.f32(), dout.f32(), weights.f32(), workspace, size, accumulate,
                                   s);
            });
        },
        "dinp"_a, "dout"_a, "weights"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);

    m.def(
        "conv_backward_weights",
        [](Object dweights_, Object inp_, Object dout_, int stride, int padding, int groups,
           bool accumulate, const std::string& algorithm, const std::string& precision,
           const py::function& scratch, uintptr_t stream) {
            const auto dweights = output(dweights_, "dweights", {4}), inp = input(inp_, "inp", {4}),
                       dout = input(dout_, "dout", {4});
            const ConvSize size = conv_size(inp, dweights, dout,
                                            {stride, padding, groups, algorithm_argument(algorithm),
                                             precision_argument(precision)});
            check_no_overlap(dweights, {&inp, &dout});
            float* workspace = scratch_memory(scratch, conv_backward_weights_workspace(size));
            run({&dweights, &inp, &dout}, stream, [&](Stream s) {
                conv_backward_weights(dweights.f32(), inp.f32(), dout.f32(), workspace, size,
                                      accumulate, s);
            });
        },
        "dweights"_a, "inp"_a, "dout"_a, py::kw_only(), "stride"_a, "padding"_a, "groups"_a,
        "accumulate"_a, "algorithm"_a, "precision"_a, "scratch"_a, "stream"_a);
}
