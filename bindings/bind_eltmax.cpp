#include "arrays.h"
#include "topics.h"

void bind_eltmax(py::module_& m) {
    m.def(
        "eltmax_forward",
        [](py::object out_, py::object inp_, uintptr_t stream) {
            const auto out = output(out_, "out"), inp = input(inp_, "inp");
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            run({&out, &inp}, stream,
                [&](Stream s) { eltmax_forward(out.f32(), inp.f32(), out.size(), s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("stream"));

    m.def(
        "eltmax_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object out_, bool accumulate,
           uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp"), dout = input(dout_, "dout"),
                       inp = input(inp_, "inp"), out = input(out_, "out");
            check_same_shape(dinp, dout);
            check_same_shape(inp, dout);
            check_same_shape(out, dout);
            check_no_overlap(dinp, {&dout, &inp, &out});
            run({&dinp, &dout, &inp, &out}, stream, [&](Stream s) {
                eltmax_backward(dinp.f32(), dout.f32(), inp.f32(), out.f32(), dout.size(), accumulate,
                                s);
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("out"), py::kw_only(),
        py::arg("accumulate"), py::arg("stream"));
}
