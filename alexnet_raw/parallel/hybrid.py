"""Data parallel convolutions, model parallel fully-connected layers.

A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks* (arXiv:1404.5997),
whose second scheme this is. The first layers, up to those that fully-connected ones read, run as where
ranks only share batches. Of the fully-connected layers each rank of a team has the weights of some
outputs, and one member's images after the other's go through them on all: what the fully-connected
layers read of these comes from the member, and its gradient, a sum over the team, goes back there.
Gradients of those weights need no sum within the team.

What travels meanwhile: while the images of one member are computed, the next one's are on their way; an
output is gathered until somebody reads it, and the gradient of an input is summed while that of the
weights is computed. Of layers in between, dropout or softmax, every rank computes all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from alexnet_raw.device import Array, Device
from alexnet_raw.exchange import Find, Returns, Route
from alexnet_raw.layers.base import Gradient
from alexnet_raw.layers.cut_fc import CutFc
from alexnet_raw.layers.fc import Fc
from alexnet_raw.memory import Slot
from alexnet_raw.parallel.ranks import Collectives, Ranks, RanksError

if TYPE_CHECKING:
    from alexnet_raw.backward_plan import Turn
    from alexnet_raw.net_spec import NetSpec


class Hybrid:
    """How one net is cut over a team.

    Attributes:
        team: the ranks that share the fully-connected layers.
        counterparts: those that have the same part as this one, of other teams.

    Once `plan` has seen the net that runs:
        behind: the fully-connected layers, and all behind them.
        turns, first_turns: of these layers in the backward pass, and of those in front of them.
        entries: what the layers behind read of others: maps, labels.
        parts: maps whose gradients, from the layers behind, are sums over the team.
        targets: of entries that have one, where the gradient belongs.
        last_routes: of each of the parts the last of its gradients' routes, by whose name one finds it.
    """

    def __init__(self, ranks: Ranks, size: int):
        """size: how many ranks are a team. RanksError if that does not divide their number."""
        if ranks.size % size:
            raise RanksError(
                f"--hybrid {size} does not divide the number of ranks, {ranks.size}: give one that does"
            )
        self.ranks = ranks
        self.team, self.counterparts = ranks.teams(size)

    def cut(self, spec: NetSpec) -> NetSpec:
        """The net with what this rank has of its fully-connected layers; RanksError if none can be cut.

        Not cut are layers with fewer outputs than the team has ranks; those that have the weights of
        one that is not cut; and those that read a map which one behind a fully-connected layer reads
        that is not cut: the gradient of a map is a sum over the team, or is not.
        """
        behind = spec.behind_fc()
        cut = {layer.name for layer in spec if type(layer) is Fc and layer.outputs >= self.team.size}
        wanted, count = spec.wants_gradient(), None
        readers = {
            name: behind.intersection(reader.name for reader in spec.readers(name)) for name in wanted
        }
        alike = [*readers.values(), *self._sharing(spec, behind)]
        while count != len(cut):  # what binds one layer may bind others
            count = len(cut)
            for layers in alike:
                if layers - cut:
                    cut -= layers
        if not cut:
            raise RanksError(
                f"--hybrid: net {spec.name} has no fully-connected layer that can be cut over "
                f"{self.team.size} ranks: leave it out"
            )
        layers = (CutFc.of(layer, self.team) if layer.name in cut else layer for layer in spec)
        return replace(spec, layers=tuple(layers))

    def _sharing(self, spec: NetSpec, behind: set[str]) -> Iterator[set[str]]:
        """Pairs of layers behind that have the same weights; RanksError where only one is there."""
        for layer in spec:
            for source in filter(None, getattr(layer, "weight_sources", ())):
                owner = source.rpartition(".")[0]
                if (owner in behind) != (layer.name in behind):
                    raise RanksError(
                        f"--hybrid: {layer.name} and {owner} have the same weights, but only one of "
                        "them is behind a fully-connected layer: leave it out"
                    )
                if owner in behind:
                    yield {owner, layer.name}

    def plan(self, spec: NetSpec, turns: Sequence[Turn], places: Mapping[str, Device]) -> None:
        """For the net that runs, its fully-connected layers last: where the team works together."""
        self.behind = spec.behind_fc()
        self._places = places
        self.turns = [turn for turn in turns if turn.layer.name in self.behind]
        self.first_turns = [turn for turn in turns if turn.layer.name not in self.behind]
        top = [layer for layer in spec if layer.name in self.behind]
        read = dict.fromkeys(name for layer in top for name in layer.inputs)
        self.entries = [name for name in read if name not in self.behind]
        wanted = spec.wants_gradient()
        self.parts = {
            name
            for name in read
            if name in wanted and all(isinstance(layer, CutFc) for layer in top if name in layer.inputs)
        }
        self.targets: dict[str, Slot] = {}
        last: dict[str, Any] = {}
        for turn in self.turns:
            for name, route in zip(turn.layer.inputs, turn.routes, strict=True):
                if route and name in self.entries:
                    self.targets[name] = route.target
                if route and name in self.parts:
                    last[name] = route.name
        self.last_routes = {route: name for name, route in last.items()}
        for name in [*self.entries, *(layer.name for layer in top)]:
            self.collectives(name)  # made now, by all alike, not when some have images and others none

    def summed_over(self, layer: str) -> Ranks:
        """Whose gradients of a layer's parameters are summed."""
        return self.counterparts if layer in self.behind else self.ranks

    def collectives(self, name: str) -> Collectives:
        """Of the team, for arrays where layer `name` is."""
        return self.team.collectives(self._places[name])

    def gather(self, layer: CutFc, out: Array) -> Arrival:
        """The outputs of all ranks, once they are received."""
        collectives = self.collectives(layer.name)
        return Arrival(collectives, collectives.gather(out, layer.shares))

    def members(self, counts: Sequence[int]) -> list[Member]:
        """Those of the team that have images of a batch of which the ranks have so many."""
        first = self.ranks.rank - self.team.rank
        return [
            Member(i, counts[first + i], (sum(counts[: first + i]), sum(counts)))
            for i in range(self.team.size)
            if counts[first + i]
        ]


@dataclass(frozen=True)
class Member:
    """A rank of the team, and its images in a step: how many, and their `ops.Share` of the batch."""

    rank: int
    images: int
    share: tuple[int, int]


class Arrival:
    """What collectives have begun, as the readers of an array wait for a `Delivery`."""

    def __init__(self, collectives: Collectives, begun: Any):
        self._collectives, self._begun = collectives, begun
        self._is_due = True

    def receive(self) -> None:
        """What the array's device is given from now on finds it there."""
        if self._is_due:
            self._is_due = False
            self._collectives.wait(self._begun)

    release = receive  # who sends it has its own images' rows in the same array


class TeamReturns(Returns):
    """The gradients of a member's images in the layers behind, back to what these read."""

    def __init__(self, hybrid: Hybrid, member: Member, find: Find):
        super().__init__(find)
        self._hybrid, self._member = hybrid, member
        self._sums: dict[str, Arrival] = {}

    def gradient(self, route: Route) -> Gradient:
        gradient = super().gradient(route)
        name = self._hybrid.last_routes.get(route.name)
        if name and route.is_in_place:  # nothing is to be sent, so `end` does nothing else
            gradient.end = partial(self._begin_sum, name, route.target)
        return gradient

    def begin(self, turn: Turn) -> None:
        super().begin(turn)
        name = turn.layer.name
        if name in self._hybrid.parts and name in self._hybrid.behind:
            if name not in self._sums:
                self._begin_sum(name, turn.dout)
            self._sums.pop(name).receive()

    def receive(self, routes: Iterable[Route]) -> None:
        """Those of them that `finish` has not received before."""
        super().receive([route for route in routes if route.name in self._coming])

    def finish(self) -> list[Arrival]:
        """Sends the gradients of what the member's layers in front put out on their way to it."""
        while self._coming:
            self._coming.pop(next(iter(self._coming))).receive()
        for name, target in self._hybrid.targets.items():
            if name in self._hybrid.parts and name not in self._sums:
                self._begin_sum(name, target)
            elif name not in self._hybrid.parts and self._is_own:
                self._kept(target).copy_from(self._find(target))
        return [*self._sums.values()]

    def restore(self) -> None:
        """Puts the gradients that came to this rank where its layers in front expect them."""
        for target in self._hybrid.targets.values():
            self._find(target).copy_from(self._kept(target))

    @property
    def _is_own(self) -> bool:
        return self._member.rank == self._hybrid.team.rank

    def _kept(self, target: Slot) -> Array:
        """For the own images' gradient, while other members' are computed."""
        return self._find(target._replace(name=("of the own images", target.name)))

    def _begin_sum(self, name: str, slot: Slot) -> None:
        collectives, array = self._hybrid.collectives(name), self._find(slot)
        if name not in self._hybrid.entries:
            begun = collectives.sum(array)
        else:
            total = self._kept(slot) if self._is_own else array
            begun = collectives.sum_to(self._member.rank, array, total)
        self._sums[name] = Arrival(collectives, begun)
