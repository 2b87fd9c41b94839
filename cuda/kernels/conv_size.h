// The sizes of a convolution: what launchers and bindings need of conv.h, without device code.
#pragma once

// One convolution, as a launcher gets it. The output may have any size for which a filter starts
// inside the padded picture; taps beyond the padding on the right and at the bottom read zeros.
struct ConvSize {
    int images, channels, height, width;  // of the input
    int filters, out_height, out_width;   // of the output; filters of all groups together
    int filter_height, filter_width, stride, padding, groups;

    int group_channels() const { return channels / groups; }
    int group_filters() const { return filters / groups; }
    int taps() const { return filter_height * filter_width; }
};
