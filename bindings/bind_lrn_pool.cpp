#include "norm_argument.h"
#include "pool_argument.h"
#include "topics.h"

void bind_lrn_pool(py::module_& m) {
    m.def(
        "lrn_pool_forward",
        [](py::object out_, py::object inp_, int norm_size, double scale, double power, double min_div,
           int size, int stride, int start, py::tuple neuron_, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}), inp = activations(inp_, "inp", {4});
            check_same_dtype({&out, &inp});
            const PoolSizes sizes = pool_sizes_argument(out, inp, size, stride, start);
            check_no_overlap(out, {&inp});
            const Norm norm = norm_argument(norm_size, norm_size, scale, power, min_div,
                                            kLargestLrnSize, "norm_size");
            const Neuron neuron = fused_neuron_argument(neuron_);
            with_storage(out, [&](auto s) {
                using S = decltype(s);
                run({&out, &inp}, stream, [&](Stream on) {
                    lrn_pool_forward(out.as<S>(), inp.as<const S>(), sizes, norm, neuron, on);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("norm_size"), py::arg("scale"),
        py::arg("power"), py::arg("min_div"), py::arg("size"), py::arg("stride"), py::arg("start"),
        py::arg("neuron"), py::arg("stream"));

    m.def(
        "lrn_pool_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object out_, int norm_size,
           double scale, double power, double min_div, int size, int stride, int start,
           py::tuple neuron_, py::tuple below_, bool accumulate, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp", {4}),
                       dout = activations(dout_, "dout", {4}), inp = activations(inp_, "inp", {4}),
                       out = activations(out_, "out", {4});
            check_same_shape(dinp, inp);
            check_same_shape(dout, out);
            check_same_dtype({&dinp, &dout, &inp, &out});
            const PoolSizes sizes = pool_sizes_argument(out, inp, size, stride, start);
            check_no_overlap(dinp, {&dout, &inp, &out});
            const Norm norm = norm_argument(norm_size, norm_size, scale, power, min_div,
                                            kLargestLrnSize, "norm_size");
            const Neuron neuron = fused_neuron_argument(neuron_);
            check_setting(neuron.kind != NeuronKind::tanh,
                          "lrn_pool_backward handles the neurons ident and relu: run others as a pass "
                          "of their own");
            const bool relu_below = relu_below_argument(below_, accumulate);
            with_storage(dinp, [&](auto s) {
                using S = decltype(s);
                run({&dinp, &dout, &inp, &out}, stream, [&](Stream on) {
                    lrn_pool_backward(dinp.as<S>(), dout.as<const S>(), inp.as<const S>(),
                                      out.as<const S>(), sizes, norm, neuron, accumulate, relu_below,
                                      on);
                });
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("out"), py::kw_only(),
        py::arg("norm_size"), py::arg("scale"), py::arg("power"), py::arg("min_div"), py::arg("size"),
        py::arg("stride"), py::arg("start"), py::arg("neuron"), py::arg("below"), py::arg("accumulate"),
        py::arg("stream"));
}
