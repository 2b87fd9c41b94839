"""From pictures to the network's input: crop, mirror image, mean and colour noise, section 4.1
of the paper.
"""

from __future__ import annotations

import numpy as np


def forward(
    pictures: np.ndarray,
    offsets: np.ndarray,
    flips: np.ndarray,
    mean: np.ndarray,
    noise: np.ndarray,
    size: tuple[int, int],
    scale: float = 1.0,
) -> np.ndarray:
    """pictures (N, H, W, C) uint8 to (C, h, w, N), where (h, w) = size.

    offsets (N, 2): top and left of each crop; flips (N,): not 0 for the mirror image of the crop;
    mean (C, H, W): subtracted from the whole picture, before it is cropped; noise (N, C): added
    to every pixel of a picture's channel, the paper's [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T; scale:
    multiplies the result (the authors' runs divided by 1.1).
    """
    n, _, _, channels = pictures.shape
    height, width = size
    out = np.empty((channels, height, width, n))
    for i in range(n):
        picture = pictures[i].transpose(2, 0, 1) - mean.astype(np.float64)
        top, left = offsets[i]
        crop = picture[:, top : top + height, left : left + width]
        if flips[i]:
            crop = crop[:, :, ::-1]
        out[:, :, :, i] = (crop + noise[i][:, None, None]) * scale
    return out
