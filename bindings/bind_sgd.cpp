#include "arrays.h"
#include "topics.h"

void bind_sgd(py::module_& m) {
    m.def(
        "sgd_step",
        [](const py::list& weights, const py::list& velocity, const py::list& gradient,
           const py::list& rounded, py::object settings_, uintptr_t stream) {
            const size_t count = weights.size();
            check_setting(
                velocity.size() == count && gradient.size() == count && rounded.size() == count &&
                    count > 0,
                "weights, velocity, gradient and rounded must be equally many, and at least one");
            const auto settings = input(settings_, "settings", {2});
            check_shape(settings, {index_t(count), 3}, "rate, momentum and decay of each of weights");
            std::vector<ArrayArgument> given;
            std::vector<SgdTensor> tensors;
            for (size_t i = 0; i < count; ++i) {
                const auto w = output(weights[i], "weights"), v = output(velocity[i], "velocity"),
                           g = input(gradient[i], "gradient");
                check_same_shape(v, w);
                check_same_shape(g, w);
                given.insert(given.end(), {w, v, g});
                bf16* copy = nullptr;
                if (!rounded[i].is_none()) {
                    given.push_back(output(rounded[i], "rounded", {}, "bfloat16"));
                    check_same_shape(given.back(), w);
                    copy = given.back().as<bf16>();
                }
                tensors.push_back({w.f32(), v.f32(), g.f32(), copy, int(w.size())});
            }
            std::vector<const ArrayArgument*> arrays{&settings};
            for (const ArrayArgument& array : given) arrays.push_back(&array);
            check_apart(arrays);
            run(arrays, stream,
                [&](Stream s) { sgd_step(tensors.data(), int(count), settings.f32(), s); });
        },
        py::arg("weights"), py::arg("velocity"), py::arg("gradient"), py::arg("rounded"),
        py::arg("settings"), py::kw_only(), py::arg("stream"));
}
