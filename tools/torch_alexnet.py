"""AlexNet in PyTorch, for `torch_peers`.

Written from the paper and not from the layer files, so that the two can be held against each other.
The towers are the two groups of grouped convolutions: tower a is the first half of the channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Sizes:
    """What differs between nets of this topology; counts are of both towers together."""

    pixels: int
    classes: int
    convs: tuple[tuple[int, int, int, int], ...]  # filters, filter size, stride, padding
    hidden: int  # units of fc6 and of fc7
    norms: tuple[tuple[float, float, float], ...]  # alpha times the 5 channels of a window, beta, k


SIZES = {
    "alexnet": Sizes(
        pixels=224,
        classes=1000,
        convs=((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1)),
        hidden=4096,
        norms=((5e-4, 0.75, 2), (5e-4, 0.75, 2)),
    ),
    "alexnet-mini": Sizes(
        pixels=32,
        classes=10,
        convs=((32, 5, 2, 2), (64, 5, 1, 2), (96, 3, 1, 1), (96, 3, 1, 1), (64, 3, 1, 1)),
        hidden=384,
        norms=((5, 0.5, 20000), (0.5, 0.75, 1)),
    ),
}


class TowerNorm(nn.LocalResponseNorm):
    """Local response normalisation whose windows do not reach into the other tower."""

    def forward(self, x: Tensor) -> Tensor:
        images, channels, *pixels = x.shape
        return super().forward(x.reshape(2 * images, channels // 2, *pixels)).reshape(x.shape)


class AlexNet(nn.Module):
    """Pictures (images, 3, pixels, pixels) to logits (images, classes).

    Dropout is PyTorch's: it divides by what it keeps in training and is nothing in testing.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        channels, size, stride, padding = sizes.convs[0]
        # The rounded-up output: columns of zeros on the right and at the bottom only.
        beyond = -(sizes.pixels + 2 * padding - size) % stride
        self.pad1 = nn.ZeroPad2d((0, beyond, 0, beyond))
        inputs = 3
        for i, groups in enumerate((1, 2, 1, 2, 2)):  # conv3 sees both towers
            channels, size, stride, padding = sizes.convs[i]
            conv = nn.Conv2d(inputs, channels, size, stride, padding, groups=groups)
            self.add_module(f"conv{i + 1}", conv)
            inputs = channels
        self.norm1, self.norm2 = (TowerNorm(5, *constants) for constants in sizes.norms)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.fc6 = nn.Linear(inputs * _last_pixels(sizes) ** 2, sizes.hidden)
        self.fc7 = nn.Linear(sizes.hidden, sizes.hidden)
        self.fc8 = nn.Linear(sizes.hidden, sizes.classes)
        self.drop6, self.drop7 = nn.Dropout(0.5), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm1(self.relu(self.conv1(self.pad1(x)))))
        x = self.pool(self.norm2(self.relu(self.conv2(x))))
        x = self.relu(self.conv3(x))
        x = self.relu(self.conv4(x))
        x = self.pool(self.relu(self.conv5(x)))
        x = self.drop6(self.relu(self.fc6(x.flatten(1))))
        x = self.drop7(self.relu(self.fc7(x)))
        return self.fc8(x)


def _last_pixels(sizes: Sizes) -> int:
    """The side of the maps that fc6 reads."""
    pixels = sizes.pixels
    for i, (_, size, stride, padding) in enumerate(sizes.convs):
        pixels = 1 + math.ceil((pixels + 2 * padding - size) / stride)
        if i in (0, 1, 4):
            pixels = 1 + math.ceil((pixels - 3) / 2)
    return pixels
