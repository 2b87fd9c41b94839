"""Fully-connected layer whose weights are summed along a tree of the classes, cuda-convnet's `treefc`.

The tree comes from the data set: class_tree.py. Here it is the key `tree`, which the 2012 files do not
have: the parent of each node, the classes first, in the order of their labels; -1 for the root.

In the 2012 release (src/softmaxtree.cu) inner nodes learn at epsW and wc divided by the number of their
classes; the one published tree net says that it did not, and neither do they here.
"""

from __future__ import annotations

import copy

import numpy as np

from alexnet_raw import class_tree, ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Shape, Site, flat, register
from alexnet_raw.layers.fc import Fc
from alexnet_raw.parameters import ParameterSpec


@register("treefc")
class TreeFc(Fc):
    """One output for each class: (its own weights + those of the nodes above it) . inputs + bias.

    The weights of the classes (features, classes) start as N(0, initW), those of the `nodes` (inner
    nodes, features) as 0. As in the release (softmaxtree.cu), rate and decay of a node are divided by
    the number of classes below it.
    """

    input_count = 1
    takes_bf16 = False
    can_accumulate = False  # the gradient is a sum of two
    overlaps = False

    def read_outputs(self, keys: Keys) -> int | None:
        """The number of classes, if the tree is known already."""
        self.parents = keys.parsed("tree", class_tree.parse_parents, None)
        if any(self.weight_sources):
            raise keys.error("weightSource", "treefc has weights of its own only: remove it")
        return None if self.parents is None else class_tree.class_count(self.parents)

    def with_tree(self, parents: list[int]) -> TreeFc:
        """The same layer with this tree."""
        layer = copy.copy(self)
        layer.parents, layer.outputs = parents, class_tree.class_count(parents)
        return layer

    def resized(self, outputs: int) -> Fc:
        raise self.error("tree", f"has {self.outputs} classes, but {outputs} outputs are wanted")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        if self.parents is None:
            raise self.error("tree", class_tree.MISSING)
        return super().output_shape(inputs)

    def parameters(self, inputs: list[Shape]) -> list[ParameterSpec]:
        weights, biases = super().parameters(inputs)
        shares = tuple(1 / class_tree.paths(self.parents).sum(axis=1, dtype=float))
        nodes = ParameterSpec("nodes", (self._inner, weights.shape[0]), weights.rate, shares=shares)
        return [weights, nodes, biases]

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"nodes": (self._inner,)}

    def backward_scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"dnodes": (self._inner,)}

    def constants(self, seed: int, initialise: bool = True) -> dict[str, np.ndarray]:
        return {"paths": class_tree.paths(self.parents)}

    def mult_adds(self, inputs: list[Shape]) -> int:
        features = inputs[0][0] * inputs[0][1] * inputs[0][2]
        return features * len(self.parents) + self._inner * self.outputs

    def describe(self) -> str:
        return f"{self.outputs} classes, {self._inner} nodes above them"

    def forward(self, site: Site) -> None:
        inp, out, nodes = flat(site.inputs[0]), flat(site.out), site.scratch["nodes"]
        ops.fc_backward_data(nodes, inp, site.value("nodes"))  # weights . inputs: a node is a row
        ops.fc_forward(out, inp, site.value("weights0"))
        paths, biases = site.constants["paths"], site.value("biases")
        ops.fc_forward(out, nodes, paths, biases, neuron=self.neuron, accumulate=True)

    def backward(self, site: Site) -> None:
        inp, dz, dnodes = flat(site.inputs[0]), flat(site.dout), site.scratch["dnodes"]
        more = {name: {"accumulate": site.accumulates(name)} for name in site.parameters}
        out, dbiases = flat(site.out), site.gradient("biases")
        ops.bias_backward(dbiases, dz, dz, out, neuron=self.neuron, **more["biases"])
        ops.fc_backward_data(dnodes, dz, site.constants["paths"])
        ops.fc_backward_weights(site.gradient("nodes"), dnodes, inp, **more["nodes"])
        ops.fc_backward_weights(site.gradient("weights0"), inp, dz, **more["weights0"])
        if wanted := site.dinputs[0]:
            dinp = flat(wanted.array)
            ops.fc_backward_data(dinp, dz, site.value("weights0"))
            ops.fc_forward(dinp, dnodes, site.value("nodes"), accumulate=True)

    @property
    def _inner(self) -> int:
        """Nodes that are not classes."""
        return len(self.parents) - self.outputs
