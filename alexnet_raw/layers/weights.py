"""What layers with weights share: one weight array per input, one for the biases, their rates."""

from __future__ import annotations

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
        for key in ("initWFunc", "initBFunc", "weightSource"):
            keys.only(key)
        self.weight_rates, self.bias_rate = read_rates(params, count)

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        """Shape of the weights of each input."""
        raise NotImplementedError

    def bias_shape(self, inputs: list[Shape]) -> Shape:
        """Shape of the biases: one for each output of the weights."""
        return (self.weight_shapes(inputs)[0][-1],)

    def parameters(self, inputs: list[Shape]) -> list[ParameterSpec]:
        specs = [
            ParameterSpec(f"weights{i}", shape, self.weight_rates[i], stdev=self.init_weights[i])
            for i, shape in enumerate(self.weight_shapes(inputs))
        ]
        biases = self.bias_shape(inputs)
        return [*specs, ParameterSpec("biases", biases, self.bias_rate, constant=self.init_bias)]


def read_rates(params: Keys, count: int) -> tuple[list[Rate], Rate]:
    """Rates of the weights of `count` inputs, and of the biases."""
    weight_schedule = params.parsed("schedW", Schedule.parse, CONSTANT)
    bias_schedule = params.parsed("schedB", Schedule.parse, CONSTANT)
    eps = params.numbers("epsW", count, least=0)
    momenta = params.numbers("momW", count, least=0)
    decays = params.numbers("wc", count, 0.0, least=0)
    weights = [Rate(eps[i], momenta[i], decays[i], weight_schedule) for i in range(count)]
    bias = Rate(params.number("epsB", least=0), params.number("momB", least=0), 0.0, bias_schedule)
    for key in ("wball", "superEps", "superMom", "wcNormMax", "wcNormMin"):
        params.only(key, "0")
    for key in ("quantF", "quantB"):
        params.only(key)
    return weights, bias
