// The convolutions that suits_winograd(), by Winograd's algorithm: what conv.cu calls (winograd.cu).
// Arguments are those of the functions conv_* of ops.h.
#pragma once

#include "conv_size.h"
#include "ops.h"

// Whether it can be had and is the faster one: forward and for the pictures' gradient, for the
// weights'.
bool winograd_pictures_pay(const ConvSize& size);
bool winograd_weights_pay(const ConvSize& size);

index_t winograd_forward_workspace(const ConvSize& size);
void winograd_forward(float* out, const float* inp, const float* weights, const float* bias,
                      float* workspace, const ConvSize& size, Neuron neuron, bool accumulate,
                      Stream stream);

index_t winograd_backward_data_workspace(const ConvSize& size);
void winograd_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                            const ConvSize& size, bool accumulate, Stream stream);

index_t winograd_backward_weights_workspace(const ConvSize& size);
void winograd_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                               const ConvSize& size, bool accumulate, Stream stream);
