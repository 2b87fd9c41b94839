"""The time of a training step on many ranks.

Data parallel: each rank has the whole net and a share of the images; gradients are summed in buckets
(parallel/buckets.py) while the backward pass goes on, and parameters move when their sum has arrived.

Hybrid: A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks*
(arXiv:1404.5997), whose second scheme this is, as parallel/hybrid.py runs it. Convolutions are data
parallel. Of the fully-connected layers each rank of a group keeps 1/G of the outputs' weights, so that
their gradients need no sum within it; the activations travel instead. In each of G turns the images of
one rank go through these layers on all. What comes to them from the layers before, and its gradient
back, travels while another turn is computed; outputs are gathered before anybody reads them; gradients
of activations between fully-connected layers are summed while those of the weights, about half of a
backward pass, are computed. Layers behind that are not fully-connected are computed by all, in each
turn. Arithmetic of the others is what it was; a rank steps 1/G of their weights, and sums 1/G of the
gradients with the other groups.

A group of one rank is data parallel, one group of all is the paper's hybrid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from alexnet_raw.parallel.buckets import BYTES
from alexnet_raw.plan.cluster import Cluster, Team
from alexnet_raw.plan.costs import FLOAT, LayerCost


@dataclass(frozen=True)
class Step:
    """Seconds of a step, and of what a rank computes in it; the rest is waiting for others."""

    seconds: float
    compute: float
    group: int = 1

    @property
    def exposed(self) -> float:
        """Seconds of communication that no computation hides."""
        return max(0.0, self.seconds - self.compute)  # sums of floats differ in their last bit


@dataclass(frozen=True)
class _Turn:
    """A part of the backward pass, and the gradients it makes: bytes, who sums, seconds to step."""

    seconds: float
    gradients: float
    team: Team
    update: float
    is_last: bool = False  # before others sum, or at the end


def step(
    layers: Sequence[LayerCost],
    cluster: Cluster,
    ranks: int,
    images: int,
    group: int = 1,
    number: int = FLOAT,
    overlap: bool = True,
) -> Step:
    """A step of `ranks` ranks with `images` images each; ValueError if they do not fill their nodes.

    layers: as `costs` describes them, in the net's order. group: ranks that share the fully-connected
    layers, one of `cluster.groups`. number: bytes of a number of the activations. overlap: whether sums
    go on beside computation; they do not where the same cores must do both.
    """
    everyone = cluster.everyone(ranks)
    whole = layers if group == 1 else [layer for layer in layers if not layer.after_fc]
    turns = []
    if group > 1:
        behind = [layer for layer in layers if layer.after_fc]
        parts = [1 / group if _is_cut(layer, group) else 1 for layer in behind]  # that a rank has
        passes = [layer.forward(images) + layer.backward(images) for layer in behind]
        work = sum(group * part * seconds for part, seconds in zip(parts, passes, strict=True))
        phase = _phase(layers, cluster, images, number, group, work, overlap)
        own = [*zip(parts, behind, strict=True)]
        gradients = sum(part * layer.parameters for part, layer in own) * FLOAT
        update = sum(part * layer.update for part, layer in own)
        turns.append(_Turn(phase, gradients, cluster.counterparts(ranks, group), update, True))
    for layer in reversed(whole):
        gradients = layer.parameters * FLOAT
        last = layer is whole[0]
        turns.append(_Turn(layer.backward(images), gradients, everyone, layer.update, last))
    forward = sum(layer.forward(images) for layer in whole)
    compute = forward + sum(turn.seconds + turn.update for turn in turns)
    if group > 1:
        compute -= phase - work
    return Step(_timeline(forward, turns, cluster, overlap), compute, group)


def best_hybrid(
    layers: Sequence[LayerCost], cluster: Cluster, ranks: int, images: int, **how: bool | int
) -> Step | None:
    """The fastest of the hybrids; None where there is none: one rank, or no fully-connected layer."""
    if not any(layer.after_fc for layer in layers):
        return None
    groups = cluster.groups(ranks)[1:]
    steps = (step(layers, cluster, ranks, images, group, **how) for group in groups)
    return min(steps, key=lambda step: step.seconds, default=None)


def _is_cut(layer: LayerCost, group: int) -> bool:
    """As in `Hybrid.cut`, but for layers that have to remain whole for the sake of others."""
    return layer.outputs >= group


def _phase(
    layers: Sequence[LayerCost],
    cluster: Cluster,
    images: int,
    number: int,
    group: int,
    work: float,
    overlap: bool,
) -> float:
    """Seconds of a group's turns in the layers behind; work: those of them that are computation."""
    team, size = cluster.group(group), images * number

    def travels(way: Callable[[float, Team], float], numbers: Iterable[int]) -> float:
        return group * sum(way(n * size, team) for n in numbers if n)

    into = 2 * travels(cluster.broadcast, (lay.to_fc for lay in layers if not lay.after_fc))
    cut = [layer for layer in layers if _is_cut(layer, group)]
    gathered = travels(cluster.half, (layer.outputs for layer in cut))
    summed = travels(cluster.all_reduce, (layer.to_fc for layer in layers if layer.after_fc))
    if not overlap:
        return work + into + gathered + summed
    beside = sum(layer.backward(images) / 2 for layer in cut)
    return _pipeline(work + gathered + max(0.0, summed - beside), into, group)


def _pipeline(work: float, traffic: float, turns: int) -> float:
    """Both in turns: the first one's traffic hides behind nothing, nor does the last one's work."""
    return (traffic + work + (turns - 1) * max(traffic, work)) / turns


def _timeline(forward: float, turns: Sequence[_Turn], cluster: Cluster, overlap: bool) -> float:
    """When the step ends.

    Sums have the network one after the other. A bucket's parameters move once its sum is there, between
    two turns or after the last one.
    """
    now, network = forward, 0.0  # when the device, and when the network, has nothing more to do
    size = update = 0.0  # of the bucket that is filled
    arriving: list[tuple[float, float]] = []
    for turn in turns:
        now += turn.seconds
        size, update = size + turn.gradients, update + turn.update
        if size >= BYTES or (turn.is_last and size):
            network = max(network, now) + cluster.all_reduce(size, turn.team)
            arriving.append((network, update))
            size = update = 0.0
            if not overlap:
                now = network
        while arriving and arriving[0][0] <= now:
            now += arriving.pop(0)[1]
    for arrival, seconds in arriving:
        now = max(now, arrival) + seconds
    return now
