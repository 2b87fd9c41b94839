#include "pool_argument.h"
#include "topics.h"

namespace {

PoolKind pool_kind_argument(const std::string& kind) {
    check_setting(kind == "max" || kind == "maxabs" || kind == "avg",
                  "kind must be max, maxabs or avg, got '" + kind + "'");
    return kind == "max" ? PoolKind::max : kind == "maxabs" ? PoolKind::maxabs : PoolKind::avg;
}

}  // namespace

void bind_pool(py::module_& m) {
    m.def(
        "pool_forward",
        [](py::object out_, py::object inp_, const std::string& kind_, int size, int stride, int start,
           py::tuple neuron_, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}), inp = activations(inp_, "inp", {4});
            check_same_dtype({&out, &inp});
            const PoolSizes sizes = pool_sizes_argument(out, inp, size, stride, start);
            check_no_overlap(out, {&inp});
            const PoolKind kind = pool_kind_argument(kind_);
            const Neuron neuron = fused_neuron_argument(neuron_);
            with_storage(out, [&](auto stored) {
                using S = decltype(stored);
                run({&out, &inp}, stream, [&](Stream s) {
                    pool_forward(out.as<S>(), inp.as<const S>(), sizes, kind, neuron, s);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("kind"), py::arg("size"),
        py::arg("stride"), py::arg("start"), py::arg("neuron"), py::arg("stream"));

    m.def(
        "pool_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object out_,
           const std::string& kind_, int size, int stride, int start, py::tuple neuron_,
           bool accumulate, py::tuple below_, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp", {4}),
                       dout = activations(dout_, "dout", {4}), inp = activations(inp_, "inp", {4}),
                       out = activations(out_, "out", {4});
            check_same_dtype({&dinp, &dout, &inp, &out});
            check_same_shape(dinp, inp);
            check_same_shape(dout, out);
            const PoolSizes sizes = pool_sizes_argument(out, inp, size, stride, start);
            check_no_overlap(dinp, {&dout, &inp, &out});
            const PoolKind kind = pool_kind_argument(kind_);
            const Neuron neuron = fused_neuron_argument(neuron_);
            check_setting(neuron.kind != NeuronKind::tanh,
                          "pool_backward handles the neurons ident and relu: run others as a pass of "
                          "their own");
            const bool relu_below = relu_below_argument(below_, accumulate);
            with_storage(inp, [&](auto stored) {
                using S = decltype(stored);
                run({&dinp, &dout, &inp, &out}, stream, [&](Stream s) {
                    pool_backward(dinp.as<S>(), dout.as<const S>(), inp.as<const S>(),
                                  out.as<const S>(), sizes, kind, neuron, accumulate, relu_below, s);
                });
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("out"), py::kw_only(),
        py::arg("kind"), py::arg("size"), py::arg("stride"), py::arg("start"), py::arg("neuron"),
        py::arg("accumulate"), py::arg("below"), py::arg("stream"));
}
