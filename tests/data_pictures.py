"""Pictures of every kind, made for the data tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def encode(image: Image.Image | np.ndarray, kind: str = "JPEG", **options) -> bytes:
    """The bytes of a picture file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: red grows to the right, green downwards, blue is even: what scaling
    and JPEG hardly change."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[..., 0] = np.linspace(20, 235, width)
    pixels[..., 1] = np.linspace(20, 235, height)[:, None]
    return pixels


def write_folder(root, counts: dict[str, int], rng: np.random.Generator, size: int = 40) -> None:
    """root/CLASS/N.png, noise pictures all different."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
            (root / name / f"{i}.png").write_bytes(encode(pixels, "PNG"))
