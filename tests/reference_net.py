"""A net of layer files in float64, composed of the oracle's ops, for tests of whole nets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from alexnet_raw import class_tree
from alexnet_raw.reference import (
    bias,
    blur,
    channels,
    cnorm,
    color,
    conv,
    dropout,
    eltmax,
    fc,
    local,
    lrn,
    mirror,
    multi_softmax,
    output_cost,
    pool,
    random_pool,
    resize,
    rnorm,
    softmax,
    tica,
)
from alexnet_raw.reference import logloss as log_loss
from alexnet_raw.reference import neuron as activation

OPS = {"conv": conv, "local": local}


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
            case "conv" | "local":
                z = 0
                for i, inp in enumerate(inputs):
                    seen, weights = self._seen(layer, i, inp), self._weights(layer, i)
                    z = z + OPS[layer.type].forward(seen, weights, None, *_geometry(layer, i))
                return bias.forward(z, self.values[f"{layer.name}.biases"], layer.neuron)
            case "fc":
                z = 0
                for i, inp in enumerate(inputs):
                    z = z + fc.forward(_flat(inp), self._weights(layer, i))
                z += self.values[f"{layer.name}.biases"][:, None]
                return activation.forward(z, layer.neuron)[:, None, None]
            case "treefc":
                z = self._tree_weights(layer).T @ _flat(inputs[0])
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
            case "hs" | "dropout2" if self.train:
                return dropout.forward(inputs[0], *self._mask(layer))
            case "hs":
                return dropout.test(inputs[0], layer.keep)
            case "dropout2":
                return inputs[0]
            case "softmax":
                return softmax.forward(_flat(inputs[0]))[:, None, None]
            case "eltsum":
                inputs = self._with_targets(inputs)
                shape = inputs[0].shape
                return sum(c * i.reshape(shape) for c, i in zip(layer.coeffs, inputs, strict=True))
            case "eltmax":
                inputs = self._with_targets(inputs)
                return eltmax.forward([inp.reshape(inputs[0].shape) for inp in inputs])
            case "concat":
                if len({inp.shape[1:] for inp in inputs}) > 1:
                    inputs = [_flat(inp)[:, None, None] for inp in inputs]
                return np.concatenate(inputs)
            case "cost.tica":
                self.losses[layer.name] = (
                    tica.forward(inputs[0], layer.size)[0].mean(),
                    np.nan,
                    np.nan,
                )
            case "cost.msm":
                energies = _flat(inputs[1])
                loss = multi_softmax.loss(energies, layer.size, self.labels)
                _, top1, topk = log_loss.forward(energies, self.labels, layer.size)
                self.losses[layer.name] = (loss.mean(), top1.mean(), topk.mean())
            case "cost.sum2":
                loss = output_cost.forward(None, _flat(inputs[0]), "sum2")
                self.losses[layer.name] = (loss.mean(), np.nan, np.nan)
            case "cost.crossent" | "cost.crossent2" | "cost.rflickr" | "cost.gsum2":
                targets, out = self._targets(inputs), _flat(inputs[1])
                loss = output_cost.forward(targets, out, layer.type.removeprefix("cost."))
                self.losses[layer.name] = (loss.mean(), np.nan, np.nan)
            case "cost.logreg":
                classes = len(inputs[1])
                loss, top1, topk = log_loss.forward(
                    _flat(inputs[1]), self.labels, min(layer.topk, classes)
                )
                self.losses[layer.name] = (loss.mean(), top1.mean(), topk.mean())

    def _backward(self, layer, inputs, dout):
        match layer.type:
            case "conv" | "local" | "fc":
                return self._backward_weights(layer, inputs, dout)
            case "treefc":
                dz, inp = (
                    _flat(activation.backward(dout, self.out[layer.name], layer.neuron)),
                    inputs[0],
                )
                self.gradients[f"{layer.name}.biases"] = dz.sum(axis=1)
                self.gradients[f"{layer.name}.weights0"] = _flat(inp) @ dz.T
                above = class_tree.paths(layer.parents)
                self.gradients[f"{layer.name}.nodes"] = above @ dz @ _flat(inp).T
                return [self._tree_weights(layer) @ dz]
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
            case "hs" | "dropout2":
                return [dropout.backward(dout, *self._mask(layer))]
            case "softmax":
                return [softmax.backward(_flat(dout), _flat(self.out[layer.name]))]
            case "eltsum":
                present = zip(layer.coeffs, inputs, strict=True)
                return [None if inp is None else c * dout for c, inp in present]
            case "eltmax":
                inputs = self._with_targets(inputs)
                out = self.out[layer.name]
                return [eltmax.backward(dout, inp.reshape(out.shape), out) for inp in inputs]
            case "concat":
                ends = np.cumsum([inp.size // inp.shape[-1] for inp in inputs])
                return np.split(_flat(dout), ends[:-1])
            case "cost.tica":
                return [tica.backward(inputs[0], layer.size, layer.coeff)]
            case "cost.msm":
                energies = _flat(inputs[1])
                return [None, multi_softmax.backward(energies, layer.size, self.labels, layer.coeff)]
            case "cost.sum2":
                return [output_cost.backward(None, _flat(inputs[0]), "sum2", layer.coeff)]
            case "cost.gsum2":
                gates, out = map(_flat, inputs)
                dgates = layer.coeff / out.shape[1] * (out**2).sum(axis=0, keepdims=True)
                return [dgates, output_cost.backward(gates, out, "gsum2", layer.coeff)]
            case "cost.crossent" | "cost.crossent2" | "cost.rflickr":
                kind, out = layer.type.removeprefix("cost."), _flat(inputs[1])
                return [None, output_cost.backward(self._targets(inputs), out, kind, layer.coeff)]
            case "cost.logreg":
                return [None, log_loss.backward(_flat(inputs[1]), self.labels, layer.coeff)]

    def _backward_weights(self, layer, inputs, dout):
        dz = activation.backward(dout, self.out[layer.name], layer.neuron)
        biases = self.values[f"{layer.name}.biases"]
        self.gradients[f"{layer.name}.biases"] = dz.sum(axis=tuple(range(biases.ndim, 4)))
        dinputs = []
        for i, inp in enumerate(inputs):
            weights = self._weights(layer, i)
            if layer.type in OPS:
                op, settings, seen = OPS[layer.type], _geometry(layer, i), self._seen(layer, i, inp)
                dweights = op.backward_weights(seen, dz, weights.shape, *settings)
                dseen = op.backward_data(dz, weights, seen.shape, *settings)
                dinputs.append(self._unseen(layer, i, dseen))
            else:
                dweights = fc.backward_weights(_flat(inp), _flat(dz))
                dinputs.append(fc.backward_data(_flat(dz), weights))
            name = self._weights_name(layer, i)
            self.gradients[name] = self.gradients.get(name, 0) + dweights
        return dinputs

    def _seen(self, layer, i, inp):
        """Input i's channels as the groups see them."""
        if not layer.random[i]:
            return inp
        return channels.gather(inp, layer.connections(self.seed, i)[None])

    def _unseen(self, layer, i, dseen):
        """The gradient of `_seen`."""
        if not layer.random[i]:
            return dseen
        return channels.scatter(dseen, layer.connections(self.seed, i)[None], layer.channels[i])

    def _draws(self, layer):
        return {"seed": self.seed, "layer": layer.stream, "step": self.step}

    def _view(self, layer, inp):
        """Scale, top and left of what a resizing layer shows."""
        return layer.view(
            SimpleNamespace(inputs=[inp], train=self.train, seed=self.seed, step=self.step)
        )

    def _weights(self, layer, i):
        return self.values[self._weights_name(layer, i)]

    def _weights_name(self, layer, i):
        return layer.weight_sources[i] or f"{layer.name}.weights{i}"

    def _mask(self, layer):
        return layer.keep, self.seed, layer.stream, self.step, layer.is_inverted

    def _tree_weights(self, layer):
        """(features, classes): of each class, its own and those of all nodes above it."""
        own, nodes = (self.values[f"{layer.name}.{name}"] for name in ("weights0", "nodes"))
        return own + nodes.T @ class_tree.paths(layer.parents)

    def _with_targets(self, inputs):
        """The inputs of an elementwise layer, labels as columns of 0 and 1."""
        outputs = next(len(inp) for inp in inputs if inp is not None)
        targets = self.labels
        if targets.ndim == 1:
            targets = output_cost.one_hot(targets, outputs)
        return [targets[:, None, None] if inp is None else inp for inp in inputs]

    def _targets(self, inputs):
        """The targets of a cost: a layer's outputs, or labels as one-hot columns, or what they are."""
        targets = self.labels if inputs[0] is None else _flat(inputs[0])
        return output_cost.one_hot(targets, len(inputs[1])) if targets.ndim == 1 else targets


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
