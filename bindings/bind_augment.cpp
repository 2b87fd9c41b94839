#include "arrays.h"
#include "topics.h"

namespace {

// Offsets can be read on the CPU target only. On the CUDA target they are on the GPU, and the kernel
// moves one that would leave the picture to its border.
void check_offsets([[maybe_unused]] const ArrayArgument& offsets,
                   [[maybe_unused]] const AugmentSizes& s) {
#ifndef ALEXNET_RAW_CUDA
    for (int i = 0; i < s.images; ++i) {
        const int top = offsets.as<int>()[2 * i], left = offsets.as<int>()[2 * i + 1];
        const bool inside =
            top >= 0 && top <= s.height - s.out_height && left >= 0 && left <= s.width - s.out_width;
        check_setting(inside, "offsets[" + std::to_string(i) + "] is (" + std::to_string(top) + ", " +
                                  std::to_string(left) +
                                  "): the crop leaves the picture; the largest is (" +
                                  std::to_string(s.height - s.out_height) + ", " +
                                  std::to_string(s.width - s.out_width) + ")");
    }
#endif
}

}  // namespace

void bind_augment(py::module_& m) {
    m.def(
        "augment",
        [](py::object out_, py::object pictures_, py::object offsets_, py::object flips_,
           py::object mean_, py::object noise_, float scale, uintptr_t stream) {
            const auto out = activations_output(out_, "out", {4}),
                       pictures = array_argument(pictures_, "pictures", "uint8", {4}),
                       offsets = array_argument(offsets_, "offsets", "int32", {2}),
                       flips = array_argument(flips_, "flips", "uint8", {1}),
                       mean = input(mean_, "mean", {3}), noise = input(noise_, "noise", {2});
            const AugmentSizes s = {pictures.dim(0), pictures.dim(3), pictures.dim(1),
                                    pictures.dim(2), out.dim(1),      out.dim(2)};
            check_shape(out, {s.channels, s.out_height, s.out_width, s.images},
                        "(channels, height, width, images), with the channels and images of pictures");
            check_setting(s.out_height <= s.height && s.out_width <= s.width,
                          out.describe() + " is larger than " + pictures.describe());
            check_shape(offsets, {s.images, 2}, "top and left of each picture's crop");
            check_shape(flips, {s.images}, "one for each picture");
            check_shape(mean, {s.channels, s.height, s.width}, "(channels, height, width) of pictures");
            check_shape(noise, {s.images, s.channels}, "one for each picture and channel");
            check_no_overlap(out, {&pictures, &offsets, &flips, &mean, &noise});
            check_offsets(offsets, s);
            with_storage(out, [&](auto stored) {
                run({&out, &pictures, &offsets, &flips, &mean, &noise}, stream, [&](Stream stream_) {
                    augment(out.as<decltype(stored)>(), pictures.as<uint8_t>(), offsets.as<int>(),
                            flips.as<uint8_t>(), mean.f32(), noise.f32(), s, scale, stream_);
                });
            });
        },
        py::arg("out"), py::arg("pictures"), py::arg("offsets"), py::arg("flips"), py::arg("mean"),
        py::arg("noise"), py::kw_only(), py::arg("scale"), py::arg("stream"));
}
