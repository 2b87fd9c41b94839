"""What conv and local layers share: small filters over maps, in groups, with bias and neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from alexnet_raw import connections, initializers, ops
from alexnet_raw.device import Array
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Gradient, Shape, Site
from alexnet_raw.layers.weights import WeightLayer
from alexnet_raw.neuron import IDENT, Neuron


class FilterLayer(WeightLayer):
    """`filters` per group, filterSize x filterSize pixels, every `stride` pixels.

    Several inputs are summed, each with its own weights, sizes and groups, which must give the same
    number of outputs. A group sees channels/groups consecutive channels of an input; with `randSparse`
    it sees `filterChannels` random ones, which follow from the net's seed and the layer's name or which
    a function gives (`initCFunc`).
    """

    takes_dz = True

    forward_op: ClassVar[Callable]
    backward_data_op: ClassVar[Callable]
    backward_weights_op: ClassVar[Callable]

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        count = len(self.inputs)
        self.channels = keys.integers("channels", count, least=1)
        self.sizes = keys.integers("filterSize", count, least=1)
        self.strides = keys.integers("stride", count, 1, least=1)
        self.paddings = keys.integers("padding", count, 0, least=0)
        self.groups = keys.integers("groups", count, 1, least=1)
        filters = keys.integers_or_one("filters", count, least=1)
        totals = [number * groups for number, groups in zip(filters, self.groups, strict=True)]
        if len(set(totals)) > 1:
            raise keys.error(
                "filters", f"times groups is {totals}, but must be the same for all inputs"
            )
        self.filters = totals[0]
        self.random = keys.flags("randSparse", count, False)
        wanted = keys.integers("filterChannels", count, None, least=1)
        self.connection_function = self._read_function("initCFunc")
        self.filter_channels = [self._filter_channels(i, wanted[i]) for i in range(count)]

    def _filter_channels(self, i: int, wanted: int | None) -> int:
        """How many channels of input i a group sees, checked."""
        channels, groups = self.channels[i], self.groups[i]
        if channels % groups and (wanted is None or not self.random[i]):
            raise self.error("groups", f"{channels} channels cannot be cut in {groups} groups")
        usual = channels // groups
        wanted = wanted or usual
        if not self.random[i] and wanted != usual:
            raise self.error(
                "filterChannels",
                f"is {wanted}, but a group sees channels / groups = {usual}: "
                "add randSparse=1, or remove it",
            )
        if self.random[i] and groups == 1:
            raise self.error("randSparse", "needs several groups: use groups=2 or more, or remove it")
        if self.random[i] and (channels % wanted or groups * wanted % channels):
            raise self.error(
                "filterChannels",
                f"{groups} groups of {wanted} channels do not use all {channels} channels of "
                f"{self.inputs[i]!r} equally often: choose a divisor of {channels} of which "
                f"{groups} make a multiple of {channels}",
            )
        return wanted

    def output_shape(self, inputs: list[Shape]) -> Shape:
        outputs = []
        self.check_maps(inputs)
        for i, (_, *pixels) in enumerate(inputs):
            self.check_channels(self.channels[i], inputs, i)
            if self.paddings[i] >= self.sizes[i]:
                raise self.error(
                    "padding",
                    f"is {self.paddings[i]}, but must be less than filterSize, {self.sizes[i]}",
                )
            try:
                sizes = [
                    conv_output_size(p, self.sizes[i], self.strides[i], self.paddings[i])
                    for p in pixels
                ]
            except ValueError as e:
                raise self.error("filterSize", str(e)) from None
            outputs.append((self.filters, *sizes))
        if len(set(outputs)) > 1:
            raise self.error("inputs", f"inputs give outputs of different sizes: {outputs}")
        return outputs[0]

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        return [
            (channels, size, size, self.filters)
            for channels, size in zip(self.filter_channels, self.sizes, strict=True)
        ]

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        """The channels that all groups see, one group after the other."""
        return {
            f"seen{i}": (self.groups[i] * self.filter_channels[i], *inputs[i][1:])
            for i, is_random in enumerate(self.random)
            if is_random
        }

    def backward_scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        """Their gradient."""
        return {f"d{name}": shape for name, shape in self.scratch(inputs).items()}

    @property
    def saves_constants(self) -> bool:
        return bool(self.connection_function)

    def constants(self, seed: int, initialise: bool = True) -> dict[str, np.ndarray]:
        """Tables for ops.channels_gather, for each input with randSparse.

        seen (1, groups * filterChannels): which channel each is. places (uses, channels): where each
        channel is used, in order.
        """
        tables = {}
        for i, is_random in enumerate(self.random):
            if is_random:
                seen = self.connections(seed, i, initialise)
                tables[f"seen{i}"] = seen[None]
                places = np.argsort(seen, kind="stable").reshape(self.channels[i], -1).T
                tables[f"places{i}"] = places.astype(np.int32)
        return tables

    def connections(self, seed: int, i: int, initialise: bool = True) -> np.ndarray:
        """The channels of input i that its groups see, (groups * filterChannels,) int32: what initCFunc
        gives, or random ones."""
        sizes = (self.groups[i], self.channels[i], self.filter_channels[i])
        if not (self.connection_function and initialise):
            return connections.draw(seed, self.name, i, *sizes)
        try:
            return initializers.connections(self.connection_function, self.name, i, sizes)
        except ValueError as error:
            raise self.error("initCFunc", str(error)) from error

    def describe(self) -> str:
        size, stride, padding = self.sizes[0], self.strides[0], self.paddings[0]
        most = self.groups.index(max(self.groups))
        groups = f" groups {self.groups[most]}" if self.groups[most] > 1 else ""
        sparse = f" of {self.filter_channels[most]} random channels" if self.random[most] else ""
        return f"{self.filters} of {size}x{size} stride {stride} pad {padding}{groups}{sparse}"

    def forward_with(self, site: Site, biases: Array | None, neuron: Neuron) -> None:
        """site.out = neuron(filters on all inputs + biases)."""
        order = site.own_first()
        for i in order:
            inp = site.input(i)
            if self.random[i]:
                ops.channels_gather(self._seen(site, i), inp, site.constants[f"seen{i}"])
            self.forward_op(
                site.out,
                self._seen(site, i),
                site.operand(f"weights{i}"),
                biases if i == order[-1] else None,
                **self._geometry(i),
                neuron=neuron if i == order[-1] else IDENT,
                accumulate=i != order[0],
            )

    def backward(self, site: Site) -> None:
        dz, dbiases = site.dz or site.dout, site.gradient("biases")
        shared = site.accumulates("biases")

        def rows(array: Array) -> Array:
            """One for each bias."""
            return array.reshape(dbiases.size, array.size // dbiases.size)

        ops.bias_backward(
            dbiases.reshape(dbiases.size),
            *map(rows, (dz, site.dout, site.out)),
            neuron=site.neuron,
            accumulate=shared,
        )
        self.backward_inputs(site)

    def backward_weights(self, site: Site, i: int) -> None:
        name, dz = f"weights{i}", site.dz or site.dout
        shared = site.accumulates(name)
        self.backward_weights_op(
            site.gradient(name), self._seen(site, i), dz, **self._geometry(i), accumulate=shared
        )

    def backward_data(self, site: Site, i: int, wanted: Gradient) -> None:
        dinp, dz, weights = wanted.array, site.dz or site.dout, site.operand(f"weights{i}")
        if self.random[i]:
            dseen, places = site.scratch[f"dseen{i}"], site.constants[f"places{i}"]
            self.backward_data_op(dseen, dz, weights, **self._geometry(i))
            ops.channels_gather(dinp, dseen, places, accumulate=wanted.accumulate)
        else:
            self.backward_data_op(dinp, dz, weights, **self._geometry(i), accumulate=wanted.accumulate)

    def _seen(self, site: Site, i: int) -> Array:
        """The channels of input i in the order in which the groups see them."""
        return site.scratch[f"seen{i}"] if self.random[i] else site.inputs[i]

    def _geometry(self, i: int) -> dict[str, int]:
        return {"stride": self.strides[i], "padding": self.paddings[i], "groups": self.groups[i]}
