#include "arrays.h"
#include "topics.h"

void bind_softmax(py::module_& m) {
    m.def(
        "softmax_forward",
        [](py::object out_, py::object inp_, uintptr_t stream) {
            const auto out = output(out_, "out", {2}), inp = input(inp_, "inp", {2});
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            run({&out, &inp}, stream,
                [&](Stream s) { softmax_forward(out.f32(), inp.f32(), out.dim(0), out.dim(1), s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("stream"));

    m.def(
        "softmax_backward",
        [](py::object dinp_, py::object dout_, py::object out_, bool accumulate, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {2}), dout = input(dout_, "dout", {2}),
                       out = input(out_, "out", {2});
            check_same_shape(dinp, dout);
            check_same_shape(out, dout);
            check_no_overlap(dinp, {&dout, &out});
            run({&dinp, &dout, &out}, stream, [&](Stream s) {
                softmax_backward(dinp.f32(), dout.f32(), out.f32(), out.dim(0), out.dim(1), accumulate,
                                 s);
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("out"), py::kw_only(), py::arg("accumulate"),
        py::arg("stream"));
}
