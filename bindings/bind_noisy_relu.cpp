#include "arrays.h"
#include "topics.h"

void bind_noisy_relu(py::module_& m) {
    m.def(
        "noisy_relu",
        [](py::object out_, py::object inp_, py::int_ seed, py::int_ layer, py::object step,
           py::object share, uintptr_t stream) {
            const auto out = output(out_, "out"), inp = input(inp_, "inp");
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            const PhiloxStream draws = philox_argument(seed, layer, step, share, out);
            run({&out, &inp}, stream,
                [&](Stream s) { noisy_relu(out.f32(), inp.f32(), out.size(), draws, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("seed"), py::arg("layer"),
        py::arg("step"), py::arg("share"), py::arg("stream"));
}
