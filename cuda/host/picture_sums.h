// Host code of data preparation: exact sums over 8-bit RGB pictures, for the mean image and the
// principal components of the colours (paper, sections 2 and 4.1).
#pragma once

#include <cstddef>
#include <cstdint>

// Adds `count` pictures of `values` numbers each (RGB, so a multiple of 3) up.
//   total     (values): every place's sum is added to it; at most 2^31 / 255 pictures fit
//   products  (3, 3): set to the sums over all pixels of colour i times colour j
void picture_sums(int32_t* total, int64_t products[3][3], const uint8_t* pictures, size_t count,
                  size_t values);
