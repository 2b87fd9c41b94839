"""Fixtures that every op's tests share: devices with all their ways of running, and guarded arrays."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

from alexnet_raw.device import Array, Device, DeviceError

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before the extension loads: see cli/__init__.py

# How the CPU target runs a kernel: the CPU's own tile shapes and the GPU's, thread orders.
EXECUTIONS = [
    ("cpu", "forward"),
    ("cpu", "reverse"),
    ("gpu", "forward"),
    ("gpu", "reverse"),
    ("gpu", "shuffled"),
]


def cuda_available() -> bool:
    try:
        Device("cuda:0")
    except DeviceError:
        return False
    return True


DEVICES = [f"cpu-{shape}-{order}" for shape, order in EXECUTIONS]
DEVICES += ["cuda:0"] if cuda_available() else []


@pytest.fixture(params=DEVICES)
def device(request, seed):
    """Each device that the machine has; the CPU once for every execution."""
    if request.param.startswith("cuda"):
        yield Device(request.param)
        return
    _, shape, order = request.param.split("-")
    cpu = Device("cpu")
    cpu.module.set_execution(shape=shape, order=order, seed=seed, poison_shared=True)
    yield cpu
    cpu.module.set_execution()


@pytest.fixture
def cpu() -> Device:
    """The CPU in its ordinary execution."""
    return Device("cpu")


@pytest.fixture
def seed(request) -> int:
    """Fresh for every run, shown when a test fails; ALEXNET_RAW_TEST_SEED repeats one."""
    given = os.environ.get("ALEXNET_RAW_TEST_SEED")
    value = int(given) if given else int.from_bytes(os.urandom(4), "little")
    print(f"ALEXNET_RAW_TEST_SEED={value}")
    return value


@pytest.fixture
def rng(seed, request) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(request.node.name.encode())])


class Guarded:
    """Arrays for an op under test: outputs start as NaN, and a border around every array is watched."""

    # In elements; 0 under tools that check memory themselves, right beside an array (tools/).
    BORDER = int(os.environ.get("ALEXNET_RAW_TEST_BORDER", "64"))

    def __init__(self, device: Device):
        self.device = device
        self._whole: list[tuple[Array, np.ndarray]] = []

    def _guard(self, values: np.ndarray) -> Array:
        pattern = np.frombuffer(b"\xa5" * (self.BORDER * values.itemsize), values.dtype)
        whole = self.device.upload(np.concatenate([pattern, values.ravel(), pattern]))
        self._whole.append((whole, pattern))
        inner = whole.data[self.BORDER : self.BORDER + values.size].reshape(values.shape)
        return Array(inner, self.device)

    def inp(self, values: np.ndarray) -> Array:
        """A device copy of an input; floats become float32, but for bfloat16."""
        values = np.asarray(values)
        return self._guard(values.astype(np.float32) if values.dtype.kind == "f" else values)

    def out(self, *shape: int, dtype: np.dtype | type = np.float32) -> Array:
        """An output of which every element must be written."""
        return self._guard(np.full(shape, np.nan, dtype))

    def check(self) -> None:
        """Asserts that nothing was written beside an array."""
        for whole, pattern in self._whole:
            host = whole.numpy()
            for border in (host[: self.BORDER], host[host.size - self.BORDER :]):
                assert border.tobytes() == pattern.tobytes(), "a kernel wrote outside its array"


@pytest.fixture
def guarded(device):
    arrays = Guarded(device)
    yield arrays
    arrays.check()


def relative_error(got: Array | np.ndarray, want: np.ndarray, terms: np.ndarray | float = 0.0) -> float:
    """||got - want|| / ||want||; NaN where got holds one.

    Where `want` is a sum that may cancel (a single number can, to nearly nothing), `terms` are the
    magnitudes of what it sums, and the error is relative to them.
    """
    got = got.numpy() if isinstance(got, Array) else np.asarray(got)
    assert got.shape == want.shape
    norm = max(float(np.linalg.norm(want)), float(np.linalg.norm(terms)))
    difference = float(np.linalg.norm(got.astype(np.float64) - want))
    return difference / norm if norm else difference


def assert_close(
    got: Array | np.ndarray,
    want: np.ndarray,
    tolerance: float = 1e-5,
    terms: np.ndarray | float = 0.0,
) -> None:
    error = relative_error(got, want, terms)
    assert error < tolerance, f"relative error {error:.3g}, allowed {tolerance:.3g}"


def numerical_gradient(f, x: np.ndarray, dout: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences, in float64: d sum(f(x) * dout) / dx."""
    x = np.array(x, np.float64)
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        saved = x[i]
        x[i] = saved + step
        above = float(np.sum(f(x) * dout))
        x[i] = saved - step
        below = float(np.sum(f(x) * dout))
        x[i] = saved
        gradient[i] = (above - below) / (2 * step)
    return gradient
