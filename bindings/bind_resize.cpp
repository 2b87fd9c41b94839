#include "arrays.h"
#include "topics.h"

namespace {

// Within these, places in fixed point do not overflow.
constexpr double kSmallestScale = 1.0 / 1024, kLargestScale = 1024;
constexpr int kLargestOffset = 1 << 15, kLargestSide = 1 << 15;

}  // namespace

void bind_resize(py::module_& m) {
    m.def(
        "resize",
        [](py::object out_, py::object inp_, double scale, int top, int left, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            check_setting(out.shape[0] == inp.shape[0] && out.shape[3] == inp.shape[3],
                          out.describe() + " and " + inp.describe() +
                              " must have the same channels (axis 0) and images (axis 3)");
            for (int axis : {1, 2})
                check_setting(
                    larger(out.shape[axis], inp.shape[axis]) <= kLargestSide,
                    out.describe() + " and " + inp.describe() + " must be at most 32768 pixels wide");
            check_no_overlap(out, {&inp});
            check_setting(scale >= kSmallestScale && scale <= kLargestScale,
                          "scale must be between 1/1024 and 1024, got " + std::to_string(scale));
            for (const auto& [offset, name] : {std::pair(top, "top"), std::pair(left, "left")})
                check_setting(
                    offset >= 0 && offset <= kLargestOffset,
                    std::string(name) + " must be between 0 and 32768, got " + std::to_string(offset));
            const ResizeSizes sizes = {inp.dim(0), inp.dim(1), inp.dim(2), inp.dim(3),
                                       out.dim(1), out.dim(2), top,        left};
            run({&out, &inp}, stream, [&](Stream s) { resize(out.f32(), inp.f32(), sizes, scale, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("scale"), py::arg("top"),
        py::arg("left"), py::arg("stream"));
}
