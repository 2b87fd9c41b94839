"""What layers with weights share: one weight array per input, one for the biases, their rates."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

import numpy as np

from alexnet_raw import initializers
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Gradient, Layer, Shape, Site
from alexnet_raw.parameters import Limit, ParameterSpec, Rate
from alexnet_raw.schedule import CONSTANT, Schedule


class WeightLayer(Layer):
    """Weights for each input; what they make of the inputs is summed, then bias and neuron.

    Exchanges between devices go on meanwhile: the sum begins with the inputs of the layer's own gpu=,
    and the gradients of the others are computed first.
    """

    input_count = None
    can_accumulate = True
    overlaps = True
    learns = True
    fuses = ("relu", "tanh")

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        count = len(self.inputs)
        self.init_weights = keys.numbers("initW", count, 0.01, least=0)
        self.init_bias = keys.number("initB", 0.0)
        self.weight_function = self._read_function("initWFunc")
        self.bias_function = self._read_function("initBFunc")
        self.weight_sources = _read_sources(keys, self.name, count)
        self.weight_rates, self.bias_rate = read_rates(params, count)
        self.balls = params.numbers("wball", count, 0.0, least=0)
        self.least_norms = params.numbers("wcNormMin", count, 0.0, least=0)
        self.most_norms = params.numbers("wcNormMax", count, 0.0, least=0)
        for least, most in zip(self.least_norms, self.most_norms, strict=True):
            if least > most:
                raise params.error("wcNormMin", f"is {least:g}, above wcNormMax, {most:g}")

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
            source, limits = self.weight_sources[i], self._limits(i, shape)
            specs.append(ParameterSpec(name, shape, rate, stdev, 0.0, function, source, limits))
        shape = self.bias_shape(inputs)
        matrix = self.bias_matrix(prod(shape))
        function = self._function("initBFunc", self.bias_function, "biases", None, matrix, shape)
        return [*specs, ParameterSpec("biases", shape, self.bias_rate, 0.0, self.init_bias, function)]

    def backward_weights(self, site: Site, i: int) -> None:
        """The gradient of the weights of input i, from site.dz or else site.dout."""
        raise NotImplementedError

    def backward_data(self, site: Site, i: int, wanted: Gradient) -> None:
        """The gradient of input i."""
        raise NotImplementedError

    def backward_inputs(self, site: Site) -> None:
        """Gradients of all weights and inputs; those that others wait for first."""
        inputs = range(len(site.inputs))
        self._send_gradients(site, [i for i in inputs if not site.own[i]])
        for i in inputs:
            self.backward_weights(site, i)
        self._send_gradients(site, [i for i in inputs if site.own[i]])

    def _send_gradients(self, site: Site, inputs: list[int]) -> None:
        for i in inputs:
            if wanted := site.dinputs[i]:
                wanted.begin()
                self.backward_data(site, i, wanted)
                wanted.end()

    def _limits(self, i: int, shape: Shape) -> tuple[Limit, ...]:
        """Of the filters of input i: cuda-convnet's numbers are for each of a filter's weights.

        wcNormMin and wcNormMax limit sqrt(sum of (w - mean)^2) / weights, wball |w| / weights.
        """
        size = prod(shape[-4:-1])  # of one filter, also of a local layer's
        limits = []
        if most := self.most_norms[i]:
            limits.append(Limit(self.least_norms[i] * size, most * size, centred=True))
        if ball := self.balls[i]:
            limits.append(Limit(0.0, ball * size))
        return tuple(limits)

    def bias_matrix(self, size: int) -> tuple[int, int]:
        """The shape in which an initBFunc gives the biases, as in cuda-convnet."""
        return (size, 1)

    def _read_function(self, key: str) -> str:
        """A function that gives first values, as the file names it; "" if it names none."""
        if text := self.keys.text(key, ""):
            self.keys.parsed(key, initializers.parse)
        return text

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
    weight_schedules = _read_eps(params, "epsW", "schedW", count)
    [(bias_eps, bias_schedule)] = _read_eps(params, "epsB", "schedB", 1)
    momenta = params.numbers("momW", count, least=0)
    decays = params.numbers("wc", count, 0.0, least=0)
    weights = [
        Rate(eps, momenta[i], decays[i], schedule) for i, (eps, schedule) in enumerate(weight_schedules)
    ]
    bias = Rate(bias_eps, params.number("momB", least=0), 0.0, bias_schedule)
    params.only("updatePeriod", "1")
    for key in ("superEps", "superMom"):
        if params.number(key, 0.0):
            params.note(key, "of an update rule that cuda-convnet never finished: without effect")
    return weights, bias


def _read_eps(params: Keys, key: str, sched: str, count: int) -> list[tuple[float, Schedule]]:
    """A rate and its schedule for each input.

    The 2012 files write numbers, and a schedule under a key of its own; cuda-convnet2 writes both as
    `dexp[base=0.01;tgtFactor=250;numSteps=4]`.
    """
    schedule = params.parsed(sched, Schedule.parse, CONSTANT)
    if "[" not in params.text(key, ""):
        return [(eps, schedule) for eps in params.numbers(key, count, least=0)]
    rates = [params.parsed(key, lambda text, i=i: _read_rate(text, i)) for i in range(count)]
    if params.text(key).count("[") != count:
        raise params.error(key, f"the layer has {count} inputs: give one schedule for each")
    return rates


def _read_rate(text: str, i: int) -> tuple[float, Schedule]:
    """Rate i of a comma list in cuda-convnet2's form."""
    kind, _, inside = text.split(",")[i].strip().removesuffix("]").partition("[")
    base, *others = inside.split(";")
    name, _, value = base.partition("=")
    if name.strip() != "base" or not float(value) >= 0:
        raise ValueError(f"{text!r}: write dexp[base=0.01;tgtFactor=250;numSteps=4] or a number")
    if kind == "const":
        return float(value), CONSTANT
    return float(value), Schedule.parse(f"{kind}[{','.join(others)}]")


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
