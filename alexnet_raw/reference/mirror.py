"""Mirror images, cuda-convnet's `href`. Its gradient is the mirror image of the output's gradient."""

from __future__ import annotations

import numpy as np


def forward(inp: np.ndarray) -> np.ndarray:
    """inp (channels, height, width, images) with left and right exchanged."""
    return np.asarray(inp, np.float64)[:, :, ::-1]
