#include "arrays.h"
#include "topics.h"

void bind_bias(py::module_& m) {
    m.def(
        "bias_backward",
        [](py::object dbias_, py::object dz_, py::object dout_, py::object out_, py::tuple neuron_,
           py::function scratch, uintptr_t stream) {
            const auto dbias = output(dbias_, "dbias", {1}), dz = output(dz_, "dz"),
                       dout = input(dout_, "dout"), out = input(out_, "out");
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
            run({&dbias, &dz, &dout, &out}, stream, [&](Stream s) {
                bias_backward(dbias.f32(), dz.f32(), dout.f32(), out.f32(), workspace, dout.dim(0),
                              inner, neuron, s);
            });
        },
        py::arg("dbias"), py::arg("dz"), py::arg("dout"), py::arg("out"), py::kw_only(),
        py::arg("neuron"), py::arg("scratch"), py::arg("stream"));
}
