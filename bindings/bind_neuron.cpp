#include "arrays.h"
#include "topics.h"

void bind_neuron(py::module_& m) {
    m.def(
        "neuron_forward",
        [](py::object out_, py::object inp_, py::tuple neuron, uintptr_t stream) {
            const auto out = activations_output(out_, "out"), inp = activations(inp_, "inp");
            check_same_dtype({&out, &inp});
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            const Neuron f = neuron_argument(neuron);
            with_storage(out, [&](auto stored) {
                using S = decltype(stored);
                run({&out, &inp}, stream, [&](Stream s) {
                    neuron_forward(out.as<S>(), inp.as<const S>(), out.size(), f, s);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("neuron"), py::arg("stream"));

    m.def(
        "neuron_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object out_, py::tuple neuron,
           bool accumulate, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp"), dout = activations(dout_, "dout"),
                       inp = activations(inp_, "inp"), out = activations(out_, "out");
            check_same_dtype({&dinp, &dout, &inp, &out});
            check_same_shape(dinp, dout);
            check_same_shape(inp, dout);
            check_same_shape(out, dout);
            check_same_or_apart(dinp, dout);
            check_no_overlap(dinp, {&inp, &out});
            const Neuron f = neuron_argument(neuron);
            with_storage(dinp, [&](auto stored) {
                using S = decltype(stored);
                run({&dinp, &dout, &inp, &out}, stream, [&](Stream s) {
                    neuron_backward(dinp.as<S>(), dout.as<const S>(), inp.as<const S>(),
                                    out.as<const S>(), dout.size(), f, accumulate, s);
                });
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("out"), py::kw_only(),
        py::arg("neuron"), py::arg("accumulate"), py::arg("stream"));
}
