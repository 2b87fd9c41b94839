// The sizes of a convolution: what launchers and bindings need of conv.h, without device code.
#pragma once

// automatic: what is fastest for the sizes, which never depends on the number of cores or devices.
enum class ConvAlgorithm { automatic, direct, winograd, wgmma };

// How the products are multiplied: as float32, or on tensor cores with operands rounded to TF32 or
// bfloat16. Sums are float32.
enum class ConvPrecision { fp32, tf32, bf16 };

// One convolution, as a launcher gets it. The output may have any size for which a filter starts
// inside the padded picture; taps beyond the padding on the right and at the bottom read zeros.
struct ConvSize {
    int images, channels, height, width;  // of the input
    int filters, out_height, out_width;   // of the output; filters of all groups together
    int filter_height, filter_width, stride, padding, groups;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
    ConvPrecision precision = ConvPrecision::fp32;
    bool aligned = false;  // whether all arrays begin on 16 bytes

    constexpr int group_channels() const { return channels / groups; }
    constexpr int group_filters() const { return filters / groups; }
    constexpr int taps() const { return filter_height * filter_width; }
    bool suits_winograd() const {
        return stride == 1 && filter_height == filter_width && (filter_width == 3 || filter_width == 5);
    }
};
