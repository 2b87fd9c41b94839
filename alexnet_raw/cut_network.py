"""A net whose fully-connected layers a team of ranks shares: parallel/hybrid.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from alexnet_raw.device import Array
from alexnet_raw.layers.base import flat
from alexnet_raw.layers.cut_fc import CutFc
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network, Pass
from alexnet_raw.parallel import Ranks
from alexnet_raw.parallel.hybrid import Arrival, Hybrid, Member, TeamReturns
from alexnet_raw.parallel.ranks import RanksError
from alexnet_raw.parameters import Parameter


class CutNetwork(Network):
    """Trains as `Network` does, by `train_step`, which all of the team must call. It has no `forward`:
    to evaluate, load its state in a `Network` of its `whole_spec`.

    Attributes:
        whole_spec: the net; `spec` has what this rank has of it.
    """

    def __init__(self, hybrid: Hybrid, spec: NetSpec, *arguments: Any, **settings: Any):
        """hybrid: the team, of this net alone. The others as `Network` has them, but input_gradient.

        RanksError where nothing can be cut, or where ranks would choose algorithms (`--tune`) for
        weights that all of the team have: they must have the same bits.
        """
        if settings.get("input_gradient"):
            raise ValueError("input_gradient is of whole nets")
        self._hybrid, self.whole_spec = hybrid, spec
        super().__init__(hybrid.cut(spec), *arguments, **settings)
        hybrid.plan(self.running, self._turns, self.places)
        for layer in self.spec:
            uncut = layer.name in hybrid.behind and not isinstance(layer, CutFc)
            if layer.learns and uncut and self.places[layer.name].tuner:
                raise RanksError(
                    f"--hybrid: all of a team compute {layer.name}, which must give the same bits on "
                    "each, but --tune lets each choose how: leave one of them out"
                )

    def forward(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("a net that ranks share is for train_step: load its state in a whole one")

    backward = update = forward

    def state(self) -> dict[str, np.ndarray]:
        """All of the team must call this, and gets the whole state."""
        state = super().state()
        for name, parameter in self.parameters.items():
            if parameter.part is not None:
                for key in (name, f"{name}.velocity"):
                    state[key] = np.concatenate(self._hybrid.team.gather(state[key]), axis=-1)
        return state

    def _train(self, moving: tuple[str, ...], *batch: Any) -> Any:
        self._optimizer.begin(moving)
        results: list[Any] = []
        self._learn(self._turns_of_team(*batch, results))
        return next(iter(results), None)

    def _as_it_runs(self, spec: NetSpec) -> NetSpec:
        return spec.with_fc_last()

    def _summed_over(self, layer: str) -> Ranks:
        return self._hybrid.summed_over(layer)

    def _send(self, name: str) -> None:
        layer = self._layers[name]
        if isinstance(layer, CutFc):
            out = self._now.outputs[name, self.places[name]]
            self._now.arrivals[name, self.places[name]] = self._hybrid.gather(layer, flat(out))
        super()._send(name)

    def _turns_of_team(
        self,
        images: Array | None,
        labels: Array,
        step: int,
        counts: Sequence[int],
        read: Callable[[], Any],
        results: list[Any],
    ) -> Iterator[set[Parameter]]:
        """Yields as `_backward`, once gradients of all members' images are in the parameters.

        results gets what read() gives.
        """
        hybrid, own, own_returns = self._hybrid, None, None
        members, behind = hybrid.members(counts), hybrid.behind
        self._begin_gradients()
        if images:
            self._check_batch(images, labels)
            share = next(m.share for m in members if m.rank == hybrid.team.rank)
            own = self._now = self._begin(images, labels, train=True)
            self._compute((s for s in own.sites if s.layer.name not in behind), step, share)
        if not members:
            yield from self._no_gradients(hybrid.turns)
        sums: list[Arrival] = []
        coming = self._hand_round(members, 0, own, labels)
        for i, member in enumerate(members):
            entries, coming = coming, self._hand_round(members, i + 1, own, labels)
            is_own = member.rank == hybrid.team.rank
            now = own if is_own else Pass(self._sites_for(member.images), True, True, "of another rank")
            self._now = now
            for name, (array, arrival) in entries.items():
                now.outputs[name, self.places[name]] = array
                now.arrivals[name, self.places[name]] = arrival
            self._compute((s for s in now.sites if s.layer.name in behind), step, member.share)
            if is_own:
                results.append(read())
            for arrival in sums:  # the last member's gradients lie where this one's come
                arrival.receive()
            returns = TeamReturns(hybrid, member, self._find(now))
            for finished in self._take(hybrid.turns, returns):
                if member is members[-1]:
                    yield finished
            sums = returns.finish()
            own_returns = returns if is_own else own_returns
        for arrival in sums:
            arrival.receive()
        if own is None:
            yield from self._no_gradients(hybrid.first_turns)
            return
        self._now = own
        own_returns.restore()
        yield from self._take(hybrid.first_turns, own_returns)

    def _hand_round(
        self, members: Sequence[Member], i: int, own: Pass | None, labels: Array
    ) -> dict[str, tuple[Array, Arrival]]:
        """What the layers behind read of a member's images, on its way from there to all the team."""
        coming = {}
        for name in self._hybrid.entries if i < len(members) else ():
            place, member = self.places[name], members[i]
            if member.rank == self._hybrid.team.rank:
                array = own.outputs[name, place]
            else:
                slot = self._outputs[name]._replace(name=("of another rank", name, i % 2))
                if self._layers[name].is_labels:
                    slot = slot._replace(shape=labels.shape[:-1], dtype=labels.dtype)
                array = self._memory.array(slot, member.images)
            collectives = self._hybrid.collectives(name)
            coming[name] = array, Arrival(collectives, collectives.broadcast(member.rank, array))
        return coming
