"""Names of classes as people read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from alexnet_raw.data.errors import shown

WORDNET = re.compile(r"(n\d{8})[\s_]+(?=\S)")  # ImageNet's ids before the words: n02123045 tabby, ...


def short_names(classes: Sequence[str], width: int = 24) -> list[str]:
    """One short name per class: the first of its synonyms, without the WordNet id, cut to ``width``.

    Names that would then be equal (ILSVRC has two cranes, a bird and a machine) keep their id, or
    stay as they are.
    """
    classes = [shown(name) for name in classes]
    short = [WORDNET.sub("", name).split(",")[0].strip() or name for name in classes]
    counts = Counter(short)
    for i, name in enumerate(short):
        if counts[name] > 1:
            id_ = WORDNET.match(classes[i])
            short[i] = f"{name} ({id_[1]})" if id_ else classes[i]
    return [cut(name, width) for name in short]


def readable(classes: Sequence[str], words: Sequence[str]) -> list[str]:
    """The classes, each with what a person calls it, where that is something else."""
    return [c if c == word else f"{c} {word}" for c, word in zip(classes, words, strict=True)]


def cut(text: str, width: int) -> str:
    """``text``, or its beginning and an ellipsis: ``width`` characters at most."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def output_names(classes: Sequence[str], outputs: int) -> list[str]:
    """A name for each output of a net, which may have more of them than there are classes."""
    return [*classes, *(f"(output {i})" for i in range(len(classes), outputs))]
