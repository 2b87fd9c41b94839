#include "norm_argument.h"
#include "topics.h"

void bind_rnorm(py::module_& m) {
    m.def(
        "rnorm_forward",
        [](py::object out_, py::object denom_, py::object inp_, int size, double scale, double power,
           double min_div, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), denom = output(denom_, "denom", {4}),
                       inp = input(inp_, "inp", {4});
            check_same_shape(out, inp);
            check_same_shape(denom, inp);
            check_no_overlap(out, {&denom, &inp});
            check_no_overlap(denom, {&inp});
            const Norm norm =
                norm_argument(size, index_t(size) * size, scale, power, min_div, kLargestRnormSize);
            run({&out, &denom, &inp}, stream, [&](Stream s) {
                rnorm_forward(out.f32(), denom.f32(), inp.f32(), map_sizes(inp), norm, s);
            });
        },
        py::arg("out"), py::arg("denom"), py::arg("inp"), py::kw_only(), py::arg("size"),
        py::arg("scale"), py::arg("power"), py::arg("min_div"), py::arg("stream"));

    m.def(
        "rnorm_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object denom_, int size,
           double scale, double power, double min_div, bool accumulate, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), dout = input(dout_, "dout", {4}),
                       inp = input(inp_, "inp", {4}), denom = input(denom_, "denom", {4});
            check_same_shape(dinp, inp);
            check_same_shape(dout, inp);
            check_same_shape(denom, inp);
            check_no_overlap(dinp, {&dout, &inp, &denom});
            const Norm norm =
                norm_argument(size, index_t(size) * size, scale, power, min_div, kLargestRnormSize);
            run({&dinp, &dout, &inp, &denom}, stream, [&](Stream s) {
                rnorm_backward(dinp.f32(), dout.f32(), inp.f32(), denom.f32(), map_sizes(inp), norm,
                               accumulate, s);
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("denom"), py::kw_only(),
        py::arg("size"), py::arg("scale"), py::arg("power"), py::arg("min_div"), py::arg("accumulate"),
        py::arg("stream"));
}
