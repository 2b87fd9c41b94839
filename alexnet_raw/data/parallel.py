"""Background threads that keep order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def default_threads() -> int:
    """One thread per core that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Job], Result], jobs: Iterable[Job], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Yield function(job) for each job, in the order of the jobs, whatever thread computes it.

    At most `ahead` results are computed or waiting beyond the one that the caller holds. An
    exception in `function` is raised here, in its turn. Closing the iterator (or leaving it to the
    garbage collector) drops what has not begun and waits only for what has.
    """
    jobs = iter(jobs)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="alexnet-data")
    try:
        waiting = deque(pool.submit(function, job) for job in islice(jobs, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, job) for job in islice(jobs, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
