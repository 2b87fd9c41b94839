#include "arrays.h"
#include "topics.h"

namespace {

void check_keep(double keep) {
    check_setting(keep > 0 && keep <= 1,
                  "keep must be a probability above 0 and up to 1, got " + std::to_string(keep));
}

}  // namespace

void bind_dropout(py::module_& m) {
    m.def(
        "dropout_forward",
        [](py::object out_, py::object inp_, float keep, py::int_ seed, py::int_ layer, py::object step,
           py::object share, bool inverted, uintptr_t stream) {
            const auto out = activations_output(out_, "out"), inp = activations(inp_, "inp");
            check_same_dtype({&out, &inp});
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            check_keep(keep);
            const PhiloxStream draws = philox_argument(seed, layer, step, share, out);
            with_storage(out, [&](auto stored) {
                using S = decltype(stored);
                run({&out, &inp}, stream, [&](Stream s) {
                    dropout_forward(out.as<S>(), inp.as<const S>(), out.size(), keep, inverted, draws,
                                    s);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("keep"), py::arg("seed"),
        py::arg("layer"), py::arg("step"), py::arg("share"), py::arg("inverted"), py::arg("stream"));

    m.def(
        "dropout_backward",
        [](py::object dinp_, py::object dout_, float keep, py::int_ seed, py::int_ layer,
           py::object step, py::object share, bool inverted, uintptr_t stream) {
            const auto dinp = activations_output(dinp_, "dinp"), dout = activations(dout_, "dout");
            check_same_dtype({&dinp, &dout});
            check_same_shape(dinp, dout);
            check_same_or_apart(dinp, dout);
            check_keep(keep);
            const PhiloxStream draws = philox_argument(seed, layer, step, share, dinp);
            with_storage(dinp, [&](auto stored) {
                using S = decltype(stored);
                run({&dinp, &dout}, stream, [&](Stream s) {
                    dropout_backward(dinp.as<S>(), dout.as<const S>(), dinp.size(), keep, inverted,
                                     draws, s);
                });
            });
        },
        py::arg("dinp"), py::arg("dout"), py::kw_only(), py::arg("keep"), py::arg("seed"),
        py::arg("layer"), py::arg("step"), py::arg("share"), py::arg("inverted"), py::arg("stream"));

    m.def(
        "dropout_test",
        [](py::object out_, py::object inp_, float keep, uintptr_t stream) {
            const auto out = activations_output(out_, "out"), inp = activations(inp_, "inp");
            check_same_dtype({&out, &inp});
            check_same_shape(out, inp);
            check_same_or_apart(out, inp);
            check_keep(keep);
            with_storage(out, [&](auto stored) {
                using S = decltype(stored);
                run({&out, &inp}, stream, [&](Stream s) {
                    dropout_test(out.as<S>(), inp.as<const S>(), out.size(), keep, s);
                });
            });
        },
        py::arg("out"), py::arg("inp"), py::kw_only(), py::arg("keep"), py::arg("stream"));
}
