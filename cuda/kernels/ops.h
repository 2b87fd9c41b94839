// All launchers: the table of contents of kernels/.
//
// Order of arguments: outputs, inputs, sizes (one plain struct where there are several), settings,
// stream. Activations are (channels, height, width, images) float32, C order: images are contiguous.
// Pointers are valid and sizes positive: bindings have checked. Launchers throw KernelError.
#pragma once

#include "../core/platform.h"
#include "neuron.h"

// ---- neuron.cu: activation functions as a pass of their own
void neuron_forward(float* out, const float* inp, index_t n, Neuron neuron, Stream stream);
void neuron_backward(float* dinp, const float* dout, const float* out, index_t n, Neuron neuron,
                     Stream stream);
