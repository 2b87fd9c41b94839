"""A pytest plugin for checkers that slow kernels down: a few cases of each test, and exact memory.

    PYTHONPATH=tools compute-sanitizer python -m pytest -p few_cases --cases 3 -k cuda:0

Of the selected cases of a test function, `--cases` that are spread evenly over them run. CuPy's memory
pool, in which arrays lie side by side, is turned off: each array is an allocation of its own, and a
checker sees where it ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=3, help="of each test function")


def pytest_configure() -> None:
    with contextlib.suppress(ImportError):
        import cupy

        cupy.cuda.set_allocator(None)


@pytest.hookimpl(trylast=True)  # after -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    functions: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        functions.setdefault((item.path, item.originalname), []).append(item)
    kept = {id(item) for cases in functions.values() for item in spread(cases, config.option.cases)}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


def spread(values: Sequence, count: int) -> list:
    """At most `count` of the values: the first, the last, and others at even distances."""
    if len(values) <= count:
        return list(values)
    return [values[i * (len(values) - 1) // max(1, count - 1)] for i in range(count)]
