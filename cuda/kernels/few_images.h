// Fully-connected layers on a few images: what conv.cu calls (few_images.cu). Arguments are those of
// the functions conv_* of ops.h.
#pragma once

#include "conv_size.h"
#include "ops.h"

// Whether the convolution is one.
bool has_few_images(const ConvSize& size);

index_t few_images_forward_workspace(const ConvSize& size);
void few_images_forward(float* out, const float* inp, const float* weights, const float* bias,
                        float* workspace, const ConvSize& size, Neuron neuron, bool accumulate,
                        Stream stream);

index_t few_images_backward_workspace(const ConvSize& size);  // of each of the two
void few_images_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                              const ConvSize& size, bool accumulate, Stream stream);
void few_images_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                                 const ConvSize& size, bool accumulate, Stream stream);
