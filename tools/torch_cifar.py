"""The packaged nets for CIFAR-10 in PyTorch, for `torch_peers`. Layers have the layer files' names."""

from __future__ import annotations

from torch import Tensor, nn


class Quick(nn.Module):
    """Net cifar10-quick: pictures (images, 3, 32, 32) to logits (images, 10)."""

    def __init__(self):
        super().__init__()
        self.pad1 = nn.ZeroPad2d((0, 1, 0, 1))  # outputs are rounded up: 17 x 17
        self.conv1 = nn.Conv2d(3, 48, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(48, 64, 3, padding=1)
        self.fc3 = nn.Linear(64 * 4 * 4, 256)
        self.fc4 = nn.Linear(256, 10)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(self.pad1(x))))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc4(self.relu(self.fc3(x.flatten(1))))


class Cifar10(nn.Module):
    """Net cifar10 or, with norms, cifar10-lrn: pictures (images, 3, 32, 32) to logits (images, 10)."""

    def __init__(self, with_norms: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc10 = nn.Linear(64 * 4 * 4, 10)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 2, ceil_mode=True)  # of the pixels that a clipped window has
        self.norm = MapNorm(3, 5e-5, 0.75) if with_norms else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.relu(self.pool(self.conv1(x))))
        x = self.norm(self.mean(self.relu(self.conv2(x))))
        x = self.mean(self.relu(self.conv3(x)))
        return self.fc10(x.flatten(1))


class MapNorm(nn.Module):
    """Response normalization over size x size pixels of a map; PyTorch has no operator for it.

    x / (1 + alpha * mean of the window's squares)^beta, with zeros beyond the edges.
    """

    def __init__(self, size: int, alpha: float, beta: float):
        super().__init__()
        self.squares = nn.AvgPool2d(size, 1, padding=size // 2)
        self.alpha, self.beta = alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        return x / (1 + self.alpha * self.squares(x.square())).pow(self.beta)
