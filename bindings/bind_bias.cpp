#include "arrays.h"
#include "topics.h"

void bind_bias(py::module_& m) {
    m.def(
        "bias_forward",
        [](py::object out_, py::object bias_, py::tuple neuron_, uintptr_t stream) {
            const auto out = activations_output(out_, "out"), bias = input(bias_, "bias");
            check_setting(out.shape.size() >= 2, "out must have at least two dimensions");
            check_shape(bias, {out.shape.begin(), out.shape.end() - 1}, "one bias per row of out");
            check_no_overlap(out, {&bias});
            const Neuron neuron = fused_neuron_argument(neuron_);
            const auto inner = int(out.shape.back());
            with_storage(out, [&](auto stored) {
                run({&out, &bias}, stream, [&](Stream s) {
                    bias_forward(out.as<decltype(stored)>(), bias.f32(), int(bias.size()), inner,
                                 neuron, s);
                });
            });
        },
        py::arg("out"), py::arg("bias"), py::kw_only(), py::arg("neuron"), py::arg("stream"));

    m.def(
        "bias_backward",
        [](py::object dbias_, py::object dz_, py::object dout_, py::object out_, py::tuple neuron_,
           bool accumulate, py::function scratch, uintptr_t stream) {
            const auto dbias = output(dbias_, "dbias", {1}), dz = activations_output(dz_, "dz"),
                       dout = activations(dout_, "dout"), out = activations(out_, "out");
            check_same_dtype({&out, &dout});
            check_same_shape(dz, dout);
            check_same_shape(out, dout);
            check_setting(!dout.shape.empty(), "dout must have at least one dimension");
            check_shape(dbias, {dout.shape[0]}, "one bias for each channel of dout");
            check_same_or_apart(dz, dout);
            check_no_overlap(dbias, {&dz, &dout, &out});
            const Neuron neuron = fused_neuron_argument(neuron_);
            if (neuron.kind != NeuronKind::ident) check_no_overlap(dz, {&out});
            const index_t inner = dout.size() / dout.dim(0);
            float* workspace = scratch_memory(scratch, bias_backward_workspace(dout.dim(0), inner));
            with_storage(dz, [&](auto z) {
                with_storage(out, [&](auto stored) {
                    using Z = decltype(z);
                    using S = decltype(stored);
                    run({&dbias, &dz, &dout, &out}, stream, [&](Stream s) {
                        bias_backward(dbias.f32(), dz.as<Z>(), dout.as<const S>(), out.as<const S>(),
                                      workspace, dout.dim(0), inner, neuron, accumulate, s);
                    });
                });
            });
        },
        py::arg("dbias"), py::arg("dz"), py::arg("dout"), py::arg("out"), py::kw_only(),
        py::arg("neuron"), py::arg("accumulate"), py::arg("scratch"), py::arg("stream"));
}
