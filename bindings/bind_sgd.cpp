#include "arrays.h"
#include "topics.h"

void bind_sgd(py::module_& m) {
    m.def(
        "sgd_step",
        [](py::object weights_, py::object velocity_, py::object gradient_, float rate, float momentum,
           float decay, uintptr_t stream) {
            const auto weights = output(weights_, "weights"), velocity = output(velocity_, "velocity"),
                       gradient = input(gradient_, "gradient");
            check_same_shape(velocity, weights);
            check_same_shape(gradient, weights);
            check_no_overlap(weights, {&velocity, &gradient});
            check_no_overlap(velocity, {&gradient});
            run({&weights, &velocity, &gradient}, stream, [&](Stream s) {
                sgd_step(weights.f32(), velocity.f32(), gradient.f32(), weights.size(), rate, momentum,
                         decay, s);
            });
        },
        py::arg("weights"), py::arg("velocity"), py::arg("gradient"), py::kw_only(), py::arg("rate"),
        py::arg("momentum"), py::arg("decay"), py::arg("stream"));
}
