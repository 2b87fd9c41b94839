// Convolutions on tensor cores, in another precision than fp32 or of bfloat16 arrays: what conv.cu
// calls (conv_mma.cu).
// Arguments are those of the functions conv_* of ops.h.
#pragma once

#include "conv_size.h"
#include "ops.h"

template <class E>
index_t conv_mma_forward_workspace(const ConvSize& size);
template <class E, class S>
void conv_mma_forward(S* out, const E* inp, const E* weights, const float* bias, float* workspace,
                      const ConvSize& size, Neuron neuron, bool accumulate, Stream stream);
template <class E>
index_t conv_mma_backward_data_workspace(const ConvSize& size);
template <class E, class S>
void conv_mma_backward_data(S* dinp, const E* dout, const E* weights, float* workspace,
                            const ConvSize& size, bool accumulate, Stream stream);
template <class E>
index_t conv_mma_backward_weights_workspace(const ConvSize& size);
template <class E>
void conv_mma_backward_weights(float* dweights, const E* inp, const E* dout, float* workspace,
                               const ConvSize& size, bool accumulate, Stream stream);
