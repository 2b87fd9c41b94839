#include <cmath>

#include "arrays.h"
#include "topics.h"

void bind_limit_norms(py::module_& m) {
    m.def(
        "limit_norms",
        [](py::object weights_, float least, float most, bool centred, uintptr_t stream) {
            const auto weights = output(weights_, "weights", {2});
            check_setting(least >= 0 && std::isfinite(least) && std::isfinite(most) &&
                              (most == 0 || most >= least),
                          "least must be at least 0, and most at least that, or 0 for no limit");
            run({&weights}, stream, [&](Stream s) {
                limit_norms(weights.f32(), weights.shape[0], weights.dim(1), least, most, centred, s);
            });
        },
        py::arg("weights"), py::kw_only(), py::arg("least"), py::arg("most"), py::arg("centred"),
        py::arg("stream"));
}
