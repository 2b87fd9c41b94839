#include "arrays.h"
#include "topics.h"

void bind_add(py::module_& m) {
    m.def(
        "add",
        [](py::object out_, py::object inp_, float coeff, bool accumulate, uintptr_t stream) {
            const auto out = activations_output(out_, "out"), inp = activations(inp_, "inp");
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            with_storage(out, [&](auto o) {
                with_storage(inp, [&](auto i) {
                    run({&out, &inp}, stream, [&](Stream s) {
                        add(out.as<decltype(o)>(), inp.as<const decltype(i)>(), out.size(), coeff,
                            accumulate, s);
                    });
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("coeff"), py::arg("accumulate"),
        py::arg("stream"));
}
