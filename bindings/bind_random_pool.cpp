#include "pool_argument.h"
#include "topics.h"

void bind_random_pool(py::module_& m) {
    m.def(
        "random_pool_forward",
        [](py::object out_, py::object inp_, int size, int stride, int start, py::int_ seed,
           py::int_ layer, py::object step, py::object share, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            const PoolSizes sizes =
                pool_sizes_argument(out, inp, size, stride, start, kLargestRandomPool);
            check_no_overlap(out, {&inp});
            const PhiloxStream draws = philox_argument(seed, layer, step, share, out);
            run({&out, &inp}, stream,
                [&](Stream s) { random_pool_forward(out.f32(), inp.f32(), sizes, draws, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("size"), py::arg("stride"),
        py::arg("start"), py::arg("seed"), py::arg("layer"), py::arg("step"), py::arg("share"),
        py::arg("stream"));

    m.def(
        "random_pool_backward",
        [](py::object dinp_, py::object dout_, int size, int stride, int start, py::int_ seed,
           py::int_ layer, py::object step, py::object share, bool accumulate, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), dout = input(dout_, "dout", {4});
            const PoolSizes sizes =
                pool_sizes_argument(dout, dinp, size, stride, start, kLargestRandomPool);
            check_no_overlap(dinp, {&dout});
            const PhiloxStream draws = philox_argument(seed, layer, step, share, dinp);
            run({&dinp, &dout}, stream, [&](Stream s) {
                random_pool_backward(dinp.f32(), dout.f32(), sizes, draws, accumulate, s);
            });
        },
        py::arg("dinp"), py::arg("dout"), py::kw_only(), py::arg("size"), py::arg("stride"),
        py::arg("start"), py::arg("seed"), py::arg("layer"), py::arg("step"), py::arg("share"),
        py::arg("accumulate"), py::arg("stream"));
}
