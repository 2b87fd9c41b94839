"""What layers with weights share: one weight array per input, one for the biases, their rates."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod, sqrt

import numpy as np

from alexnet_raw import initializers
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape
from alexnet_raw.parameters import ParameterSpec, Rate
from alexnet_raw.schedule import CONSTANT, Schedule


class WeightLayer(Layer):
    """Weights for each input; what they make of the inputs is summed, then bias and neuron."""

    input_count = None
    can_accumulate = True
    learns = True
    fuses = ("relu", "tanh")

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        count = len(self.inputs)
        self.init_weights = keys.numbers("initW", count, 0.01, least=0)
        self.init_bias = keys.number("initB", 0.0)
        self.weight_function = self.bias_function = ""
        if keys.parsed("initWFunc", initializers.parse, None):
            self.weight_function = keys.text("initWFunc")
        if keys.parsed("initBFunc", initializers.parse, None):
            self.bias_function = keys.text("initBFunc")
        self.weight_sources = _read_sources(keys, self.name, count)
        self.weight_rates, self.bias_rate = read_rates(params, count)
        self.norms = read_norms(params, count)

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        """Shape of the weights of each input."""
        raise NotImplementedError

    def bias_shape(self, inputs: list[Shape]) -> Shape:
        """Shape of the biases: one for each output of the weights."""
        return (self.weight_shapes(inputs)[0][-1],)

    def parameters(self, inputs: list[Shape]) -> list[ParameterSpec]:
        shapes = self.weight_shapes(inputs)
        specs = []
        for i, shape in enumerate(shapes):
            name, matrix = f"weights{i}", (prod(shape[:-1]), shape[-1])
            function = self._function("initWFunc", self.weight_function, name, i, matrix, shape)
            rate, stdev = self.weight_rates[i], self.init_weights[i]
            source, norms = self.weight_sources[i], self.norms[i]
            specs.append(ParameterSpec(name, shape, rate, stdev, 0.0, function, source, norms))
        shape = self.bias_shape(inputs)
        matrix = self.bias_matrix(prod(shape))
        function = self._function("initBFunc", self.bias_function, "biases", None, matrix, shape)
        return [*specs, ParameterSpec("biases", shape, self.bias_rate, 0.0, self.init_bias, function)]

    def bias_matrix(self, size: int) -> tuple[int, int]:
        """The shape in which an initBFunc gives the biases, as in cuda-convnet."""
        return (size, 1)

    def _function(
        self, key: str, text: str, name: str, index: int | None, matrix: tuple[int, int], shape: Shape
    ) -> Callable[[], np.ndarray] | None:
        """What gives a parameter its first values, if the file names a function."""

        def call() -> np.ndarray:
            try:
                return initializers.initial(text, self.name, name, index, matrix).reshape(shape)
            except ValueError as error:
                raise self.error(key, str(error)) from error

        return call if text else None


def read_rates(params: Keys, count: int) -> tuple[list[Rate], Rate]:
    """Rates of the weights of `count` inputs, and of the biases."""
    weight_schedule = params.parsed("schedW", Schedule.parse, CONSTANT)
    bias_schedule = params.parsed("schedB", Schedule.parse, CONSTANT)
    eps = params.numbers("epsW", count, least=0)
    momenta = params.numbers("momW", count, least=0)
    decays = params.numbers("wc", count, 0.0, least=0)
    weights = [Rate(eps[i], momenta[i], decays[i], weight_schedule) for i in range(count)]
    bias = Rate(params.number("epsB", least=0), params.number("momB", least=0), 0.0, bias_schedule)
    for key in ("superEps", "superMom"):  # of replicas that learn apart; here is one
        if params.number(key, 0.0):
            params.note(key, "has no effect on a net without replicas")
    for key in ("quantF", "quantB"):
        if params.choice(key, ("half",), None):
            params.note(key, "activations are exchanged between devices in full precision")
    return weights, bias


def read_norms(params: Keys, count: int) -> list[tuple[float, float]]:
    """Least and largest length of the filters of each input; wball limits its square."""
    balls = params.numbers("wball", count, 0.0, least=0)
    least = params.numbers("wcNormMin", count, 0.0, least=0)
    most = params.numbers("wcNormMax", count, 0.0, least=0)
    for i in range(count):
        if balls[i]:
            most[i] = min(sqrt(balls[i]), most[i] or sqrt(balls[i]))
        if most[i] and least[i] > most[i]:
            raise params.error("wcNormMin", f"is {least[i]:g}, above the largest length, {most[i]:g}")
    return list(zip(least, most, strict=True))


def _read_sources(keys: Keys, layer: str, count: int) -> list[str]:
    """Whose weights the inputs share: `weightSource=conv1[0],` is conv1.weights0 and "", its own."""
    names = keys.names("weightSource", [""] * count)
    if len(names) != count:
        raise keys.error("weightSource", f"{len(names)} values, but the layer has {count} inputs")
    sources = []
    for i, name in enumerate(names):
        match = re.fullmatch(r"([^\s\[]+)(?:\[(\d+)\])?", name)
        if name and not match:
            raise keys.error("weightSource", f"{name!r}: write layer[index] or layer")
        if match and match[1] == layer and int(match[2] or 0) >= i:
            raise keys.error("weightSource", f"{name!r} is not among the inputs before")
        sources.append(f"{match[1]}.weights{match[2] or 0}" if match else "")
    return sources
