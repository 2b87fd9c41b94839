// The sizes of a convolution: what launchers and bindings need of conv.h, without device code.
#pragma once

// automatic: what is fastest for the sizes, which never depends on the number of cores or devices.
enum class ConvAlgorithm { automatic, direct, winograd };

// One convolution, as a launcher gets it. The output may have any size for which a filter starts
// inside the padded picture; taps beyond the padding on the right and at the bottom read zeros.
struct ConvSize {
    int images, channels, height, width;  // of the input
    int filters, out_height, out_width;   // of the output; filters of all groups together
    int filter_height, filter_width, stride, padding, groups;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;

    int group_channels() const { return channels / groups; }
    int group_filters() const { return filters / groups; }
    int taps() const { return filter_height * filter_width; }
    bool suits_winograd() const {
        return stride == 1 && filter_height == filter_width && (filter_width == 3 || filter_width == 5);
    }
};
