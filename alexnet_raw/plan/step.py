"""The time of a training step on many ranks.

Data parallel: each rank has the whole net and a share of the images; gradients are summed in buckets
(parallel/buckets.py) while the backward pass goes on, and parameters move when their sum has arrived.

Hybrid: A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks*
(arXiv:1404.5997), whose third scheme this is. Convolutions are data parallel. Of the fully-connected
layers each rank of a group keeps 1/G of the weights, so that their gradients need no sum within it; the
activations travel instead. In each of G turns the ranks of a group hand round 1/G of their images'
activations before each fully-connected layer, compute on as many images as one rank has, and sum the
gradients of these activations. While a turn is computed the next one's activations travel. Arithmetic
is what it was; a rank steps 1/G of the weights, and sums 1/G of the gradients with the other groups.
The softmax's two numbers for each image are left out.

A group of one rank is data parallel, one group of all is the paper's hybrid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    turns, traffic = [], 0.0
    if group > 1:
        cut = [layer for layer in layers if layer.after_fc]
        work = sum(layer.forward(images) + layer.backward(images) for layer in cut)
        traffic = _activations(layers, cluster, images * number, group)
        phase = _pipeline(work, traffic, group) if overlap else work + traffic
        gradients = sum(layer.parameters for layer in cut) * FLOAT / group
        update = sum(layer.update for layer in cut) / group
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


def _activations(layers: Iterable[LayerCost], cluster: Cluster, size: float, group: int) -> float:
    """Seconds in which what fully-connected layers read travels, and its gradients travel back.

    size: bytes of one number for each image of a rank.
    """
    team = cluster.group(group)
    there = sum(cluster.half(layer.to_fc * size, team) for layer in layers if layer.to_fc)
    return group * 2 * there


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
