#include <cmath>

#include "arrays.h"
#include "topics.h"

void bind_blur(py::module_& m) {
    m.def(
        "blur",
        [](py::object out_, py::object inp_, int size, double stdev, bool accumulate,
           uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            check_same_shape(out, inp);
            check_no_overlap(out, {&inp});
            check_setting(size >= 3 && size <= kLargestBlurSize && size % 2 == 1,
                          "size must be 3, 5, 7 or 9, got " + std::to_string(size));
            check_setting(std::isfinite(stdev) && stdev > 0,
                          "stdev must be positive, got " + std::to_string(stdev));
            run({&out, &inp}, stream, [&](Stream s) {
                blur(out.f32(), inp.f32(), map_sizes(inp), size, stdev, accumulate, s);
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("size"), py::arg("stdev"),
        py::arg("accumulate"), py::arg("stream"));
}
