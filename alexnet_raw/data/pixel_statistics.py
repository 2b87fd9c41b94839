"""The mean image and the principal components of the colours (paper, sections 2 and 4.1).

Everything is summed in whole numbers, exactly, so the result is the same to the bit for any number
of threads and any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .errors import DataError
from .parallel import default_threads, ordered_map
from .picture_folder import UNREADABLE

_CHUNK = 32  # pictures per job: their float64 pixels stay below 2^53 summed, and small in memory


@dataclass(frozen=True)
class Statistics:
    """Of pictures with pixel values 0..255."""

    mean_image: np.ndarray  # (C, H, W) float32
    channel_means: np.ndarray  # (C,) float32
    std_devs: np.ndarray  # (C,) float32, along each principal component, ascending
    eigenvectors: np.ndarray  # (C, C) float32, column i is component i, its largest entry positive
    pictures: int  # how many were looked at


def statistics(
    source, *, limit: int | None = 20_000, threads: int | None = None, progress: bool = True
) -> Statistics:
    """Statistics of a source, from at most `limit` pictures spread evenly over it (None: from all).

    20,000 pictures give the mean image to about half a grey level. Unreadable pictures are left
    out. Raises DataError if none can be read.
    """
    used = len(source) if limit is None else min(len(source), max(limit, 1))
    indices = np.linspace(0, len(source) - 1, used).round().astype(np.int64)
    chunks = np.array_split(indices, -(-used // _CHUNK))
    threads = threads or default_threads()
    height, width, channels = source.picture_shape
    count = 0
    total = np.zeros(source.picture_shape, np.int64)
    products = np.zeros((channels, channels), np.int64)

    def sums(chunk: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        pictures, labels = source.load(chunk)
        pictures = pictures[labels != UNREADABLE]
        pixels = pictures.reshape(-1, channels).astype(np.float64)
        return (
            len(pictures),
            pictures.sum(axis=0, dtype=np.int64),
            (pixels.T @ pixels).astype(np.int64),
        )

    results = ordered_map(sums, chunks, threads=threads, ahead=2 * threads)
    disable = None if progress else True
    bar = tqdm(total=used, desc="mean image", unit=" pictures", delay=2, leave=False, disable=disable)
    with bar:
        for number, chunk_total, chunk_products in results:
            count += number
            total += chunk_total
            products += chunk_products
            bar.update(number)
    if count == 0:
        raise DataError("no picture can be read, so there is no mean image")
    means = total.sum(axis=(0, 1)) / (count * height * width)
    covariance = products / (count * height * width) - np.outer(means, means)
    std_devs, eigenvectors = principal_components(covariance)
    return Statistics(
        mean_image=(total / count).transpose(2, 0, 1).astype(np.float32),
        channel_means=means.astype(np.float32),
        std_devs=std_devs.astype(np.float32),
        eigenvectors=eigenvectors.astype(np.float32),
        pictures=count,
    )


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, ascending, and eigenvectors as columns, their sign made definite."""
    variances, vectors = np.linalg.eigh(covariance)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(vectors))])
    return np.sqrt(variances.clip(min=0)), vectors
