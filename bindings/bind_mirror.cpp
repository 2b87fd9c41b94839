#include "arrays.h"
#include "topics.h"

void bind_mirror(py::module_& m) {
    m.def(
        "mirror",
        [](py::object out_, py::object inp_, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            check_same_shape(out, inp);
            check_no_overlap(out, {&inp});
            run({&out, &inp}, stream,
                [&](Stream s) { mirror(out.f32(), inp.f32(), map_sizes(inp), s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("stream"));
}
