#ifndef ALEXNET_RAW_CUDA  // pictures are decoded and prepared on the host

#include <limits>

#include "../cuda/host/central_square.h"
#include "../cuda/host/picture_sums.h"
#include "arrays.h"
#include "topics.h"

void bind_pictures(py::module_& m) {
    m.def(
        "central_square",
        [](py::object out_, py::object picture_) {
            const auto out = array_argument(out_, "out", "uint8", {3}),
                       picture = array_argument(picture_, "picture", "uint8", {3});
            check_setting(!out.read_only, "out is written to, but is read-only");
            check_shape(out, {out.shape[0], out.shape[0], 3}, "a square of RGB pixels");
            check_shape(picture, {picture.shape[0], picture.shape[1], 3}, "RGB pixels");
            check_no_overlap(out, {&picture});
            py::gil_scoped_release release;
            central_square(out.as<uint8_t>(), picture.as<uint8_t>(), out.dim(0), picture.dim(0),
                           picture.dim(1));
        },
        py::arg("out"), py::arg("picture"),
        "Scales the central square of a picture (height, width, 3) to out (size, size, 3), both uint8, "
        "with a triangle filter that is widened where it shrinks.");
    m.def(
        "picture_sums",
        [](py::object total_, py::object pictures_) {
            const auto total = array_argument(total_, "total", "int32", {3}),
                       pictures = array_argument(pictures_, "pictures", "uint8", {4});
            check_setting(!total.read_only, "total is written to, but is read-only");
            check_shape(pictures, {pictures.shape[0], total.shape[0], total.shape[1], 3},
                        "RGB pictures of the size of total");
            check_shape(total, {total.shape[0], total.shape[1], 3}, "one picture");
            check_no_overlap(total, {&pictures});
            check_setting(pictures.shape[0] <= std::numeric_limits<int32_t>::max() / 255,
                          pictures.describe() + " are too many for sums of 32 bits");
            int64_t p[3][3];
            {
                py::gil_scoped_release release;
                picture_sums(total.as<int32_t>(), p, pictures.as<uint8_t>(), pictures.shape[0],
                             total.size());
            }
            std::vector<std::vector<int64_t>> products;
            for (const auto& row : p) products.emplace_back(row, row + 3);
            return products;
        },
        py::arg("total"), py::arg("pictures"),
        "Adds pictures (N, height, width, 3) uint8 to total (height, width, 3) int32 and returns the "
        "sums over their pixels of colour i times colour j, as a 3 x 3 list.");
}

#endif
