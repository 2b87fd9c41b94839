"""Uploads beside the computation, and copies between GPUs, on a stand-in for CuPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alexnet_raw import data, device
from alexnet_raw.device import Device
from alexnet_raw.uploads import FIELDS, Uploads
from tests.cupy_stand_in import Cupy, Stream


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


def test_targets_come_as_outputs_by_pictures(gpu):
    first, *others = data.Loader(Numbers(), 4, 3, seed=1, allocate=gpu.pinned).epoch(0)
    targets = np.arange(len(first) * 5, dtype=np.float32).reshape(len(first), 5)
    uploads = Uploads(gpu, targets=True)
    for sign in (1, -1, 1):
        sent = uploads.receive(replace(first, targets=sign * targets))["targets"]
        gpu._stream.run_to(len(gpu._stream.work))
        np.testing.assert_array_equal(sent.data.values, sign * targets.T)
    assert "targets" not in uploads.receive(others[0])
    assert "targets" not in Uploads(gpu).receive(replace(first, targets=targets))


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


def test_copies_between_gpus_wait_for_each_other(gpu):
    other = Device("cuda:1")
    source, target = gpu.empty(3), other.empty(3)
    gpu._stream.give(lambda: source.data.values.fill(1))  # before the copy
    target.copy_from(source)
    gpu._stream.give(lambda: source.data.values.fill(2))  # not before it
    gpu.synchronize()
    other.synchronize()
    assert np.all(target.data.values == 1)


def test_pinned_memory(gpu):
    array = gpu.pinned((3, 4), np.uint8)
    assert array.shape == (3, 4) and array.dtype == np.uint8
    array[...] = 7  # may be written
