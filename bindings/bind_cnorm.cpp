#include "norm_argument.h"
#include "topics.h"

void bind_cnorm(py::module_& m) {
    m.def(
        "cnorm_forward",
        [](py::object out_, py::object denom_, py::object inp_, py::object differences_, int size,
           double scale, double power, double min_div, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), denom = output(denom_, "denom", {4}),
                       inp = input(inp_, "inp", {4}),
                       differences = input(differences_, "differences", {4});
            for (const auto* other : {&out, &denom, &differences}) check_same_shape(*other, inp);
            check_no_overlap(out, {&denom, &inp, &differences});
            check_no_overlap(denom, {&inp, &differences});
            const Norm norm =
                norm_argument(size, index_t(size) * size, scale, power, min_div, kLargestRnormSize);
            run({&out, &denom, &inp, &differences}, stream, [&](Stream s) {
                cnorm_forward(out.f32(), denom.f32(), inp.f32(), differences.f32(), map_sizes(inp),
                              norm, s);
            });
        },
        py::arg("out"), py::arg("denom"), py::arg("inp"), py::arg("differences"), py::kw_only(),
        py::arg("size"), py::arg("scale"), py::arg("power"), py::arg("min_div"), py::arg("stream"));

    m.def(
        "cnorm_backward",
        [](py::object dinp_, py::object ddifferences_, py::object dout_, py::object inp_,
           py::object differences_, py::object denom_, int size, double scale, double power,
           double min_div, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}),
                       ddifferences = output(ddifferences_, "ddifferences", {4}),
                       dout = input(dout_, "dout", {4}), inp = input(inp_, "inp", {4}),
                       differences = input(differences_, "differences", {4}),
                       denom = input(denom_, "denom", {4});
            for (const auto* other : {&dinp, &ddifferences, &dout, &differences, &denom})
                check_same_shape(*other, inp);
            check_no_overlap(dinp, {&ddifferences, &dout, &inp, &differences, &denom});
            check_no_overlap(ddifferences, {&dout, &inp, &differences, &denom});
            const Norm norm =
                norm_argument(size, index_t(size) * size, scale, power, min_div, kLargestRnormSize);
            run({&dinp, &ddifferences, &dout, &inp, &differences, &denom}, stream, [&](Stream s) {
                cnorm_backward(dinp.f32(), ddifferences.f32(), dout.f32(), inp.f32(), differences.f32(),
                               denom.f32(), map_sizes(inp), norm, s);
            });
        },
        py::arg("dinp"), py::arg("ddifferences"), py::arg("dout"), py::arg("inp"),
        py::arg("differences"), py::arg("denom"), py::kw_only(), py::arg("size"), py::arg("scale"),
        py::arg("power"), py::arg("min_div"), py::arg("stream"));
}
