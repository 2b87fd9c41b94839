"""Whole nets against the same nets in PyTorch, float64: logits, every gradient, ten steps of training.

Tolerances are of relative errors in the 2-norm. A sum of n float32 products errs by about
sqrt(n) * 6e-8, and an element of these nets has ten such sums of up to 9216 terms behind it, twenty
with the way back: 1e-5 and 2e-5 are what float32 can promise. Measured: 1.5e-6 of logits, 4e-6 of
gradients (PyTorch itself in float32: 5e-6), 1.2e-6 of ten losses.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.device import Device
from alexnet_raw.network import Network
from alexnet_raw.parameters import Rate
from alexnet_raw.reference import dropout
from tests.conftest import cuda_available, relative_error

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'alexnet-raw[torch]'")
import torch_peers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

FORWARD, BACKWARD, TRAINING = 1e-5, 2e-5, 1e-5


@dataclass(frozen=True)
class Case:
    """A packaged net, and the order in which its peer's forward comes to ReLUs and max-pooling."""

    name: str
    batch_size: int
    rate: float
    relus: str  # the layers that end with one
    pools: str  # input:output
    logits: str


ALEXNET = (
    "conv1 conv2 conv3 conv4 conv5 fc6 fc7",
    "norm1:pool1 norm2:pool2 conv5:pool5",
    "fc8",
)
CIFAR10 = ("pool1 conv2 conv3", "conv1:pool1", "fc10")
CASES = [
    Case("alexnet", 4, 0.0001, *ALEXNET),
    Case("alexnet-mini", 32, 0.02, *ALEXNET),
    Case("cifar10-quick", 32, 0.00002, "conv1 conv2 fc3", "conv1:pool1 conv2:pool2", "fc4"),
    Case("cifar10", 16, 0.0001, *CIFAR10),
    Case("cifar10-lrn", 16, 0.0001, *CIFAR10),
]
DEVICES = ["cpu", "cuda:0"] if cuda_available() else ["cpu"]
SEED, STEP = 7, 3


@dataclass
class Pair:
    """One net here and in PyTorch, with equal weights, and a batch for both."""

    case: Case
    net: Network
    peer: nn.Module
    images: np.ndarray  # (channels, height, width, N)
    labels: np.ndarray

    def forward(self, train: bool, step: int = STEP) -> None:
        device = self.net.input_device
        self.net.forward(device.upload(self.images), device.upload(self.labels), train, step)

    def peer_forward(self, train: bool, step: int = STEP) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and mean loss."""
        self.peer.train(train)
        for layer in self.peer.children():
            if isinstance(layer, SharedDropout):
                layer.step = step
        logits = self.peer(torch.from_numpy(np.moveaxis(self.images, -1, 0).astype(np.float64)))
        return logits, F.cross_entropy(logits, torch.from_numpy(self.labels).long())

    def activations(self, layer: str) -> torch.Tensor:
        """(N, channels of both towers, height, width) of our last forward."""
        towers = [part.name for part in self.net.spec if part.name.rstrip(torch_peers.TOWERS) == layer]
        return torch.from_numpy(np.concatenate([self.net.activations(name) for name in towers], axis=1))

    def share_decisions(self) -> None:
        """Let the peer's next forward use the units that ours let through in the last one, and the
        winners of its pooling windows.

        About one unit in a million is so near to a ReLU's edge, or to the winner of its window, that
        rounding decides. It moves a whole gradient of that unit, for 1e-3 of a layer's gradient.
        """
        pools = [pool.split(":") for pool in self.case.pools.split()]
        self.peer.pool = SharedPool([tuple(map(self.activations, names)) for names in pools])
        self.peer.relu = SharedRelu([self.activations(name) for name in self.case.relus.split()])

    def peer_gradient(self, name: str) -> np.ndarray:
        gradients = {name: p.grad for name, p in self.peer.named_parameters()}
        return torch_peers.part(gradients, name, self.net.parameters[name].value.shape).numpy()


class SharedDropout(nn.Module):
    """Our masks in training, the paper's factor in testing."""

    def __init__(self, net: Network, layer: str):
        super().__init__()
        self.layers = [net.spec[layer + tower] for tower in torch_peers.TOWERS]
        self.step = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x * self.layers[0].keep
        units = x.shape[1] // len(self.layers)
        masks = [
            dropout.mask((units, len(x)), layer.keep, SEED, layer.stream, self.step)
            for layer in self.layers
        ]
        return x * torch.from_numpy(np.concatenate(masks).T.astype(np.float64))


class SharedRelu(nn.Module):
    """ReLU that lets through what ours let through, call by call."""

    def __init__(self, outputs: list[torch.Tensor]):
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (next(self.outputs).reshape(x.shape) > 0)


class SharedPool(nn.Module):
    """Max-pooling whose gradients go where ours go, call by call: to all that equal the maximum."""

    def __init__(self, inputs_and_outputs: list[tuple[torch.Tensor, torch.Tensor]]):
        super().__init__()
        self.inputs_and_outputs = iter(inputs_and_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Pool.apply(x, *next(self.inputs_and_outputs))


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, our_input, our_output):
        ctx.save_for_backward(our_input, our_output)
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    @staticmethod
    def backward(ctx, dout):
        inp, out = ctx.saved_tensors
        height, width = inp.shape[2:]
        whole = [2 * outputs + 1 for outputs in out.shape[2:]]  # pixels of all windows
        padding = (0, whole[1] - width, 0, whole[0] - height)
        maps = F.pad(inp, padding, value=-torch.inf).flatten(0, 1)[:, None]
        winners = F.unfold(maps, 3, stride=2) == out.reshape(len(maps), 1, -1)
        dmaps = F.fold(winners * dout.reshape(len(maps), 1, -1), whole, 3, stride=2)
        return dmaps[:, 0, :height, :width].reshape(inp.shape), None, None


@pytest.fixture(params=itertools.product(DEVICES, CASES), ids=lambda p: f"{p[0]}-{p[1].name}")
def pair(request) -> Pair:
    """Fixed seed: the net, with weights that keep activations of about equal size, so that each layer
    shows in the result."""
    device, case = request.param
    spec = layer_file.load_packaged(case.name)
    net = Network(spec, [Device(device)], case.batch_size, SEED)
    rng = np.random.default_rng(SEED)
    for parameter in net.parameters.values():
        draws = rng.standard_normal(parameter.value.shape, np.float32)
        inputs = 100 if draws.ndim == 1 else draws[..., 0].size
        parameter.value.copy_from(draws / np.float32(np.sqrt(inputs)))
    peer = torch_peers.build(case.name)
    torch_peers.load(peer, net.state())
    for name, module in peer.named_children():
        if isinstance(module, nn.Dropout):
            setattr(peer, name, SharedDropout(net, name))
    images = 20 * rng.standard_normal((*net.shapes["data"], case.batch_size), np.float32)
    labels = rng.integers(0, spec.classes, case.batch_size).astype(np.int32)
    return Pair(case, net, peer.double(), images, labels)


def test_forward(pair):
    for train in (True, False):
        pair.forward(train)
        logits, loss = pair.peer_forward(train)
        ours = pair.net.activations(pair.case.logits).reshape(logits.shape)
        assert relative_error(ours, logits.detach().numpy()) < FORWARD
        # A softmax turns absolute errors of logits into relative ones.
        tolerance = FORWARD * max(1, np.abs(ours).max())
        probabilities = logits.detach().softmax(1).numpy()
        assert relative_error(pair.net.probabilities(), probabilities) < tolerance
        assert pair.net.costs()["logprob"].loss == pytest.approx(loss.item(), rel=FORWARD)


def test_every_gradient(pair):
    pair.forward(train=True)
    pair.net.backward()
    pair.share_decisions()
    _, loss = pair.peer_forward(train=True)
    loss.backward()
    errors = {
        name: relative_error(parameter.gradient, pair.peer_gradient(name))
        for name, parameter in pair.net.parameters.items()
    }
    wrong = {name: f"{error:.2g}" for name, error in errors.items() if not error < BACKWARD}
    assert not wrong, f"relative errors of {BACKWARD:g} and more: {wrong}"


def test_ten_steps(pair):
    """Momentum, weight decay of the weights only, and the two rates of weights and biases."""
    net, peer = pair.net, pair.peer
    weight_rate = Rate(pair.case.rate, momentum=0.9, decay=0.0005)
    bias_rate = Rate(2 * pair.case.rate, momentum=0.9)
    for p in net.parameters.values():
        p.rate = bias_rate if p.name.endswith("biases") else weight_rate
    weights = [p for p in peer.parameters() if p.ndim > 1]
    biases = [p for p in peer.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "lr": weight_rate.eps, "weight_decay": weight_rate.decay},
        {"params": biases, "lr": bias_rate.eps},
    ]
    sgd = torch.optim.SGD(groups, momentum=0.9)
    ours, theirs = [], []
    for step in range(10):
        pair.forward(True, step)
        net.backward()
        net.update(progress=0)
        ours.append(net.costs()["logprob"].loss)
        pair.share_decisions()
        sgd.zero_grad()
        _, loss = pair.peer_forward(True, step)
        loss.backward()
        sgd.step()
        theirs.append(loss.item())
    print(ours, theirs)
    print(np.abs(np.array(ours) / theirs - 1))
    assert theirs[-1] < 0.9 * theirs[0], "the batch was not learned, so that little was compared"
    assert ours == pytest.approx(theirs, rel=TRAINING)
