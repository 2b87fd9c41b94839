#include "arrays.h"
#include "topics.h"

#include <algorithm>

void bind_put(py::module_& m) {
    m.def(
        "put",
        [](py::object out_, const py::buffer& values, uintptr_t stream) {
            const py::buffer_info given = values.request();
            check_setting(given.format == "f" || given.format == "i",
                          "values must be float32 or int32");
            const auto out = output(out_, "out", {}, given.format == "f" ? "float32" : "int32");
            check_setting(std::equal(given.shape.begin(), given.shape.end(), out.shape.begin(),
                                     out.shape.end()) &&
                              PyBuffer_IsContiguous(given.view(), 'C'),
                          "values must be as " + out.describe() + ", and C-contiguous");
            run({&out}, stream, [&](Stream s) {
                put(out.as<uint32_t>(), static_cast<const uint32_t*>(given.ptr), out.size(), s);
            });
        },
        py::arg("out"), py::kw_only(), py::arg("values"), py::arg("stream"));
}
