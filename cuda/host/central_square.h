// Host code of the data loader: not a kernel, since pictures are decoded on the host.
#pragma once

#include <cstdint>

// The central square of an RGB picture, scaled to another size and anti-aliased (paper, section 2).
//   out  (size, size, 3)     inp  (height, width, 3)     both 8-bit
void central_square(uint8_t* out, const uint8_t* inp, int size, int height, int width);
