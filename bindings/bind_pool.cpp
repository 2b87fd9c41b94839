#include "arrays.h"
#include "topics.h"

namespace {

PoolKind kind_argument(const std::string& kind) {
    check_setting(kind == "max" || kind == "avg", "kind must be max or avg, got '" + kind + "'");
    return kind == "max" ? PoolKind::max : PoolKind::avg;
}

// `out` and `inp` are what is pooled to and from, or their gradients. Any number of outputs will do
// whose windows all hold a pixel.
PoolSizes sizes_argument(const ArrayArgument& out, const ArrayArgument& inp, int size, int stride,
                         int start) {
    check_setting(out.shape[0] == inp.shape[0] && out.shape[3] == inp.shape[3],
                  out.describe() + " and " + inp.describe() +
                      " must have the same channels (axis 0) and images (axis 3)");
    constexpr int kLargest = 1 << 15;
    check_setting(size >= 1 && size <= kLargest,
                  "size must be between 1 and 32768, got " + std::to_string(size));
    check_setting(stride >= 1 && stride <= kLargest,
                  "stride must be between 1 and 32768, got " + std::to_string(stride));
    for (int axis : {1, 2}) {
        const index_t last = start + index_t(out.dim(axis) - 1) * stride;
        const std::string axis_name = axis == 1 ? "rows" : "columns";
        check_setting(start > -size, "start " + std::to_string(start) + ", size " +
                                         std::to_string(size) +
                                         ": the first window lies outside the image");
        check_setting(last < inp.shape[axis],
                      out.describe() + ": the last of " + std::to_string(out.dim(axis)) +
                          " windows would begin at " + std::to_string(last) + ", outside the " +
                          std::to_string(inp.dim(axis)) + " " + axis_name + " of " + inp.name);
    }
    return {inp.dim(0), inp.dim(1), inp.dim(2), inp.dim(3), out.dim(1),
            out.dim(2), size,       stride,     start};
}

}  // namespace

void bind_pool(py::module_& m) {
    m.def(
        "pool_forward",
        [](py::object out_, py::object inp_, const std::string& kind_, int size, int stride, int start,
           py::tuple neuron_, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4});
            const PoolSizes sizes = sizes_argument(out, inp, size, stride, start);
            check_no_overlap(out, {&inp});
            const PoolKind kind = kind_argument(kind_);
            const Neuron neuron = fused_neuron_argument(neuron_);
            run({&out, &inp}, stream,
                [&](Stream s) { pool_forward(out.f32(), inp.f32(), sizes, kind, neuron, s); });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("kind"), py::arg("size"),
        py::arg("stride"), py::arg("start"), py::arg("neuron"), py::arg("stream"));

    m.def(
        "pool_backward",
        [](py::object dinp_, py::object dout_, py::object inp_, py::object out_,
           const std::string& kind_, int size, int stride, int start, py::tuple neuron_,
           bool accumulate, uintptr_t stream) {
            const auto dinp = output(dinp_, "dinp", {4}), dout = input(dout_, "dout", {4}),
                       inp = input(inp_, "inp", {4}), out = input(out_, "out", {4});
            check_same_shape(dinp, inp);
            check_same_shape(dout, out);
            const PoolSizes sizes = sizes_argument(out, inp, size, stride, start);
            check_no_overlap(dinp, {&dout, &inp, &out});
            const PoolKind kind = kind_argument(kind_);
            const Neuron neuron = fused_neuron_argument(neuron_);
            check_setting(neuron.kind != NeuronKind::tanh,
                          "pool_backward handles the neurons ident and relu: run others as a pass of "
                          "their own");
            run({&dinp, &dout, &inp, &out}, stream, [&](Stream s) {
                pool_backward(dinp.f32(), dout.f32(), inp.f32(), out.f32(), sizes, kind, neuron,
                              accumulate, s);
            });
        },
        py::arg("dinp"), py::arg("dout"), py::arg("inp"), py::arg("out"), py::kw_only(),
        py::arg("kind"), py::arg("size"), py::arg("stride"), py::arg("start"), py::arg("neuron"),
        py::arg("accumulate"), py::arg("stream"));
}
