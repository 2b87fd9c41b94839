#include "arrays.h"
#include "topics.h"

void bind_multi_softmax(py::module_& m) {
    m.def(
        "multi_softmax",
        [](py::object probs_, py::object lattice_, py::object inp_, py::object given_, int size,
           uintptr_t stream) {
            const auto probs = output(probs_, "probs", {2}), lattice = output(lattice_, "lattice", {3}),
                       inp = input(inp_, "inp", {2});
            check_same_shape(probs, inp);
            check_setting(size >= 1 && size <= kLargestSet && size < inp.dim(0),
                          "size must be between 1 and " + std::to_string(kLargestSet) +
                              ", and below the number of classes, got " + std::to_string(size));
            check_shape(lattice, {inp.shape[0], size, inp.shape[1]},
                        "(classes, size, images) for this inp and size");
            check_no_overlap(probs, {&lattice, &inp});
            check_no_overlap(lattice, {&inp});
            const int* labels = nullptr;
            if (!given_.is_none()) {
                const auto given = array_argument(given_, "given", "int32", {1});
                check_shape(given, {inp.shape[1]}, "one label for each column of inp");
                check_no_overlap(probs, {&given});
                check_no_overlap(lattice, {&given});
                labels = given.as<int>();
            }
            run({&probs, &lattice, &inp}, stream, [&](Stream s) {
                multi_softmax(probs.f32(), lattice.f32(), inp.f32(), labels, inp.dim(0), inp.dim(1),
                              size, s);
            });
        },
        py::arg("probs"), py::arg("lattice"), py::arg("inp"), py::arg("given"), py::kw_only(),
        py::arg("size"), py::arg("stream"));
}
