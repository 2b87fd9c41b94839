#include "arrays.h"
#include "topics.h"

namespace {

void check_size(int size) {
    check_setting(size >= 1 && size <= kLargestRnormSize, "size must be between 1 and " +
                                                              std::to_string(kLargestRnormSize) +
                                                              ", got " + std::to_string(size));
}

}  // namespace

void bind_tica(py::module_& m) {
    m.def(
        "tica_forward",
        [](py::object loss_, py::object norms_, py::object inp_, int size, uintptr_t stream) {
            const auto loss = output(loss_, "loss", {1}), norms = output(norms_, "norms", {4}),
                       inp = input(inp_, "inp", {4});
            check_same_shape(norms, inp);
            check_shape(loss, {inp.shape[3]}, "one number for each picture of inp");
            check_no_overlap(loss, {&norms, &inp});
            check_no_overlap(norms, {&inp});
            check_size(size);
            run({&loss, &norms, &inp}, stream, [&](Stream s) {
                tica_forward(loss.f32(), norms.f32(), inp.f32(), map_sizes(inp), size, s);
            });
        },
        py::arg("loss"), py::arg("norms"), py::arg("inp"), py::kw_only(), py::arg("size"),
        py::arg("stream"));

    m.def(
        "tica_backward",
        [](py::object dinp_, py::object inp_, py::object norms_, int size, float coeff, bool accumulate,
           uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), inp = input(inp_, "inp", {4}),
                       norms = input(norms_, "norms", {4});
            check_same_shape(dinp, inp);
            check_same_shape(norms, inp);
            check_no_overlap(dinp, {&inp, &norms});
            check_size(size);
            run({&dinp, &inp, &norms}, stream, [&](Stream s) {
                tica_backward(dinp.f32(), inp.f32(), norms.f32(), map_sizes(inp), size, coeff,
                              accumulate, s);
            });
        },
        py::arg("dinp"), py::arg("inp"), py::arg("norms"), py::kw_only(), py::arg("size"),
        py::arg("coeff"), py::arg("accumulate"), py::arg("stream"));
}
