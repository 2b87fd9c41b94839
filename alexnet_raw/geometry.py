"""Output sizes of convolution and pooling, as cuda-convnet rounds them: up.

Rounding up means that the last window may hang over the right and bottom edge. Convolution
sees zeros there (AlexNet's 224 -> 55 needs three such columns), pooling clips the window.
"""

from __future__ import annotations


def conv_output_size(size: int, filter: int, stride: int, padding: int) -> int:
    """Positions of a `filter` wide window: 1 + ceil((2*padding + size - filter) / stride).

    224, 11, 4, 0 -> 55. ValueError when the filter is wider than the padded picture.
    """
    span = 2 * padding + size - filter
    if span < 0:
        raise ValueError(
            f"a {filter} wide filter does not fit {size} pixels with padding {padding}: "
            f"use a picture of at least {filter - 2 * padding} pixels or more padding"
        )
    return 1 + _ceil_div(span, stride)


def pool_output_size(size: int, window: int, stride: int, start: int = 0) -> int:
    """Positions of a `window` that starts at `start`: 1 + ceil((size - start - window) / stride).

    55, 3, 2 -> 27. A window wider than the picture is clipped, so there is always one.
    """
    return 1 + max(0, _ceil_div(size - start - window, stride))


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
