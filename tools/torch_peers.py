"""The nets that PyTorch has, too: the peers of `tests/test_torch_parity.py` and of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch_alexnet import SIZES, AlexNet
from torch_cifar import Cifar10, Quick

TOWERS = "ab"
NETS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(AlexNet, sizes) for name, sizes in SIZES.items()},
    "cifar10-quick": Quick,
    "cifar10": partial(Cifar10, with_norms=False),
    "cifar10-lrn": partial(Cifar10, with_norms=True),
}


def check(name: str) -> None:
    """SystemExit where packaged net `name` has no peer."""
    if name not in NETS:
        raise SystemExit(
            f"net {name} has no peer in PyTorch, only {', '.join(NETS)} have: choose one of these, or "
            "measure it alone with --no-torch"
        )


def build(name: str) -> nn.Module:
    """The peer of a packaged net: pictures (images, 3, pixels, pixels) to logits (images, classes)."""
    check(name)
    return NETS[name]()


def part(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """The view of a peer's parameters that alexnet-raw calls `name`, say "conv3b.weights1".

    tensors: by PyTorch's names, the parameters or arrays of their shapes; shape: of the part, in
    alexnet-raw's order of axes, which the view has too.
    """
    layer, kind = name.split(".")
    tower = TOWERS.find(layer[-1])  # -1: it has none
    tensor = tensors[layer.rstrip(TOWERS) + (".bias" if kind == "biases" else ".weight")]
    if tower >= 0:
        tensor = tensor.chunk(2)[tower]
    if kind == "biases":
        return tensor
    inputs = shape[0]
    first = int(kind.removeprefix("weights")) * inputs
    return tensor[:, first : first + inputs].movedim(0, -1)


@torch.no_grad()
def load(model: nn.Module, values: Mapping[str, object]) -> None:
    """Give `model` the values, host arrays, that `Network.state` returns."""
    tensors = dict(model.named_parameters())
    for name, value in values.items():
        if not name.endswith(".velocity"):
            part(tensors, name, value.shape).copy_(torch.from_numpy(value))
