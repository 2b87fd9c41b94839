#include "arrays.h"
#include "topics.h"

namespace {

// Entries can be read on the CPU target only. On the CUDA target they are on the GPU, and the kernel
// takes one that is no channel for zeros.
void check_entries([[maybe_unused]] const ArrayArgument& table,
                   [[maybe_unused]] const ArrayArgument& inp) {
#ifndef ALEXNET_RAW_CUDA
    for (index_t i = 0; i < table.size(); ++i) {
        const int channel = table.as<int>()[i];
        check_setting(channel >= 0 && channel < inp.dim(0),
                      "table[" + std::to_string(i / table.dim(1)) + ", " +
                          std::to_string(i % table.dim(1)) + "] is " + std::to_string(channel) + ": " +
                          inp.describe() + " has channels 0 to " + std::to_string(inp.dim(0) - 1));
    }
#endif
}

}  // namespace

void bind_channels(py::module_& m) {
    m.def(
        "channels_gather",
        [](py::object out_, py::object inp_, py::object table_, bool accumulate, uintptr_t stream) {
            const auto out = output(out_, "out", {4}), inp = input(inp_, "inp", {4}),
                       table = array_argument(table_, "table", "int32", {2});
            check_shape(inp, {inp.shape[0], out.shape[1], out.shape[2], out.shape[3]},
                        "the height, width and images of out");
            check_shape(table, {table.shape[0], out.shape[0]}, "(terms, channels of out)");
            check_no_overlap(out, {&inp, &table});
            check_entries(table, inp);
            run({&out, &inp, &table}, stream, [&](Stream s) {
                channels_gather(out.f32(), inp.f32(), table.as<int>(), table.dim(0), out.dim(0),
                                inp.dim(0), out.size() / out.dim(0), accumulate, s);
            });
        },
        py::arg("out"), py::arg("inp"), py::arg("table"), py::kw_only(), py::arg("accumulate"),
        py::arg("stream"));
}
