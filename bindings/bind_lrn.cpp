#include "norm_argument.h"
#include "topics.h"

void bind_lrn(py::module_& m) {
    m.def(
        "lrn_forward",
        [](py::object out_, py::object inp_, int size, double scale, double power, double min_div,
           bool blocked, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}), inp = activations(inp_, "inp", {4});
            check_same_dtype({&out, &inp});
            check_same_shape(out, inp);
            check_no_overlap(out, {&inp});
            const int largest = blocked ? 1 << 15 : kLargestLrnSize;
            const Norm norm = norm_argument(size, size, scale, power, min_div, largest);
            with_storage(out, [&](auto stored) {
                using S = decltype(stored);
                run({&out, &inp}, stream, [&](Stream s) {
                    lrn_forward(out.as<S>(), inp.as<const S>(), inp.dim(0), inp.size() / inp.dim(0),
                                norm, blocked, s);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("size"), py::arg("scale"),
        py::arg("power"), py::arg("min_div"), py::arg("blocked"), py::arg("stream"));

    m.def(
        "lrn_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, int size, double scale, double power,
           double min_div, bool blocked, bool accumulate, py::tuple below_, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp", {4}),
                       dout = activations(dout_, "dout", {4}), inp = activations(inp_, "inp", {4});
            check_same_dtype({&dinp, &dout, &inp});
            check_same_shape(dinp, inp);
            check_same_shape(dout, inp);
            check_no_overlap(dinp, {&dout, &inp});
            const int largest = blocked ? 1 << 15 : kLargestLrnSize;
            const Norm norm = norm_argument(size, size, scale, power, min_div, largest);
            const bool relu_below = relu_below_argument(below_, accumulate);
            with_storage(inp, [&](auto stored) {
                using S = decltype(stored);
                run({&dinp, &dout, &inp}, stream, [&](Stream s) {
                    lrn_backward(dinp.as<S>(), dout.as<const S>(), inp.as<const S>(), inp.dim(0),
                                 inp.size() / inp.dim(0), norm, blocked, accumulate, relu_below, s);
                });
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::kw_only(), py::arg("size"),
        py::arg("scale"), py::arg("power"), py::arg("min_div"), py::arg("blocked"),
        py::arg("accumulate"), py::arg("below"), py::arg("stream"));
}
