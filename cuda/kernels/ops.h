// All launchers: the table of contents of kernels/.
//
// Order of arguments: outputs, inputs, sizes (one plain struct where there are several), settings,
// stream. Activations are (channels, height, width, images) float32, C order: images are contiguous.
// Pointers are valid and sizes positive: bindings have checked. Launchers throw KernelError.
#pragma once

#include "../core/philox.h"
#include "../core/platform.h"
#include "neuron.h"

// ---- neuron.cu: activation functions as a pass of their own
void neuron_forward(float* out, const float* inp, index_t n, Neuron neuron, Stream stream);
void neuron_backward(float* dinp, const float* dout, const float* out, index_t n, Neuron neuron,
                     Stream stream);

// ---- philox.cu: uniform random numbers in [0, 1)
void philox_uniform(float* out, index_t n, PhiloxStream draws, Stream stream);

// ---- dropout.cu: a 0/1 mask drawn from Philox, again in each pass; inverted: divided by keep
void dropout_forward(float* out, const float* inp, index_t n, float keep, bool inverted,
                     PhiloxStream draws, Stream stream);
void dropout_backward(float* dinp, const float* dout, index_t n, float keep, bool inverted,
                      PhiloxStream draws, Stream stream);
void dropout_test(float* out, const float* inp, index_t n, float keep, Stream stream);

// ---- softmax.cu: arrays (classes, images)
void softmax_forward(float* out, const float* inp, int classes, int images, Stream stream);
void softmax_backward(float* dinp, const float* dout, const float* out, int classes, int images,
                      bool accumulate, Stream stream);

// ---- logloss.cu: the cost and the errors; probs (classes, images), labels, loss, top1, topk (images,)
void logloss_forward(float* loss, float* top1, float* topk, const float* probs, const int* labels,
                     int classes, int images, int k, Stream stream);
void logloss_backward(float* dprobs, const float* probs, const int* labels, int classes, int images,
                      float coeff, Stream stream);
void softmax_logloss_backward(float* dinp, const float* probs, const int* labels, int classes,
                              int images, float coeff, Stream stream);

// ---- sgd.cu: momentum and weight decay, in place
void sgd_step(float* weights, float* velocity, const float* gradient, index_t n, float rate,
              float momentum, float decay, Stream stream);

// ---- augment.cu: uint8 pictures (images, height, width, channels) to (channels, out_height,
// out_width, images): crop, mirror, mean, colour noise
struct AugmentSizes {
    int images, channels, height, width, out_height, out_width;
};
void augment(float* out, const uint8_t* pictures, const int* offsets, const uint8_t* flips,
             const float* mean, const float* noise, AugmentSizes sizes, float scale, Stream stream);
