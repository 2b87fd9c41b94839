"""Errors of a net on a set of pictures: top-1 and top-5, from the centre crop or from ten views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alexnet_raw import data
from alexnet_raw.model import Model
from alexnet_raw.parallel import ALONE, Ranks

TOP = 5  # the paper's second figure is the top-5 error
TINY = np.finfo(np.float32).tiny  # the log loss of a probability that underflowed stays finite

# Gets a batch, which may be without its pictures, and (pictures, outputs) float32.
Visitor = Callable[[data.Batch, np.ndarray], None]


@dataclass
class Score:
    """Means over pictures: ``loss`` in nats, ``top1`` and ``topk`` errors in 0..1."""

    loss: float = 0.0
    top1: float = 0.0
    topk: float = 0.0
    pictures: int = 0

    def add(self, other: Score) -> None:
        """Takes the means over further pictures in."""
        total = self.pictures + other.pictures
        for name in ("loss", "top1", "topk"):
            own, more = getattr(self, name), getattr(other, name)
            mean = own * (self.pictures / total) + more * (other.pictures / total)
            setattr(self, name, mean)
        self.pictures = total

    def judge(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Takes further pictures in: their probabilities (pictures, outputs), labels (pictures,)."""
        own = probabilities[np.arange(len(labels)), labels]
        loss = float(np.mean(-np.log(np.maximum(own, TINY), dtype=np.float64)))
        top1, topk = (float(np.mean(errors(probabilities, labels, k))) for k in (1, TOP))
        self.add(Score(loss, top1, topk, len(labels)))


def evaluate(
    model: Model,
    loader: data.Loader,
    views: int = 1,
    tick: Callable[[int], bool] = lambda pictures: True,
    visitors: Sequence[Visitor] = (),
    ranks: Ranks = ALONE,
) -> Score | None:
    """The score on all pictures of a loader (made with train=False, and for these ranks).

    ``tick`` is called with the number of pictures after each batch (of each rank); where it returns
    False, to all ranks alike, the evaluation is given up and None returned. ``visitors``, of any rank,
    see each batch and its probabilities.
    """
    wanted = any(ranks.gather(bool(visitors)))

    def judged() -> Iterator[tuple[Score, data.Batch, np.ndarray | None]]:
        for batch in loader.epoch(0):
            probabilities = model.probabilities(batch, views)
            score = Score()
            score.judge(probabilities, batch.labels)
            seen = replace(batch, pictures=batch.pictures[:0])
            yield score, seen, probabilities if wanted else None

    whole = Score()
    for results in ranks.rounds(judged()):
        before = whole.pictures
        for score, batch, probabilities in results:
            whole.add(score)
            for visit in visitors:
                visit(batch, probabilities)
        if not tick(whole.pictures - before):
            return None
    return whole


def errors(probabilities: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """1 where the label is not among the k most probable classes, else 0; (pictures,) float64.

    ``probabilities`` (pictures, classes), ``labels`` (pictures,). Equal probabilities share their
    places, as in cuda-convnet: a net that says the same of all classes is right k/classes times.
    """
    own = probabilities[np.arange(len(labels)), labels][:, None]
    greater = np.sum(probabilities > own, axis=1)
    equal = np.sum(probabilities == own, axis=1)  # 0 where it is not a number: never right
    return 1 - np.where(equal > 0, np.clip((k - greater) / np.maximum(equal, 1), 0, 1), 0)


def outputs(model: Model) -> int:
    """How many probabilities a model gives for a picture: at least as many as it has classes."""
    return int(np.prod(model.net.shapes[model.spec.outlet]))
