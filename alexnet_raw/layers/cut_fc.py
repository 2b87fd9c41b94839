"""A fully-connected layer that several ranks share: each has the weights of some of the outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alexnet_raw.device import Array
from alexnet_raw.layers.base import Shape, Site, flat
from alexnet_raw.layers.fc import Fc
from alexnet_raw.parameters import ParameterSpec

if TYPE_CHECKING:
    from alexnet_raw.parallel import Ranks


class CutFc(Fc):
    """An `Fc` of which this rank computes `shares[rank]`, some rows of the output.

    The others' rows are to be gathered after `forward`. The gradients of inputs that `backward`
    computes are this rank's part of a sum. parallel/hybrid.py does both.
    """

    @classmethod
    def of(cls, layer: Fc, team: Ranks) -> CutFc:
        """The same layer; its outputs are at least as many as the ranks of the team."""
        cut = cls.__new__(cls)
        vars(cut).update(vars(layer))
        cut.shares = [team.share(layer.outputs, rank) for rank in range(team.size)]
        cut.own = cut.shares[team.rank]
        return cut

    def parameters(self, inputs: list[Shape]) -> list[ParameterSpec]:
        return [replace(spec, part=self.own) for spec in super().parameters(inputs)]

    def rows(self, maps: Array) -> Array:
        return Array(flat(maps).data[self.own], maps.device)

    def backward_inputs(self, site: Site) -> None:
        """All gradients of inputs first: their sums go on beside those of the weights."""
        inputs = range(len(site.inputs))
        self._send_gradients(site, sorted(inputs, key=lambda i: site.own[i]))
        for i in inputs:
            self.backward_weights(site, i)
