"""How much of a first-layer filter is colour (paper, fig. 3: tower a hardly any, tower b much)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ColourMeasure:
    """Shares in 0..1 of a tower: the median and mean over its filters, and that of all their energy.

    The last counts strong filters more. Weak ones that never learned are noise, which scores 2/3.
    """

    median: float
    mean: float
    whole: float

    def __str__(self) -> str:
        return (
            f"colour: {self.median:.0%} of a filter's energy (median; mean {self.mean:.0%}), "
            f"{self.whole:.0%} of all"
        )


def colour_shares(bank: np.ndarray) -> np.ndarray:
    """The part of each filter's energy that lies off the grey axis: (filters,) in 0..1.

    bank (3, height, width, filters), red, green, blue. At each pixel the weights are a vector
    (r, g, b), of which the part along (1, 1, 1) answers to brightness and the rest to colour alone: it
    gives 0 wherever the picture is grey. The share is sum |rest|^2 / sum |vector|^2 over the filter's
    pixels: 0 for a filter that takes all channels alike, 1 for one of opponent colours, 2/3 on average
    for random weights. NaN for a filter of zeros.
    """
    energy = np.sum(np.square(bank, dtype=np.float64), axis=(0, 1, 2))
    grey = 3 * np.sum(np.square(bank.mean(axis=0, dtype=np.float64)), axis=(0, 1))
    with np.errstate(invalid="ignore"):
        return np.clip(1 - grey / energy, 0, 1)


def measure(bank: np.ndarray) -> ColourMeasure:
    """Of all filters of a tower; NaN where all are zeros."""
    shares = colour_shares(bank)
    energy = np.sum(np.square(bank, dtype=np.float64), axis=(0, 1, 2))
    alive = energy > 0
    if not alive.any():
        return ColourMeasure(np.nan, np.nan, np.nan)
    shares, energy = shares[alive], energy[alive]
    whole = float(np.sum(shares * energy) / np.sum(energy))
    return ColourMeasure(float(np.median(shares)), float(np.mean(shares)), whole)
