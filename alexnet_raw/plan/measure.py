"""What each layer of a net costs on devices of this machine, measured."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from alexnet_raw.device import Device
from alexnet_raw.layers import Layer, Site
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network
from alexnet_raw.plan.costs import LayerCost, Line, described, pictures_shape

STEPS = 3  # that count, of each kind
PASSES = 2 * 2 * (STEPS + 1)  # of one `measure`: two batches, two kinds, the first step does not count

Seconds = dict[tuple[str, str], float]  # by kind of pass ("forward", "backward", "update") and layer


def measure(
    spec: NetSpec, devices: list[Device], images: int, tick: Callable[[], object] = lambda: None
) -> list[LayerCost]:
    """Layers of a net on these devices, which all together are one rank, for up to `images` images.

    Steps are measured twice, with `images` and with a quarter of them, layer by layer and undisturbed:
    the layers' times are scaled to those of undisturbed steps. tick: called PASSES times.
    """
    if spec.classes is None:
        raise ValueError(
            f"net {spec.name} has no softmax behind a fully-connected layer, for which labels could be "
            "made up: give --images-per-second"
        )
    net = Network(spec, devices, images, seed=1, input_shape=pictures_shape(spec))
    fewer = max(1, images // 4)
    full, part = (_seconds(net, count, tick) for count in (images, fewer))
    layers = described(spec)
    parameters = sum(layer.parameters for layer in layers)

    def line(*key: str) -> Line:
        return Line.through(images, full[key], fewer, part[key])

    return [
        replace(
            layer,
            forward=line("forward", layer.name),
            backward=line("backward", layer.name),
            update=full["update", ""] * layer.parameters / parameters,
        )
        for layer in layers
    ]


def _seconds(net: Network, count: int, tick: Callable[[], object]) -> Seconds:
    """Medians for batches of `count` random images, which add up to that of a step."""
    rng = np.random.default_rng(1)
    shape = (*net.shapes[net.spec.pictures.name], count)
    images = net.input_device.upload(rng.standard_normal(shape, np.float32))
    labels = net.input_device.upload(rng.integers(0, net.spec.classes, count).astype(np.int32))
    whole: list[float] = []
    by_part: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(STEPS + 1):
        whole.append(_time(net, lambda: net.train_step(images, labels, 0, 0.0)))
        tick()
        with _timed(net, by_part):
            net.forward(images, labels, train=True)
            net.backward()
            by_part["update", ""].append(_time(net, lambda: net.update(0.0)))
        tick()
        if number == 0:  # memory is allocated, algorithms are chosen
            whole.clear()
            by_part.clear()
    medians = {key: statistics.median(seconds) for key, seconds in by_part.items()}
    factor = statistics.median(whole) / sum(medians.values())
    return defaultdict(float, {key: seconds * factor for key, seconds in medians.items()})


def _time(net: Network, work: Callable[[], object]) -> float:
    for device in net.devices:
        device.synchronize()
    begin = time.perf_counter()
    work()
    for device in net.devices:
        device.synchronize()
    return time.perf_counter() - begin


@contextmanager
def _timed(net: Network, by_part: dict[tuple[str, str], list[float]]) -> Iterator[None]:
    """Each layer's passes are timed, one after the other."""

    def timed(kind: str, layer: Layer) -> Callable[[Site], None]:
        run = getattr(layer, kind)
        return lambda site: by_part[kind, layer.name].append(_time(net, lambda: run(site)))

    for layer in net.running:
        layer.forward, layer.backward = timed("forward", layer), timed("backward", layer)
    try:
        yield
    finally:
        for layer in net.running:
            del layer.forward, layer.backward
