"""What each layer of a net costs one device, by the number of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

from alexnet_raw.layers.data import Data
from alexnet_raw.layers.fc import Fc
from alexnet_raw.net_spec import NetSpec

FLOAT = 4  # bytes of a weight or gradient
MOVES = 5  # a step reads weight, velocity and gradient, and writes two of them


@dataclass(frozen=True)
class Line:
    """Seconds of a pass: what it takes for any image, weights to be read, and for each."""

    fixed: float = 0.0
    per_image: float = 0.0

    def __call__(self, images: float) -> float:
        return self.fixed + self.per_image * images

    def times(self, factor: float) -> Line:
        return Line(self.fixed * factor, self.per_image * factor)

    @staticmethod
    def through(images: int, seconds: float, fewer: int, of_fewer: float) -> Line:
        """Through two measurements; through the first and 0 where more images took less than that."""
        if fewer == images:
            return Line(0.0, seconds / images)
        per_image = min(max(0.0, (seconds - of_fewer) / (images - fewer)), seconds / images)
        return Line(seconds - per_image * images, per_image)


@dataclass(frozen=True)
class LayerCost:
    """A layer's passes, and what of it travels.

    Attributes:
        forward, backward: seconds of the passes. update: seconds of the step of its parameters.
        parameters: numbers whose gradients are summed.
        to_fc: numbers of its output, for one image, that fully-connected layers read.
        after_fc: whether it is fully-connected, or behind such a layer.
        outputs: numbers of its output, for one image, if it is an fc layer, which the hybrid cuts.
    """

    name: str
    forward: Line
    backward: Line
    update: float = 0.0
    parameters: int = 0
    to_fc: int = 0
    after_fc: bool = False
    outputs: int = 0

    def times(self, factor: float) -> LayerCost:
        """The same on a device that needs `factor` times as long."""
        forward, backward = self.forward.times(factor), self.backward.times(factor)
        return replace(self, forward=forward, backward=backward, update=self.update * factor)


def step_on_one(layers: Sequence[LayerCost], images: float) -> float:
    """Seconds of a step on one device alone."""
    return sum(layer.forward(images) + layer.backward(images) + layer.update for layer in layers)


def from_rate(
    spec: NetSpec, images_per_second: float, images: int, number: int, flops_per_byte: float
) -> list[LayerCost]:
    """Layers of a device that takes steps of `images` images at this rate.

    What a layer has of the step follows from its multiply-adds and the bytes it moves: a device does
    `flops_per_byte` additions and multiplications in the time in which its memory moves a byte. In its
    backward pass a layer multiplies once for its weights and once for its inputs, and moves all twice.
    number: bytes of a number of the activations.
    """
    shapes, wanted = spec.shapes(pictures_shape(spec)), spec.wants_gradient()
    layers = []
    for layer in described(spec):
        of_net = spec[layer.name]
        if isinstance(of_net, Data):
            layers.append(layer)
            continue
        inputs = [shapes[name] for name in of_net.inputs]
        multiplied = 2 * of_net.mult_adds(inputs) / flops_per_byte
        moved = number * (prod(shapes[layer.name]) + sum(map(prod, inputs)))
        weights = FLOAT * layer.parameters
        products = of_net.learns + bool(wanted.intersection(of_net.inputs))
        forward = Line(weights, multiplied + moved)
        backward = Line(2 * weights, products * multiplied + 2 * moved)
        layers.append(replace(layer, forward=forward, backward=backward, update=MOVES * weights))
    factor = images / images_per_second / step_on_one(layers, images)
    return [layer.times(factor) for layer in layers]


def described(spec: NetSpec) -> list[LayerCost]:
    """The layers with what travels of them, in the net's order, and no times yet. No labels."""
    shapes, behind = spec.shapes(pictures_shape(spec)), spec.behind_fc()
    layers = []
    for layer in spec:
        if shapes[layer.name] == () and isinstance(layer, Data):
            continue
        learnt = layer.parameters([shapes[name] for name in layer.inputs])
        feeds_fc = any(isinstance(reader, Fc) for reader in spec.readers(layer.name))
        layers.append(
            LayerCost(
                layer.name,
                Line(),
                Line(),
                parameters=sum(p.size for p in learnt if not p.source),
                to_fc=prod(shapes[layer.name]) if feeds_fc else 0,
                after_fc=layer.name in behind,
                outputs=prod(shapes[layer.name]) if type(layer) is Fc else 0,
            )
        )
    return layers


def pictures_shape(spec: NetSpec) -> tuple[int, int, int] | None:
    """What the pictures are where the net's file does not tell, else None."""
    return None if spec.crop else (spec.channels or 3, 224, 224)


def save(path: str | Path, layers: Sequence[LayerCost], about: str) -> None:
    """Layers as JSON, with a line that says whose they are."""
    content = {"about": about, "layers": [asdict(layer) for layer in layers]}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def load(path: str | Path) -> tuple[list[LayerCost], str]:
    """What `save` wrote; ValueError if the file is another."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        lines = [
            {**row, "forward": Line(**row["forward"]), "backward": Line(**row["backward"])}
            for row in content["layers"]
        ]
        return [LayerCost(**line) for line in lines], content["about"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} holds no times of layers ({type(error).__name__}: {error}): "
            "write them with 'alexnet-raw plan --save-times FILE'"
        ) from None
