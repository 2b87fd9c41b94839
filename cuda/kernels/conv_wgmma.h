// Convolutions of bfloat16 arrays on the tensor cores of compute capability 9.0 (conv_wgmma.cu).
// Arguments are those of the functions conv_* of ops.h; Out is float or bf16, except that gradients of
// weights are float32.
#pragma once

#include "../core/bf16.h"
#include "conv_size.h"
#include "ops.h"

enum class ConvPass { forward, data, weights };

// Whether these kernels can do it: images and filters of a group in eights, 16 channels of a group or
// more, arrays that begin on 16 bytes; data gradients of stride 1 only.
bool wgmma_suits(const ConvSize& size, ConvPass pass);

// Whether the current device has loaded code for them. The CPU has, and is slow.
bool has_wgmma();

index_t conv_wgmma_forward_workspace(const ConvSize& size);
template <class Out>
void conv_wgmma_forward(Out* out, const bf16* inp, const bf16* weights, const float* bias,
                        float* workspace, const ConvSize& size, Neuron neuron, bool accumulate,
                        Stream stream);

index_t conv_wgmma_backward_data_workspace(const ConvSize& size);
template <class Out>
void conv_wgmma_backward_data(Out* dinp, const bf16* dout, const bf16* weights, float* workspace,
                              const ConvSize& size, bool accumulate, Stream stream);

index_t conv_wgmma_backward_weights_workspace(const ConvSize& size);
void conv_wgmma_backward_weights(float* dweights, const bf16* inp, const bf16* dout, float* workspace,
                                 const ConvSize& size, bool accumulate, Stream stream);
