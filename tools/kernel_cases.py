"""The passes of each layer type as pairs of runs for `bench_kernels.py`: our ops and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from benchmarking import Peak, torch

from alexnet_raw import ops, storage
from alexnet_raw.device import BF16, Array, Device
from alexnet_raw.layers import Layer, Shape
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.neuron import IDENT

Run = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One pass of a layer: our run and the peer's. Work is counted for one tower.

    flops: of matrix products only; nbytes: that must be read or written, each array once.
    """

    name: str
    ours: Run
    peer: Run | None = None
    flops: int = 0
    nbytes: int = 0

    def floor(self, best: Peak) -> float:
        """Seconds that the arithmetic and the memory of this machine need at least: the longer ones."""
        return max(self.flops / best.gflops, self.nbytes / best.gbytes) / 1e9


def _nbytes(*arrays: Array) -> int:
    return sum(array.nbytes for array in arrays)


class Maker:
    """Makes the cases of each layer type of a net, for one batch size on one device."""

    def __init__(
        self,
        device: Device,
        images: int,
        spec: NetSpec,
        with_torch: bool,
        channels_last: bool,
    ):
        self.device, self.images = device, images
        self.pictures = spec.pictures.name  # they get no gradient
        self.dtypes = storage.dtypes(spec, device.precision)
        self.with_torch, self.channels_last = with_torch, channels_last
        self._rng = np.random.default_rng(0)

    def array(self, *shape: int, dtype: np.dtype | type = np.float32) -> Array:
        return self.device.upload(self._rng.standard_normal(shape, np.float32).astype(dtype))

    def maps(self, name: str, *shape: int) -> Array:
        """Like those that layer `name` puts out, for all images."""
        return self.array(*shape, self.images, dtype=self.dtypes[name])

    def tensor(self, *shape: int):
        is_rounded = self.device.precision == "bf16"
        dtype = torch.bfloat16 if is_rounded else torch.float32
        tensor = torch.randn(shape, device=self.device.name, dtype=dtype)
        if self.channels_last and len(shape) == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def cases(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        """The passes of a layer whose type has kernels of its own."""
        makers = {
            "conv": self._filters,
            "local": self._filters,
            "fc": self._fc,
            "cmrnorm": self._lrn,
            "rnorm": self._rnorm,
            "pool": self._pool,
            "hs": self._dropout,
            "softmax": self._softmax,
        }
        if layer.type in makers:
            yield from makers[layer.type](layer, inputs, output)

    def _filters(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        """Of a conv or local layer; the filters see the channels that a randSparse layer has picked."""
        flops = 2 * layer.mult_adds(inputs) * self.images
        seen = [g * c for g, c in zip(layer.groups, layer.filter_channels, strict=True)]
        inps = [self.maps(name, seen[i], *inputs[i][1:]) for i, name in enumerate(layer.inputs)]
        weights, dweights = self._weights(layer, inputs)
        bias_shape, out = layer.bias_shape(inputs), self.maps(layer.name, *output)
        dz = self.array(*out.shape, dtype=inps[0].dtype)
        is_fused = layer.type == "local" or len(bias_shape) == 1  # or else a pass of its own
        biases = self.array(*bias_shape) if is_fused else None
        last = len(inps) - 1
        settings = [
            {"stride": layer.strides[i], "padding": layer.paddings[i], "groups": layer.groups[i]}
            for i in range(len(inps))
        ]
        peers = (None, None, None)
        if self.with_torch and layer.type == "conv" and not any(layer.random):
            peers = self._conv_peers(layer, inputs, output)

        def forward():
            for i, inp in enumerate(inps):
                bias = biases if i == last else None
                layer.forward_op(out, inp, weights[i], bias, **settings[i], accumulate=i > 0)

        def weight_gradient():
            for i, inp in enumerate(inps):
                layer.backward_weights_op(dweights[i], inp, dz, **settings[i])

        def data_gradient():
            for i, inp in enumerate(inps):
                layer.backward_data_op(inp, dz, weights[i], **settings[i])

        nbytes = _nbytes(*inps, out)
        yield Case("forward + bias", forward, peers[0], flops, nbytes + _nbytes(*weights))
        yield Case("weight gradient", weight_gradient, peers[1], flops, nbytes + _nbytes(*dweights))
        if layer.inputs[0] != self.pictures:
            nbytes = _nbytes(*inps, *weights, dz)
            yield Case("data gradient", data_gradient, peers[2], flops, nbytes)
        if layer.type == "conv":
            yield from self._bias(layer, output)
        for i in (i for i, is_random in enumerate(layer.random) if is_random):
            yield self._gather(layer, i, inputs[i], inps[i])

    def _gather(self, layer: Layer, i: int, shape: Shape, seen: Array) -> Case:
        """The channels of input i that the groups see."""
        inp, table = self.array(*shape, self.images), self.device.upload(layer.constants(0)[f"seen{i}"])
        name = f"random channels {i}"
        return Case(name, lambda: ops.channels_gather(seen, inp, table), nbytes=2 * seen.nbytes)

    def _conv_peers(self, layer: Layer, inputs: list[Shape], output: Shape) -> tuple[Run, Run, Run]:
        """One convolution over the channels of all inputs; its pictures have the implicit columns."""
        size, stride, padding = layer.sizes[0], layer.strides[0], layer.paddings[0]
        groups, channels = layer.groups[0], sum(shape[0] for shape in inputs)
        pixels = [(outputs - 1) * stride + size - 2 * padding for outputs in output[1:]]
        x = self.tensor(self.images, channels, *pixels)
        w = self.tensor(output[0], channels // groups, size, size)
        b, dy = self.tensor(output[0]), self.tensor(self.images, *output)

        def forward():
            torch.nn.functional.conv2d(x, w, b, stride, padding, groups=groups)

        def backward(*wanted):
            return lambda: torch.ops.aten.convolution_backward(
                dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, wanted
            )

        return forward, backward(False, True, False), backward(True, False, False)

    def _bias(self, layer: Layer, output: Shape) -> Iterator[Case]:
        dbias, dout, out = self.array(output[0]), *(self.maps(layer.name, *output) for _ in "12")
        dz = dout
        if (dtype := self.dtypes[layer.inputs[0]]) != dout.dtype:
            dz = self.array(*dout.shape, dtype=dtype)
        peer = None
        if self.with_torch:
            shape = (self.images, *output) if output[1] > 1 else (self.images, output[0])
            dy, y = self.tensor(*shape), self.tensor(*shape)
            axes = [axis for axis in range(len(shape)) if axis != 1]

            def peer():
                torch.ops.aten.threshold_backward(dy, y, 0).sum(axes)

        has_neuron = layer.neuron != IDENT
        yield Case(
            "bias + ReLU gradient" if has_neuron else "bias gradient",
            lambda: ops.bias_backward(dbias, dz, dout, out, neuron=layer.neuron),
            peer if has_neuron else (lambda: dy.sum(0)) if self.with_torch else None,
            nbytes=_nbytes(dz, dout, out) if has_neuron else dout.nbytes,
        )

    def _fc(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        flops = 2 * layer.mult_adds(inputs) * self.images
        shapes = layer.weight_shapes(inputs)
        inps = [
            self.maps(name, features) for name, (features, _) in zip(layer.inputs, shapes, strict=True)
        ]
        weights, dweights = self._weights(layer, inputs)
        biases, out = self.array(layer.outputs), self.maps(layer.name, layer.outputs)
        dz = self.array(*out.shape, dtype=inps[0].dtype)
        last = len(inps) - 1
        peers = [None] * 3
        if self.with_torch:
            features = sum(shape[0] for shape in shapes)
            x, w = self.tensor(self.images, features), self.tensor(layer.outputs, features)
            b, dy = self.tensor(layer.outputs), self.tensor(self.images, layer.outputs)
            peers = [
                lambda: torch.nn.functional.linear(x, w, b),
                lambda: dy.T @ x,
                lambda: dy @ w,
            ]

        def forward():
            for i, inp in enumerate(inps):
                ops.fc_forward(out, inp, weights[i], biases if i == last else None, accumulate=i > 0)

        def weight_gradient():
            for i, inp in enumerate(inps):
                ops.fc_backward_weights(dweights[i], inp, dz)

        def data_gradient():
            for i, inp in enumerate(inps):
                ops.fc_backward_data(inp, dz, weights[i])

        nbytes = _nbytes(*inps, out)
        yield Case("forward + bias", forward, peers[0], flops, nbytes + _nbytes(*weights))
        yield Case("weight gradient", weight_gradient, peers[1], flops, nbytes + _nbytes(*dweights))
        nbytes = _nbytes(*inps, *weights, dz)
        yield Case("data gradient", data_gradient, peers[2], flops, nbytes)
        yield from self._bias(layer, output)

    def _lrn(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        s = layer.settings
        out, inp = (self.maps(layer.name, *output) for _ in range(2))
        peers = self._with_gradient(
            inputs[0],
            lambda x: torch.nn.functional.local_response_norm(
                x, s["size"], s["scale"], s["power"], s["min_div"]
            ),
        )
        yield Case("forward", lambda: ops.lrn_forward(out, inp, **s), peers[0], nbytes=2 * out.nbytes)
        dinp = self.maps(layer.name, *output)
        yield Case(
            "gradient", lambda: ops.lrn_backward(dinp, out, inp, **s), peers[1], nbytes=3 * out.nbytes
        )

    def _rnorm(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        s = layer.settings
        out, denominators, inp, dinp = (self.array(*output, self.images) for _ in range(4))

        def forward():
            ops.rnorm_forward(out, denominators, inp, **s)

        def gradient():
            ops.rnorm_backward(dinp, out, inp, denominators, **s)

        yield Case("forward", forward, nbytes=3 * out.nbytes)
        yield Case("gradient", gradient, nbytes=4 * out.nbytes)

    def _pool(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        s = {"kind": layer.kind, "size": layer.size, "stride": layer.stride, "start": layer.start}
        s["neuron"] = layer.neuron
        inp, out = self.maps(layer.name, *inputs[0]), self.maps(layer.name, *output)

        def peer(x):
            pool = getattr(torch.nn.functional, f"{layer.kind}_pool2d")
            y = pool(x, layer.size, layer.stride, ceil_mode=True)
            return y if layer.neuron == IDENT else y.relu()

        peers = self._with_gradient(inputs[0], peer)
        yield Case(
            "forward", lambda: ops.pool_forward(out, inp, **s), peers[0], nbytes=inp.nbytes + out.nbytes
        )
        dinp, dout = self.maps(layer.name, *inputs[0]), self.maps(layer.name, *output)
        yield Case(
            "gradient",
            lambda: ops.pool_backward(dinp, dout, inp, out, **s),
            peers[1],
            nbytes=2 * (inp.nbytes + out.nbytes),
        )

    def _dropout(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        s = {"keep": layer.keep, "seed": 0, "layer": layer.stream, "step": 0}
        out, inp = (self.maps(layer.name, *output) for _ in range(2))
        peers = self._with_gradient(
            output, lambda x: torch.nn.functional.dropout(x, 1 - layer.keep, training=True)
        )
        nbytes = 2 * out.nbytes
        yield Case("forward", lambda: ops.dropout_forward(out, inp, **s), peers[0], nbytes=nbytes)
        yield Case("gradient", lambda: ops.dropout_backward(inp, out, **s), peers[1], nbytes=nbytes)

    def _softmax(self, layer: Layer, inputs: list[Shape], output: Shape) -> Iterator[Case]:
        """With the log loss and, on our side, the top-1 and top-5 errors."""
        classes = output[0]
        inp, probs = (self.array(classes, self.images) for _ in range(2))
        labels = self._rng.integers(0, classes, self.images).astype(np.int32)
        ours, results = self.device.upload(labels), [self.array(self.images) for _ in range(3)]
        peers = (None, None)
        if self.with_torch:
            theirs = torch.from_numpy(labels).long().to(self.device.name)
            peers = self._with_gradient(
                (classes,), lambda x: torch.nn.functional.cross_entropy(x, theirs)
            )

        def forward():
            ops.softmax_forward(probs, inp)
            ops.logloss_forward(*results, probs, ours, k=min(5, classes))

        def gradient():
            ops.softmax_logloss_backward(inp, probs, ours, coeff=1)

        yield Case("forward + log loss", forward, peers[0], nbytes=3 * inp.nbytes)
        yield Case("gradient", gradient, peers[1], nbytes=2 * inp.nbytes)

    def sgd(self, shapes: list[Shape]) -> Case:
        """The update of all parameters of the net."""
        triples = [[self.array(*shape) for _ in range(3)] for shape in shapes]
        rounded = [None] * len(shapes)
        if self.device.precision == "bf16":  # of weights, not of biases
            rounded = [self.array(*s, dtype=BF16) if len(s) > 1 else None for s in shapes]
        peer = None
        if self.with_torch:
            weights = [self.tensor(*shape).contiguous().float() for shape in shapes]
            for w in weights:
                w.grad = torch.randn_like(w)
            peer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True).step

        settings = self.device.upload(np.array([(0.01, 0.9, 5e-4)] * len(shapes), np.float32))

        def ours():
            ops.sgd_step(*zip(*triples, strict=True), settings, rounded)

        nbytes = 5 * _nbytes(*(triple[0] for triple in triples)) + _nbytes(*filter(None, rounded))
        return Case("all parameters", ours, peer, nbytes=nbytes)

    def _weights(self, layer: Layer, inputs: list[Shape]) -> tuple[list[Array], list[Array]]:
        """As products read them, and their gradients."""
        shapes, dtype = layer.weight_shapes(inputs), self.dtypes[layer.inputs[0]]
        return [self.array(*s, dtype=dtype) for s in shapes], [self.array(*s) for s in shapes]

    def _with_gradient(self, shape: Shape, f: Callable) -> tuple[Run | None, Run | None]:
        """f on pictures of `shape`, and its gradient by autograd."""
        if not self.with_torch:
            return None, None
        x = self.tensor(self.images, *shape).requires_grad_()
        y = f(x)
        dy = torch.randn_like(y)
        return lambda: f(x), lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
