#include <map>

#include "arrays.h"
#include "topics.h"

namespace {

OutputCost output_cost_argument(const std::string& name) {
    static const std::map<std::string, OutputCost> kinds = {{"crossent", OutputCost::crossent},
                                                            {"crossent2", OutputCost::crossent2},
                                                            {"rflickr", OutputCost::rflickr},
                                                            {"sum2", OutputCost::sum2},
                                                            {"gsum2", OutputCost::gsum2}};
    const auto found = kinds.find(name);
    check_setting(found != kinds.end(),
                  "kind must be crossent, crossent2, rflickr, sum2 or gsum2, got '" + name + "'");
    return found->second;
}

// The targets of `out`, which must be what the kind wants; null for sum2.
const float* targets_argument(const py::object& object, const ArrayArgument& out, OutputCost kind,
                              const ArrayArgument& result) {
    check_setting(object.is_none() == (kind == OutputCost::sum2),
                  "targets are needed for all kinds but sum2, which takes none");
    if (object.is_none()) return nullptr;
    const auto targets = input(object, "targets", {2});
    if (kind == OutputCost::gsum2)
        check_shape(targets, {1, out.shape[1]}, "one gate for each column of out");
    else
        check_shape(targets, out.shape, "as out");
    check_no_overlap(result, {&targets});
    return targets.f32();
}

}  // namespace

void bind_output_cost(py::module_& m) {
    m.def(
        "one_hot",
        [](py::object out_, py::object labels_, uintptr_t stream) {
            const auto out = output(out_, "out", {2});
            const auto labels = array_argument(labels_, "labels", "int32", {1});
            check_shape(labels, {out.shape[1]}, "one label for each column of out");
            check_no_overlap(out, {&labels});
            run({&out, &labels}, stream,
                [&](Stream s) { one_hot(out.f32(), labels.as<int>(), out.dim(0), out.dim(1), s); });
        },
        py::arg("out"), py::arg("labels"), py::kw_only(), py::arg("stream"));

    m.def(
        "output_cost_forward",
        [](py::object loss_, py::object targets_, py::object out_, const std::string& kind_,
           uintptr_t stream) {
            const auto loss = output(loss_, "loss", {1}), out = input(out_, "out", {2});
            check_shape(loss, {out.shape[1]}, "one number for each column of out");
            check_no_overlap(loss, {&out});
            const OutputCost kind = output_cost_argument(kind_);
            const float* targets = targets_argument(targets_, out, kind, loss);
            run({&loss, &out}, stream, [&](Stream s) {
                output_cost_forward(loss.f32(), targets, out.f32(), out.dim(0), out.dim(1), kind, s);
            });
        },
        py::arg("loss"), py::arg("targets"), py::arg("out"), py::kw_only(), py::arg("kind"),
        py::arg("stream"));

    m.def(
        "output_cost_backward",
        [](py::object dout_, py::object targets_, py::object out_, const std::string& kind_,
           float coeff, bool accumulate, uintptr_t stream) {
            const auto dout = output(dout_, "dout", {2}), out = input(out_, "out", {2});
            check_same_shape(dout, out);
            check_same_or_apart(dout, out);
            const OutputCost kind = output_cost_argument(kind_);
            const float* targets = targets_argument(targets_, out, kind, dout);
            run({&dout, &out}, stream, [&](Stream s) {
                output_cost_backward(dout.f32(), targets, out.f32(), out.dim(0), out.dim(1), kind,
                                     coeff, accumulate, s);
            });
        },
        py::arg("dout"), py::arg("targets"), py::arg("out"), py::kw_only(), py::arg("kind"),
        py::arg("coeff"), py::arg("accumulate"), py::arg("stream"));
}
