"""A net of layer files in float64, composed of the oracle's ops, for tests of whole nets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from alexnet_raw.reference import (
    blur,
    cnorm,
    color,
    conv,
    dropout,
    fc,
    lrn,
    mirror,
    pool,
    random_pool,
    resize,
    rnorm,
    softmax,
)
from alexnet_raw.reference import logloss as log_loss
from alexnet_raw.reference import neuron as activation


class ReferenceNet:
    """values: parameter name -> array. Runs forward at once; `backward` fills `gradients`."""

    def __init__(self, spec, values, images, labels, *, train, seed=0, step=0):
        self.spec, self.values, self.labels = spec, values, labels
        self.train, self.seed, self.step = train, seed, step
        self.out = {spec.pictures.name: np.asarray(images, np.float64)}
        self.losses, self.gradients = {}, {}
        for layer in spec:
            if layer.type != "data":
                inputs = [self.out.get(name) for name in layer.inputs]
                self.out[layer.name] = self._forward(layer, inputs)

    def backward(self) -> None:
        self.dout = {name: np.zeros_like(out) for name, out in self.out.items() if out is not None}
        for layer in reversed(self.spec.layers):
            if layer.type != "data":
                inputs = [self.out.get(name) for name in layer.inputs]
                dinputs = self._backward(layer, inputs, self.dout.get(layer.name))
                for name, dinput in zip(layer.inputs, dinputs, strict=True):
                    if dinput is not None:
                        self.dout[name] += dinput.reshape(self.dout[name].shape)

    def _forward(self, layer, inputs):
        match layer.type:
            case "conv":
                z = 0
                for i, inp in enumerate(inputs):
                    z = z + conv.forward(inp, self._weights(layer, i), None, *_geometry(layer, i))
                z += self.values[f"{layer.name}.biases"][:, None, None, None]
                return activation.forward(z, layer.neuron)
            case "fc":
                z = 0
                for i, inp in enumerate(inputs):
                    z = z + fc.forward(_flat(inp), self._weights(layer, i))
                z += self.values[f"{layer.name}.biases"][:, None]
                return activation.forward(z, layer.neuron)[:, None, None]
            case "pool" if layer.is_random and self.train:
                return random_pool.forward(
                    inputs[0], *_window(layer, inputs[0])[1:], **self._draws(layer)
                )
            case "pool" | "nailbed":
                return activation.forward(_pooled(layer, inputs[0]), layer.neuron)
            case "cmrnorm":
                return lrn.forward(inputs[0], **layer.settings)
            case "rnorm":
                return rnorm.forward(inputs[0], **layer.settings)[0]
            case "cnorm":
                return cnorm.forward(inputs[0], **layer.settings)[0]
            case "blur":
                return blur.forward(inputs[0], **layer.settings)
            case "href":
                return mirror.forward(inputs[0])
            case "rgb2yuv":
                return color.to_yuv(inputs[0])
            case "rgb2lab":
                return color.to_lab(inputs[0], layer.center)
            case "resize" | "crop" | "rscale":
                size = layer.output_size(inputs[0].shape[1:3])
                return resize.forward(inputs[0], size, *self._view(layer, inputs[0]))
            case "neuron" if layer.is_noisy and self.train:
                return activation.noisy_relu(inputs[0], self.seed, layer.stream, self.step)
            case "neuron":
                return activation.forward(inputs[0], layer.function)
            case "hs" if self.train:
                return dropout.forward(inputs[0], layer.keep, self.seed, layer.stream, self.step)
            case "hs":
                return dropout.test(inputs[0], layer.keep)
            case "softmax":
                return softmax.forward(_flat(inputs[0]))[:, None, None]
            case "cost.logreg":
                classes = len(inputs[1])
                loss, top1, topk = log_loss.forward(
                    _flat(inputs[1]), self.labels, min(layer.topk, classes)
                )
                self.losses[layer.name] = (loss.mean(), top1.mean(), topk.mean())

    def _backward(self, layer, inputs, dout):
        match layer.type:
            case "conv" | "fc":
                return self._backward_weights(layer, inputs, dout)
            case "pool" if layer.is_random:
                settings = self._draws(layer)
                return [
                    random_pool.backward(
                        dout, inputs[0].shape, *_window(layer, inputs[0])[1:], **settings
                    )
                ]
            case "pool" | "nailbed":
                # Through the neuron first, so that it may be any; then through the plain pooling.
                dpooled = activation.backward(dout, self.out[layer.name], layer.neuron)
                pooled = _pooled(layer, inputs[0])
                return [pool.backward(dpooled, inputs[0], pooled, *_window(layer, inputs[0]))]
            case "cmrnorm":
                return [lrn.backward(dout, inputs[0], **layer.settings)]
            case "rnorm":
                return [rnorm.backward(dout, inputs[0], **layer.settings)]
            case "cnorm":
                return [cnorm.whole_gradient(dout, inputs[0], **layer.settings)]
            case "blur":
                return [blur.forward(dout, **layer.settings)]
            case "href":
                return [mirror.forward(dout)]
            case "rgb2yuv" | "rgb2lab" | "resize" | "crop" | "rscale":
                return [None]
            case "neuron":
                return [activation.backward(dout, self.out[layer.name], layer.function, inputs[0])]
            case "hs":
                return [dropout.backward(dout, layer.keep, self.seed, layer.stream, self.step)]
            case "softmax":
                return [softmax.backward(_flat(dout), _flat(self.out[layer.name]))]
            case "cost.logreg":
                return [None, log_loss.backward(_flat(inputs[1]), self.labels, layer.coeff)]

    def _backward_weights(self, layer, inputs, dout):
        dz = activation.backward(dout, self.out[layer.name], layer.neuron)
        self.gradients[f"{layer.name}.biases"] = dz.sum(axis=(1, 2, 3))
        dinputs = []
        for i, inp in enumerate(inputs):
            weights = self._weights(layer, i)
            if layer.type == "conv":
                settings = _geometry(layer, i)
                dweights = conv.backward_weights(inp, dz, weights.shape, *settings)
                dinputs.append(conv.backward_data(dz, weights, inp.shape, *settings))
            else:
                dweights = fc.backward_weights(_flat(inp), _flat(dz))
                dinputs.append(fc.backward_data(_flat(dz), weights))
            self.gradients[f"{layer.name}.weights{i}"] = dweights
        return dinputs

    def _draws(self, layer):
        return {"seed": self.seed, "layer": layer.stream, "step": self.step}

    def _view(self, layer, inp):
        """Scale, top and left of what a resizing layer shows."""
        return layer.view(
            SimpleNamespace(inputs=[inp], train=self.train, seed=self.seed, step=self.step)
        )

    def _weights(self, layer, i):
        return self.values[f"{layer.name}.weights{i}"]


def _geometry(layer, i):
    return layer.strides[i], layer.paddings[i], layer.groups[i]


def _pooled(layer, inp):
    outputs = slice(getattr(layer, "outputs", None) or None)  # fewer than usual, if the layer says so
    return pool.forward(inp, *_window(layer, inp))[:, outputs, outputs]


def _window(layer, inp):
    if layer.type == "nailbed":
        outputs = -(-inp.shape[1] // layer.stride)
        return "avg", 1, layer.stride, (inp.shape[1] - layer.stride * (outputs - 1)) // 2
    kind = "avg" if layer.kind == "rand" else layer.kind
    return kind, layer.size, layer.stride, layer.start


def _flat(array):
    return array.reshape(-1, array.shape[-1])
