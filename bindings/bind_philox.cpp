#include "arrays.h"
#include "topics.h"

void bind_philox(py::module_& m) {
    m.def(
        "philox_uniform",
        [](py::object out_, py::int_ seed, py::int_ layer, py::object step, py::object share,
           uintptr_t stream) {
            const auto out = output(out_, "out");
            const PhiloxStream draws = philox_argument(seed, layer, step, share, out);
            run({&out}, stream, [&](Stream s) { philox_uniform(out.f32(), out.size(), draws, s); });
        },
        py::arg("out"), py::kw_only(), py::arg("seed"), py::arg("layer"), py::arg("step"),
        py::arg("share"), py::arg("stream"));
}
