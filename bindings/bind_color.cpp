#include "arrays.h"
#include "topics.h"

namespace {

void check_colors(const ArrayArgument& out, const ArrayArgument& inp) {
    check_same_shape(out, inp);
    check_setting(inp.shape[0] == 3,
                  inp.describe() + " must have 3 channels (axis 0): red, green and blue");
    check_no_overlap(out, {&inp});
}

}  // namespace

void bind_color(py::module_& m) {
    m.def(
        "rgb_to_yuv",
        [](py::object out_, py::object inp_, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            check_colors(out, inp);
            run({&out, &inp}, stream,
                [&](Stream s) { rgb_to_yuv(out.f32(), inp.f32(), inp.size() / 3, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("stream"));

    m.def(
        "rgb_to_lab",
        [](py::object out_, py::object inp_, bool center, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            check_colors(out, inp);
            run({&out, &inp}, stream,
                [&](Stream s) { rgb_to_lab(out.f32(), inp.f32(), inp.size() / 3, center, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("center"), py::arg("stream"));
}
