"""Uploads beside the computation, on a stand-in for CuPy whose streams run as late or as early as they
may: there need not be a GPU to see that nothing is read too early or overwritten too soon."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from alexnet_raw import data, device
from alexnet_raw.device import Device
from alexnet_raw.uploads import FIELDS, Uploads


class Event:
    def __init__(self, stream, place):
        self.stream, self.place = stream, place

    @property
    def happened(self) -> bool:
        return self.stream.done >= self.place

    def synchronize(self):
        self.stream.run_to(self.place)


class Stream:
    """Keeps its work until somebody waits; an eager one does whatever does not have to wait."""

    eager = False
    ptr = 0

    def __init__(self, non_blocking=True):
        self.work, self.done = [], 0

    def give(self, job):
        self.work.append(job)
        while self.eager and self.done < len(self.work):
            job = self.work[self.done]
            if isinstance(job, Event) and not job.happened:
                break
            self.run_to(self.done + 1)

    def run_to(self, place):
        while self.done < place:
            job = self.work[self.done]
            job.synchronize() if isinstance(job, Event) else job()
            self.done += 1

    def record(self):
        return Event(self, len(self.work))

    wait_event = give

    def synchronize(self):
        self.run_to(len(self.work))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class GpuArray:
    def __init__(self, shape, dtype):
        self.values = np.zeros(shape, dtype)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def set(self, values, stream):
        """Reads the host's memory when it runs, and does not keep pictures from being let go."""
        if values.dtype == np.uint8 and values.ndim == 4:
            memory = next(m for m in PINNED if values.ctypes.data == address(m))
            count = values.nbytes
            read = lambda: np.frombuffer(memory, np.uint8, count).reshape(self.shape)  # noqa: E731
        else:
            read = lambda: values  # noqa: E731
        stream.give(lambda: np.copyto(self.values, read()))


PINNED: list[bytearray] = []  # all that was ever given out


def address(memory: bytearray) -> int:
    return np.frombuffer(memory, np.uint8).ctypes.data


def pinned(size: int) -> bytearray:
    PINNED.append(bytearray(size))
    return PINNED[-1]


class Cupy:
    ndarray = GpuArray

    class cuda:
        Stream = Stream
        Device = staticmethod(lambda ordinal: contextlib.nullcontext())
        alloc_pinned_memory = staticmethod(pinned)


@pytest.fixture(params=["late", "early"])
def gpu(request, monkeypatch):
    monkeypatch.setattr(device, "_extension", lambda name: None)
    monkeypatch.setattr(device, "_cupy", lambda module, name, ordinal: Cupy)
    made = Device("cuda:0")

    class CopyingStream(Stream):
        eager = request.param == "early"

    monkeypatch.setattr(Cupy.cuda, "Stream", CopyingStream)
    return made


class Numbers:
    """Pictures that show their index."""

    picture_shape = (4, 5, 3)
    augmentation = data.Augmentation()
    classes, broken = ("a", "b"), ()

    def __len__(self):
        return 41

    def load(self, indices, out):
        out[...] = indices[:, None, None, None]
        return out, indices.astype(np.int32)


def work_on(gpu: Device, arrays, seen: list) -> None:
    """What a net would do: read the arrays, some time later."""
    gpu._stream.give(lambda: seen.append({f: arrays[f].data.values.copy() for f in FIELDS}))


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
def test_every_batch_is_seen_as_it_was(gpu, ahead, synchronous):
    loader = data.Loader(Numbers(), 4, 3, seed=1, threads=2, allocate=gpu.pinned)
    wanted = [
        {f: getattr(b, f).copy() for f in FIELDS} for epoch in range(3) for b in loader.epoch(epoch)
    ]
    uploads, seen = Uploads(gpu), []
    for epoch in range(3):
        batches = loader.epoch(epoch)
        for batch in uploads.ahead(batches) if ahead else batches:
            work_on(gpu, uploads.receive(batch), seen)
            del batch  # the loader may have its memory back
            if synchronous:  # as a training step that reads its loss
                gpu.synchronize()
    gpu.synchronize()
    assert len(seen) == len(wanted) == 33
    for got, want in zip(seen, wanted, strict=True):
        for field in FIELDS:
            assert np.array_equal(got[field], want[field]), field


def test_the_next_batch_is_copied_during_the_work(gpu):
    uploads = Uploads(gpu)
    batches = uploads.ahead(data.Loader(Numbers(), 4, 3, seed=1, allocate=gpu.pinned).epoch(0))
    first, seen = next(batches), []
    work_on(gpu, uploads.receive(first), seen)
    gpu.synchronize()
    assert len(seen) == 1
    gpu._stream.give(lambda: pytest.fail("the copies waited for this work"))
    following = next(sent for sent in uploads._sent if sent.batch is not first)
    following.filled.synchronize()
    assert np.all(following.arrays["pictures"].data.values == following.batch.pictures)
    gpu._stream.work.clear()


def test_leaving_closes_the_loader():
    closed = []

    def batches():
        try:
            yield from data.Loader(Numbers(), 4, 3, seed=1).epoch(0)
        finally:
            closed.append(True)

    on_the_way = Uploads(Device("cpu")).ahead(batches())
    next(on_the_way)
    on_the_way.close()
    assert closed


def test_the_cpu_uses_batches_where_they_lie():
    cpu = Device("cpu")
    loader = data.Loader(Numbers(), 4, 3, seed=1, allocate=cpu.pinned)
    batches = list(loader.epoch(0))
    uploads = Uploads(cpu)
    for batch, want in zip(uploads.ahead(iter_of(batches)), batches, strict=True):
        arrays = uploads.receive(batch)
        assert batch is want and arrays["pictures"].data is batch.pictures
        assert arrays["labels"].device is cpu


def iter_of(batches):
    yield from batches


def test_pinned_memory(gpu):
    array = gpu.pinned((3, 4), np.uint8)
    assert array.shape == (3, 4) and array.dtype == np.uint8
    array[...] = 7  # may be written
