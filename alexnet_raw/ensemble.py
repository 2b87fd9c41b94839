"""Several nets' probabilities averaged (paper, table 2: 5 nets 38.1 / 16.4, 7 nets 36.7 / 15.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alexnet_raw.evaluation import TINY, Score
from alexnet_raw.probabilities import chunks
from alexnet_raw.row_file import RowFile

ACCURACY = 1e-7  # nats, to which `fit_weights` finds the least loss


class EnsembleError(ValueError):
    """Members that cannot be averaged; the message names the two files and the difference."""


def check_agree(members: Sequence[RowFile], names: Sequence[str]) -> None:
    """Refuses members that are not of the same pictures, labels and classes in the same order."""
    first = members[0]
    for member, name in zip(members[1:], names[1:], strict=True):
        pair = f"{names[0]} and {name}"
        if member.metadata["classes"] != first.metadata["classes"]:
            raise EnsembleError(f"{pair}: {_difference(first, member, 'classes')}")
        if member.shape[1] != first.shape[1]:
            raise EnsembleError(
                f"{pair}: the nets have {first.shape[1]} and {member.shape[1]} outputs; train them "
                "with the same --classes"
            )
        if len(member) != len(first):
            raise EnsembleError(
                f"{pair}: are of {len(first):,} and {len(member):,} pictures; evaluate both on the "
                "same --data and --split"
            )
        if member.names != first.names:
            raise EnsembleError(f"{pair}: {_difference(first, member, 'pictures')}")
        if not np.array_equal(member.labels, first.labels):
            row = int(np.flatnonzero(member.labels != first.labels)[0])
            raise EnsembleError(
                f"{pair}: picture {first.names[row]} has label {first.labels[row]} in one and "
                f"{member.labels[row]} in the other"
            )


def average(members: Sequence[RowFile], weights: np.ndarray, here: slice) -> np.ndarray:
    """(pictures, outputs) float64: the weighted mean of the rows ``here``."""
    rows = (member.rows(here.start, here.stop) for member in members)
    return sum(w * row.astype(np.float64) for w, row in zip(weights, rows, strict=True))


def score(members: Sequence[RowFile], weights: np.ndarray, keep: np.ndarray) -> Score:
    """Loss and errors of the weighted mean, on the pictures where ``keep`` (pictures,) is True."""
    result = Score()
    for here in chunks(len(members[0])):
        if keep[here].any():
            rows = average(members, weights, here)[keep[here]]
            result.judge(rows, members[0].labels[here][keep[here]])
    return result


def own_probabilities(members: Sequence[RowFile]) -> np.ndarray:
    """(pictures, members) float64: what each member gives the true class."""
    labels = members[0].labels
    own = np.empty((len(labels), len(members)))
    for here in chunks(len(labels)):
        rows = np.arange(here.stop - here.start)
        for k, member in enumerate(members):
            own[here, k] = member.rows(here.start, here.stop)[rows, labels[here]]
    if not np.isfinite(own).all():
        k = int(np.flatnonzero(~np.isfinite(own).all(axis=0))[0])
        raise EnsembleError(f"{members[k].path}: some probabilities are not numbers; leave it out")
    return own


def fit_weights(own: np.ndarray) -> np.ndarray:
    """The weights w >= 0 of sum 1 with the least log loss, mean over pictures of -ln(own @ w).

    ``own`` (pictures, members): the probability that each member gives the true class; the other
    classes do not matter. It is the fit of mixture weights by expectation maximisation, here

        w_k <- w_k g_k,   g_k = mean over pictures of own_k / (own @ w)

    (Dempster, Laird, Rubin 1977). The problem is convex and the loss falls with each step. Because
    sum(w g) = 1, the loss is above the least possible one by at most ln(max g) (Cover 1984), which
    tells when to stop.
    """
    own = np.maximum(own, TINY)
    weights = np.full(own.shape[1], 1 / own.shape[1])
    for _ in range(100_000):
        growth = np.mean(own / (own @ weights)[:, None], axis=0)
        if growth.max() <= 1 + ACCURACY:
            break
        weights *= growth
    return weights / weights.sum()


def _difference(first: RowFile, other: RowFile, what: str) -> str:
    """The first class or picture in which two files differ."""
    of = (lambda f: f.metadata["classes"]) if what == "classes" else (lambda f: f.names)
    one, two = of(first), of(other)
    if len(one) != len(two):
        return f"are of {len(one):,} and {len(two):,} {what}"
    row = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    same = " (the same ones in another order)" if sorted(one) == sorted(two) else ""
    return (
        f"their {what} differ{same}: number {row + 1} is {one[row]!r} in one, {two[row]!r} in the other"
    )
