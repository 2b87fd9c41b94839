"""The CUDA-on-CPU layer itself: barriers, warps, orders, limits, errors, on kernels made for it.

The kernels are in execution_kernels.cpp, which is compiled here: once with the hand-written fiber
switch and once with the portable one. Skipped without a compiler or without the sources beside the
tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "cuda" / "core"
COMPILER = shutil.which(os.environ.get("CXX", "g++"))

pytestmark = pytest.mark.skipif(
    not (COMPILER and CORE.is_dir()), reason="needs a C++ compiler and the sources of cuda/core"
)


@pytest.fixture(scope="module", params=[(), ("-DALEXNET_RAW_UCONTEXT",)], ids=["switch", "ucontext"])
def kernels(request, tmp_path_factory):
    """Runs a test of execution_kernels.cpp and returns the lines that it printed."""
    program = tmp_path_factory.mktemp("execution") / "execution_kernels"
    sources = [HERE / "execution_kernels.cpp", *sorted(CORE.glob("*.cpp"))]
    flags = ["-std=c++17", "-O1", "-fopenmp", "-march=native", "-w", *request.param]
    subprocess.run([COMPILER, *flags, *map(str, sources), "-o", str(program)], check=True)

    def run(test: str, order: str = "forward", seed: int = 0, cores: int = 0) -> list[str]:
        command = [str(program), test, order, str(seed), str(cores)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{test}: {done.stderr}"
        return done.stdout.splitlines()

    return run


def numbers(line: str) -> list[float]:
    return [float(word) for word in line.split()]


def line_of(text: str, occurrence: int = 0) -> int:
    lines = (HERE / "execution_kernels.cpp").read_text().splitlines()
    return [i for i, line in enumerate(lines, 1) if text in line][occurrence]


# ---- barriers


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_a_barrier_that_some_threads_skip_is_an_error(kernels, order):
    (message,) = kernels("divergent", order, cores=1)
    block = {"forward": "(0, 0, 0)", "reverse": "(2, 0, 0)", "shuffled": "("}[order]
    assert f"divergent_kernel, block {block}" in message
    assert "divergent barrier: 54 of 64 threads wait at the barrier" in message
    assert f"execution_kernels.cpp:{line_of('__syncthreads();')}, 10 have finished" in message


def test_threads_at_different_barriers_are_an_error(kernels):
    (message,) = kernels("two_barriers")
    assert "two_barriers_kernel, block (0, 0, 0): divergent barrier" in message
    assert "others wait at another barrier" in message
    assert any(f"cpp:{line_of('__syncthreads();', i)}," in message for i in (1, 2))


def test_a_shuffle_of_half_a_warp_is_an_error(kernels):
    (message,) = kernels("half_warp")
    assert "half_warp_kernel" in message and "of a warp, 16 have finished" in message


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_a_phase_of_an_mbarrier_that_never_ends_is_an_error(kernels, order):
    assert kernels("mbarrier", order) == ["over"]
    waits = (
        "KernelError: mbarrier_kernel, block (0, 0, 0): 32 threads wait for mbarriers whose phases "
        "never end: the one at byte 8 of shared memory lacks "
    )
    assert kernels("mbarrier_without_arrival", order) == [waits + "2 of 3 arrivals and 0 bytes"]
    assert kernels("mbarrier_without_copy", order) == [waits + "0 of 1 arrivals and 256 bytes"]


def test_too_many_arrivals_at_an_mbarrier_are_an_error(kernels):
    (message,) = kernels("mbarrier_of_too_many")
    want = "two_arrivals_kernel arrives at an mbarrier more often than a phase takes"
    assert message == f"KernelError: {want}"


@pytest.mark.parametrize("test", ["plain_barrier", "plain_shuffle"])
def test_a_kernel_with_barriers_needs_the_other_launch(kernels, test):
    (message,) = kernels(test)
    assert message.startswith("KernelError") and message.endswith("use launch_with_barriers")
    if test == "plain_barrier":
        assert f"shift_kernel<true> has a barrier ({HERE}" in message


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_a_missing_barrier_shows_in_another_order(kernels, order):
    want = [0.0, *range(63)]
    assert numbers(kernels("shift", order, seed=1)[0]) == want
    without = numbers(kernels("shift_without_barrier", order, seed=1)[0])
    assert (without == want) == (order == "forward")
    assert order == "forward" or np.isnan(without).any(), "shared memory starts as NaN"


# ---- warps and blocks


def test_shuffles_exchange_lanes_of_one_warp(kernels):
    for mask, line in zip((1, 2, 4, 8, 16, 31), kernels("shuffle"), strict=True):
        assert numbers(line) == [thread ^ mask for thread in range(96)]


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
@pytest.mark.parametrize("threads", [32, 64, 96, 128, 256, 512, 1024])
def test_block_reductions(kernels, threads, order):
    x = (np.arange(5 * threads, dtype=np.uint64) * 2654435761 % 1000).astype(np.float32)
    blocks = (x / np.float32(7)).reshape(5, threads)
    got = np.array([numbers(line) for line in kernels(f"reduce_{threads}", order, seed=5)])
    assert got.shape == (5, 2)
    np.testing.assert_allclose(got[:, 0], blocks.sum(axis=1, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(got[:, 1], (-blocks).max(axis=1), rtol=1e-7)


def test_any_number_of_cores_gives_the_same_bits(kernels):
    one = kernels("reduce_256", cores=1)
    for order in ("forward", "reverse", "shuffled"):
        for cores in (1, 2, 3, 16):
            assert kernels("reduce_256", order, seed=2, cores=cores) == one


# ---- orders and coordinates


@pytest.mark.parametrize("test", ["order", "order_of_fibers"])
def test_orders_visit_every_thread_once(kernels, test):
    forward, reverse, first, again, second = (
        numbers(kernels(test, order, seed, cores=1)[0])
        for order, seed in [
            ("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 1), ("shuffled", 2)
        ]
    )  # fmt: skip
    assert forward == list(range(6 * 64))
    assert reverse == forward[::-1]
    assert sorted(first) == forward == sorted(second)
    assert first == again
    assert len({tuple(o) for o in (forward, reverse, first, second)}) == 4
    blocks = [int(i) // 64 for i in first]
    assert all(len(set(blocks[i : i + 64])) == 1 for i in range(0, len(blocks), 64))


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_grids_and_blocks_have_three_dimensions(kernels, order):
    assert numbers(kernels("visit", order, seed=3)[0]) == [1] * (2 * 3 * 5 * 4 * 3 * 2)


# ---- limits and errors


def test_launches_beyond_a_gpus_limits_are_refused_by_name(kernels):
    largest, own_block, *rest = kernels("limits")
    assert largest == own_block == "launched"
    expected = [
        "block (1025, 1, 1), 0 bytes of shared memory: a block has at most 1024 threads",
        "block (32, 33, 1), 0 bytes of shared memory: a block has at most 1024 threads",
        "block (1, 1, 65), 0 bytes of shared memory: a block has at most 1024 threads, 64 in z",
        "block (2, 1, 1), 65537 bytes of shared memory: a block has at most 65536 bytes",
        "grid (0, 1, 1), block (32, 1, 1), 0 bytes of shared memory: it has no blocks or no threads",
        "grid (32, 1, 1), block (0, 1, 1), 0 bytes of shared memory: it has no blocks or no threads",
        "launched",
        "grid (1, 65536, 1), block (1, 1, 1), 0 bytes of shared memory: a grid has at most",
        "grid (1, 1, 65536), block (1, 1, 1), 0 bytes of shared memory: a grid has at most",
        "grid (2147483648, 1, 1), block (1, 1, 1), 0 bytes of shared memory: a grid has at most",
    ]
    for message, part in zip(rest, expected, strict=True):
        assert part in message
        assert message == "launched" or "empty_kernel: cannot launch grid" in message


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("test", ["throw", "throw_from_fiber"])
def test_an_exception_leaves_the_launch_and_the_next_launch_works(kernels, test, cores):
    message, after = kernels(test, cores=cores)
    assert message == "caught: thread 7 of block 3"
    assert numbers(after) == [0.0, *range(63)]


def test_shared_memory_is_aligned_and_poisoned(kernels):
    for line in kernels("shared"):
        offset, value = numbers(line)
        assert offset == 0 and np.isnan(value)


# ---- what kernels compute with


def test_divisor_is_exact(kernels):
    (line,) = kernels("divide")
    word, count = line.split()
    assert word == "exact" and int(count) > 4_000_000


@pytest.mark.parametrize("test", ["transpose", "ragged"])
def test_lanes(kernels, test):
    (line,) = kernels(test)
    assert line in ("4 lanes", "8 lanes", "16 lanes")
