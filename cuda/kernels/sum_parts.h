// The second half of a product whose depth is cut into parts ("split-K"), in sum_parts.cu.
#pragma once

#include "epilogue.h"

// out = epilogue(sum of the parts), added in their order. out (rows, columns), float32 or
// bfloat16, parts (part_count, rows, columns); the epilogue has a bias for each row.
template <class Out>
void sum_parts(Out* out, const float* parts, int part_count, int rows, int columns,
               const Epilogue& epilogue, Stream stream);
