#include "arrays.h"
#include "topics.h"

namespace {

// One label per picture. Their values are read where they can be: on the CPU target. On the CUDA
// target they are on the GPU, and the kernel marks a bad one with a NaN loss.
ArrayArgument labels_argument(const py::object& object, const ArrayArgument& probs) {
    const auto labels = array_argument(object, "labels", "int32", {1});
    check_shape(labels, {probs.shape[1]}, "one label for each column of probs");
#ifndef ALEXNET_RAW_CUDA
    for (int i = 0; i < labels.dim(0); ++i) {
        const int label = labels.as<int>()[i];
        if (label < 0 || label >= probs.dim(0))
            throw py::value_error("labels[" + std::to_string(i) + "] is " + std::to_string(label) +
                                  ": " + probs.describe() + " has classes 0 to " +
                                  std::to_string(probs.dim(0) - 1));
    }
#endif
    return labels;
}

}  // namespace

void bind_logloss(py::module_& m) {
    m.def(
        "logloss_forward",
        [](py::object loss_, py::object top1_, py::object topk_, py::object probs_, py::object labels_,
           int k, uintptr_t stream) {
            const auto loss = output(loss_, "loss", {1}), top1 = output(top1_, "top1", {1}),
                       topk = output(topk_, "topk", {1}), probs = input(probs_, "probs", {2});
            const auto labels = labels_argument(labels_, probs);
            for (const ArrayArgument* out : {&loss, &top1, &topk})
                check_shape(*out, labels.shape, "one number for each label");
            check_no_overlap(loss, {&top1, &topk, &probs, &labels});
            check_no_overlap(top1, {&topk, &probs, &labels});
            check_no_overlap(topk, {&probs, &labels});
            check_setting(k >= 1, "k must be at least 1, got " + std::to_string(k));
            run({&loss, &top1, &topk, &probs, &labels}, stream, [&](Stream s) {
                logloss_forward(loss.f32(), top1.f32(), topk.f32(), probs.f32(), labels.as<int>(),
                                probs.dim(0), probs.dim(1), k, s);
            });
        },
        py::arg("loss"), py::arg("top1"), py::arg("topk"), py::arg("probs"), py::arg("labels"),
        py::kw_only(), py::arg("k"), py::arg("stream"));

    m.def(
        "logloss_backward",
        [](py::object dprobs_, py::object probs_, py::object labels_, float coeff, uintptr_t stream) {
            const auto dprobs = output(dprobs_, "dprobs", {2}), probs = input(probs_, "probs", {2});
            const auto labels = labels_argument(labels_, probs);
            check_same_shape(dprobs, probs);
            check_same_or_apart(dprobs, probs);
            check_no_overlap(dprobs, {&labels});
            run({&dprobs, &probs, &labels}, stream, [&](Stream s) {
                logloss_backward(dprobs.f32(), probs.f32(), labels.as<int>(), probs.dim(0),
                                 probs.dim(1), coeff, s);
            });
        },
        py::arg("dprobs"), py::arg("probs"), py::arg("labels"), py::kw_only(), py::arg("coeff"),
        py::arg("stream"));

    m.def(
        "softmax_logloss_backward",
        [](py::object dinp_, py::object probs_, py::object labels_, float coeff, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {2}), probs = input(probs_, "probs", {2});
            const auto labels = labels_argument(labels_, probs);
            check_same_shape(dinp, probs);
            check_same_or_apart(dinp, probs);
            check_no_overlap(dinp, {&labels});
            run({&dinp, &probs, &labels}, stream, [&](Stream s) {
                softmax_logloss_backward(dinp.f32(), probs.f32(), labels.as<int>(), probs.dim(0),
                                         probs.dim(1), coeff, s);
            });
        },
        py::arg("dinp"), py::arg("probs"), py::arg("labels"), py::kw_only(), py::arg("coeff"),
        py::arg("stream"));
}
