// Convolutions on tensor cores, in another precision than fp32: what conv.cu calls (conv_mma.cu).
// Arguments are those of the functions conv_* of ops.h.
#pragma once

#include "conv_size.h"
#include "ops.h"

index_t conv_mma_forward_workspace(const ConvSize& size);
void conv_mma_forward(float* out, const float* inp, const float* weights, const float* bias,
                      float* workspace, const ConvSize& size, Neuron neuron, bool accumulate,
                      Stream stream);

index_t conv_mma_backward_data_workspace(const ConvSize& size);
void conv_mma_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                            const ConvSize& size, bool accumulate, Stream stream);

index_t conv_mma_backward_weights_workspace(const ConvSize& size);
void conv_mma_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                               const ConvSize& size, bool accumulate, Stream stream);
