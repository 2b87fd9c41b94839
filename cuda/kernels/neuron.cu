// Neurons as a pass of their own: layers of type `neuron`, and neurons that other kernels' epilogues
// leave to them (paper, section 3.1; the others are cuda-convnet's).
//
//   forward   out = f(inp)
//   backward  dinp = [dinp +] dout * f'(inp)
//
//   neuron       f(x)                 f'(x), y = f(x)
//   ident        x                    1
//   relu         max(0, x)            1 where y > 0
//   tanh[a,b]    a tanh(b x)          b/a (a^2 - y^2)
//   logistic     1 / (1 + e^-x)       y (1 - y)
//   softrelu     log(1 + e^x)         1 - e^-y
//   sqrt         sqrt(x)              1 / (2 y)
//   brelu[a]     min(a, max(0, x))    1 where 0 < y < a
//   linear[a,b]  a x + b              a
//   abs          |x|                  1 where x > 0, else -1
//   square       x^2                  2 x
//   drelu[a]     x - a tanh(x / a)    tanh(x / a)^2
//
// All arrays have n elements. Thread map: items lane groups each, strided by the block.
#include "../core/bf16.h"
#include "../core/elementwise.h"
#include "ops.h"

namespace {

template <class V>
__device__ __forceinline__ V value_of(const Neuron& f, V x) {
    const V zero = splat<V>(0.f), one = splat<V>(1.f);
    switch (f.kind) {
        case NeuronKind::logistic: return one / (one + exp_lanes(-x));
        // log(1 + e^x) = max(0, x) + log(1 + e^-|x|), which cannot overflow
        case NeuronKind::softrelu: return max_lanes(x, zero) + log1p_lanes(exp_lanes(-abs_lanes(x)));
        case NeuronKind::abs: return abs_lanes(x);
        case NeuronKind::square: return x * x;
        case NeuronKind::sqrt: return sqrt_lanes(x);
        case NeuronKind::brelu: {
            const V positive = max_lanes(x, zero), a = splat<V>(f.a);
            return positive < a ? positive : a;
        }
        case NeuronKind::linear: return f.a * x + f.b;
        case NeuronKind::drelu: return x - f.a * tanh_lanes(x / f.a);
        default: return activate(f, x);
    }
}

template <class V>
__device__ __forceinline__ V gradient_of(const Neuron& f, V dy, V x, V y) {
    const V zero = splat<V>(0.f), one = splat<V>(1.f);
    switch (f.kind) {
        case NeuronKind::logistic: return dy * y * (one - y);
        case NeuronKind::softrelu: return dy * -expm1_lanes(-y);
        case NeuronKind::abs: return x > zero ? dy : -dy;
        case NeuronKind::square: return dy * 2.f * x;
        case NeuronKind::sqrt: return dy / (2.f * y);
        case NeuronKind::brelu: {
            const V from_below = y > zero ? dy : zero;
            return y < splat<V>(f.a) ? from_below : zero;
        }
        case NeuronKind::linear: return dy * f.a;
        case NeuronKind::drelu: {
            const V t = tanh_lanes(x / f.a);
            return dy * t * t;
        }
        default: return activate_backward(f, dy, y);
    }
}

}  // namespace

template <class T, class S>
__global__ void neuron_forward_kernel(S* out, const S* inp, index_t n, Neuron neuron) {
    using V = typename T::V;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        store(out + i, value_of(neuron, load<V>(inp + i, count)), count);
    });
}

template <class T, class S>
__global__ void neuron_backward_kernel(S* dinp, const S* dout, const S* inp, const S* out, index_t n,
                                       Neuron neuron, bool accumulate) {
    using V = typename T::V;
    const bool from_inp = neuron.kind == NeuronKind::abs || neuron.kind == NeuronKind::square ||
                          neuron.kind == NeuronKind::drelu;
    for_each_lanes<T>(n, [&](index_t i, index_t count) {
        const V known = load<V>((from_inp ? inp : out) + i, count);
        const V dx = gradient_of(neuron, load<V>(dout + i, count), known, known);
        store(dinp + i, accumulate ? add_rounded(load<V>(dinp + i, count), as_stored<S>(dx)) : dx,
              count);
    });
}

template <class S>
void neuron_forward(S* out, const S* inp, index_t n, Neuron neuron, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<neuron_forward_kernel<T, S>>(elementwise_shape<T>(n), stream, out, inp, n, neuron);
    });
}

template <class S>
void neuron_backward(S* dinp, const S* dout, const S* inp, const S* out, index_t n, Neuron neuron,
                     bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        launch<neuron_backward_kernel<T, S>>(elementwise_shape<T>(n), stream, dinp, dout, inp, out, n,
                                             neuron, accumulate);
    });
}

template void neuron_forward(float*, const float*, index_t, Neuron, Stream);
template void neuron_forward(bf16*, const bf16*, index_t, Neuron, Stream);
template void neuron_backward(float*, const float*, const float*, const float*, index_t, Neuron, bool,
                              Stream);
template void neuron_backward(bf16*, const bf16*, const bf16*, const bf16*, index_t, Neuron, bool,
                              Stream);
