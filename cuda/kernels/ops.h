// All launchers: the table of contents of kernels/.
//
// Order of arguments: outputs, inputs, sizes (one plain struct where there are several), settings,
// stream. Activations are (channels, height, width, images) float32, C order: images are contiguous.
// Where a launcher is a template they may be bfloat16 too, and it exists for float and bf16.
// relu_below: inp is relu(z), and dinp becomes the gradient of z. Pointers are valid and sizes
// positive: bindings have checked. Launchers throw KernelError.
#pragma once

#include "../core/bf16.h"
#include "../core/philox.h"
#include "../core/platform.h"
#include "conv_size.h"
#include "neuron.h"
#include "norm.h"

struct MapSizes {
    int channels, height, width, images;
};

// ---- neuron.cu: activation functions as a pass of their own; other ops take ident, relu and tanh only
template <class S>
void neuron_forward(S* out, const S* inp, index_t n, Neuron neuron, Stream stream);
template <class S>
void neuron_backward(S* dinp, const S* dout, const S* inp, const S* out, index_t n, Neuron neuron,
                     bool accumulate, Stream stream);

// ---- noisy_relu.cu: relu with noise, in training
void noisy_relu(float* out, const float* inp, index_t n, PhiloxStream draws, Stream stream);

// ---- bias.cu: out = f(out + bias), and gradient of the biases, and dz = dout * f'(z) with it; arrays
// are (channels, inner)
template <class S>
void bias_forward(S* out, const float* bias, int channels, int inner, Neuron neuron, Stream stream);
index_t bias_backward_workspace(int channels, index_t inner);  // in floats; 0: null will do
template <class Z, class S>
void bias_backward(float* dbias, Z* dz, const S* dout, const S* out, float* workspace, int channels,
                   index_t inner, Neuron neuron, bool accumulate, Stream stream);

// ---- lrn.cu: response normalisation across channels; plane = height * width * images. Windows slide,
// or (blocked) tile; blocks may be of any size
constexpr int kLargestLrnSize = 32;
template <class S>
void lrn_forward(S* out, const S* inp, int channels, index_t plane, Norm norm, bool blocked,
                 Stream stream);
template <class S>
void lrn_backward(S* dinp, const S* dout, const S* inp, int channels, index_t plane, Norm norm,
                  bool blocked, bool accumulate, bool relu_below, Stream stream);

// ---- rnorm.cu: response normalisation within a map; denom keeps the denominators, before the power
constexpr int kLargestRnormSize = 128;
void rnorm_forward(float* out, float* denom, const float* inp, MapSizes sizes, Norm norm,
                   Stream stream);
void rnorm_backward(float* dinp, const float* dout, const float* inp, const float* denom,
                    MapSizes sizes, Norm norm, bool accumulate, Stream stream);

// ---- cnorm.cu: contrast normalisation within a map; differences are inp less its mean around
void cnorm_forward(float* out, float* denom, const float* inp, const float* differences, MapSizes sizes,
                   Norm norm, Stream stream);
void cnorm_backward(float* dinp, float* ddifferences, const float* dout, const float* inp,
                    const float* differences, const float* denom, MapSizes sizes, Norm norm,
                    Stream stream);

// ---- pool.cu: max and average pooling; every window holds a pixel; neuron is ident or relu backward
enum class PoolKind { max, maxabs, avg };
struct PoolSizes {
    int channels, height, width, images, outputs_y, outputs_x, size, stride, start;
};
template <class S>
void pool_forward(S* out, const S* inp, PoolSizes sizes, PoolKind kind, Neuron neuron, Stream stream);
template <class S>
void pool_backward(S* dinp, const S* dout, const S* inp, const S* out, PoolSizes sizes, PoolKind kind,
                   Neuron neuron, bool accumulate, bool relu_below, Stream stream);

// ---- lrn_pool.cu: max pooling of responses normalised in sliding windows, as lrn.cu and pool.cu make
// them; below: inp is below(z), and dinp the gradient of z (ident, relu or tanh; not if it accumulates)
template <class S>
void lrn_pool_forward(S* out, const S* inp, PoolSizes sizes, Norm norm, Neuron neuron, Stream stream);
template <class S>
void lrn_pool_backward(S* dinp, const S* dout, const S* inp, const S* out, PoolSizes sizes, Norm norm,
                       Neuron neuron, bool accumulate, bool relu_below, Stream stream);

// ---- channels.cu: sums of channels that a table (terms, channels) picks; planes are whole channels
void channels_gather(float* out, const float* inp, const int* table, int terms, int channels,
                     int inp_channels, index_t plane, bool accumulate, Stream stream);

// ---- random_pool.cu: pooling that takes a random pixel of each window; it has fewer than 2^24
constexpr int kLargestRandomPool = 4095;
void random_pool_forward(float* out, const float* inp, PoolSizes sizes, PhiloxStream draws,
                         Stream stream);
void random_pool_backward(float* dinp, const float* dout, PoolSizes sizes, PhiloxStream draws,
                          bool accumulate, Stream stream);

// ---- blur.cu: Gaussian blur; size is 3, 5, 7 or 9; its own gradient
constexpr int kLargestBlurSize = 9;
void blur(float* out, const float* inp, MapSizes sizes, int size, double stdev, bool accumulate,
          Stream stream);

// ---- resize.cu: a crop of the maps, resized by bilinear interpolation; scale is that of inp to out
struct ResizeSizes {
    int channels, height, width, images, out_height, out_width, top, left;
};
void resize(float* out, const float* inp, ResizeSizes sizes, double scale, Stream stream);

// ---- mirror.cu: mirror images
void mirror(float* out, const float* inp, MapSizes sizes, Stream stream);

// ---- color.cu: colour spaces; arrays are (3, plane)
void rgb_to_yuv(float* out, const float* inp, index_t plane, Stream stream);
void rgb_to_lab(float* out, const float* inp, index_t plane, bool center, Stream stream);

// ---- add.cu: out = [out +] coeff * inp
template <class Out, class Inp>
void add(Out* out, const Inp* inp, index_t n, float coeff, bool accumulate, Stream stream);

// ---- eltmax.cu: the elementwise maximum of several arrays, one at a time
void eltmax_forward(float* out, const float* inp, index_t n, Stream stream);
void eltmax_backward(float* dinp, const float* dout, const float* inp, const float* out, index_t n,
                     bool accumulate, Stream stream);

// ---- philox.cu: uniform random numbers in [0, 1)
void philox_uniform(float* out, index_t n, PhiloxStream draws, Stream stream);

// ---- dropout.cu: a 0/1 mask drawn from Philox, again in each pass; inverted: divided by keep
template <class S>
void dropout_forward(S* out, const S* inp, index_t n, float keep, bool inverted, PhiloxStream draws,
                     Stream stream);
template <class S>
void dropout_backward(S* dinp, const S* dout, index_t n, float keep, bool inverted, PhiloxStream draws,
                      Stream stream);
template <class S>
void dropout_test(S* out, const S* inp, index_t n, float keep, Stream stream);

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

// ---- one_hot.cu: labels (images,) as targets (classes, images)
void one_hot(float* out, const int* labels, int classes, int images, Stream stream);

// ---- output_cost.cu: costs that are sums over outputs (features, images); sum2 takes no targets,
// gsum2 one row of gates, the others targets as the outputs
enum class OutputCost { crossent, crossent2, rflickr, sum2, gsum2 };
void output_cost_forward(float* loss, const float* targets, const float* out, int features, int images,
                         OutputCost kind, Stream stream);
void output_cost_backward(float* dout, const float* targets, const float* out, int features, int images,
                          OutputCost kind, float coeff, bool accumulate, Stream stream);

// ---- tica.cu: sums of window norms, and the norms (channels, height, width, images) for its gradient;
// sizes as rnorm's
void tica_forward(float* loss, float* norms, const float* inp, MapSizes sizes, int size, Stream stream);
void tica_backward(float* dinp, const float* inp, const float* norms, MapSizes sizes, int size,
                   float coeff, bool accumulate, Stream stream);

// ---- multi_softmax.cu: how probable each class is to be in a set of `size` classes (given, if labels
// is not null, that the label is); 1 <= size < classes
constexpr int kLargestSet = 32;
void multi_softmax(float* probs, float* lattice, const float* inp, const int* labels, int classes,
                   int images, int size, Stream stream);

// ---- sgd.cu: momentum and weight decay, of many tensors in place, and their weights as bfloat16 for
// products; settings (count, 3) are the rate,
// the momentum and the decay of each
struct SgdTensor {
    float *weights, *velocity;
    const float* gradient;
    bf16* rounded;  // a copy of the new weights, or null
    int n;
};
void sgd_step(const SgdTensor* tensors, int count, const float* settings, Stream stream);

// ---- put.cu: n words of 4 bytes from the host, which may change them at once
void put(uint32_t* out, const uint32_t* values, index_t n, Stream stream);

// ---- limit_norms.cu: the length of each filter, a column of (rows, filters), kept between two limits;
// centred: its length less its mean
void limit_norms(float* weights, index_t rows, int filters, float least, float most, bool centred,
                 Stream stream);

// ---- augment.cu: uint8 pictures (images, height, width, channels) to (channels, out_height,
// out_width, images): crop, mirror, mean, colour noise
struct AugmentSizes {
    int images, channels, height, width, out_height, out_width;
};
template <class S>
void augment(S* out, const uint8_t* pictures, const int* offsets, const uint8_t* flips,
             const float* mean, const float* noise, AugmentSizes sizes, float scale, Stream stream);

// ---- conv.cu: convolution and its gradients, of operands E; results S are bf16 only where E is. A
// workspace of as many floats as the _workspace function says (0: null will do) is needed where a
// product is cut into parts.
template <class E>
index_t conv_forward_workspace(const ConvSize& size);
template <class E, class S>
void conv_forward(S* out, const E* inp, const E* weights, const float* bias, float* workspace,
                  const ConvSize& size, Neuron neuron, bool accumulate, Stream stream);
template <class E>
index_t conv_backward_data_workspace(const ConvSize& size);
template <class E, class S>
void conv_backward_data(S* dinp, const E* dout, const E* weights, float* workspace,
                        const ConvSize& size, bool accumulate, Stream stream);
template <class E>
index_t conv_backward_weights_workspace(const ConvSize& size);
template <class E>
void conv_backward_weights(float* dweights, const E* inp, const E* dout, float* workspace,
                           const ConvSize& size, bool accumulate, Stream stream);

// ---- local.cu: as conv.cu, with weights (positions, channels / groups, filter_height, filter_width,
// filters) and bias (filters, out_height, out_width)
void local_forward(float* out, const float* inp, const float* weights, const float* bias,
                   const ConvSize& size, Neuron neuron, bool accumulate, Stream stream);
void local_backward_data(float* dinp, const float* dout, const float* weights, const ConvSize& size,
                         bool accumulate, Stream stream);
void local_backward_weights(float* dweights, const float* inp, const float* dout, const ConvSize& size,
                            bool accumulate, Stream stream);
