"""Batches: the same for any number of threads, batch size and place of resuming; and no hangs."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from alexnet_raw import data
from alexnet_raw.data.augmentation import colour_noise

from .data_pictures import write_folder

FIELDS = ("pictures", "labels", "offsets", "flips", "noise", "indices")
ALL = data.Augmentation(noise="deviations")


class Numbers:
    """A source of pictures that show their own index; counts and may delay or fail."""

    picture_shape = (12, 14, 3)
    augmentation = ALL

    def __init__(self, count: int, delay: float = 0, fail_at: int | None = None):
        self.classes = ["even", "odd"]
        self.broken: dict[str, str] = {}
        self.count, self.delay, self.fail_at = count, delay, fail_at
        self.loads = 0

    def __len__(self):
        return self.count

    def name(self, index):
        return str(index)

    def load(self, indices, out=None):
        self.loads += 1
        time.sleep(self.delay)
        if self.fail_at is not None and self.fail_at in indices:
            raise RuntimeError(f"{self.fail_at}: broken on purpose")
        pictures = np.empty((len(indices), *self.picture_shape), np.uint8) if out is None else out
        pictures[...] = indices.astype(np.uint8)[:, None, None, None]
        return pictures, (indices % 2).astype(np.int32)


STATISTICS = data.Statistics(
    mean_image=np.zeros((3, 12, 14), np.float32),
    channel_means=np.zeros(3, np.float32),
    std_devs=np.array([1, 10, 100], np.float32),
    eigenvectors=np.linalg.qr(np.arange(9).reshape(3, 3) ** 2 + np.eye(3))[0].astype(np.float32),
    pictures=1,
)


def loader(count=50, batch_size=8, crop=10, source=None, **options) -> data.Loader:
    options = {"seed": 3, "statistics": STATISTICS, **options}
    return data.Loader(source or Numbers(count), batch_size, crop, **options)


def joined(batches) -> dict[str, np.ndarray]:
    batches = list(batches)
    return {name: np.concatenate([getattr(b, name) for b in batches]) for name in FIELDS}


def assert_same(a, b) -> None:
    for name in FIELDS:
        assert a[name].tobytes() == b[name].tobytes() and a[name].dtype == b[name].dtype, name


def test_an_epoch():
    batches = list(loader().epoch(0))
    assert [len(b) for b in batches] == [8] * 6 + [2] and len(loader()) == 7
    assert [b.number for b in batches] == list(range(7))
    all_of = joined(batches)
    assert sorted(all_of["indices"].tolist()) == list(range(50))
    assert np.array_equal(all_of["pictures"][:, 5, 5, 1], all_of["indices"])
    assert np.array_equal(all_of["labels"], all_of["indices"] % 2)
    kinds = {name: all_of[name].dtype.name for name in FIELDS}
    assert kinds == {
        "pictures": "uint8",
        "labels": "int32",
        "offsets": "int32",
        "flips": "uint8",
        "noise": "float32",
        "indices": "int64",
    }


@pytest.mark.parametrize("threads, ahead", [(1, 1), (2, 2), (5, 9)])
def test_threads_change_nothing(threads, ahead, seed):
    source = Numbers(50, delay=0.002)
    got = joined(loader(source=source, threads=threads, ahead=ahead, seed=seed).epoch(4))
    assert_same(got, joined(loader(threads=1, seed=seed).epoch(4)))


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7])
def test_resuming_repeats_the_rest(start, seed):
    whole = list(loader(seed=seed).epoch(2))
    rest = list(loader(seed=seed).epoch(2, start_batch=start))
    assert len(rest) == 7 - start
    for a, b in zip(rest, whole[start:], strict=True):
        assert a.number == b.number
        assert_same(joined([a]), joined([b]))


def test_batch_size_does_not_change_the_draws():
    assert_same(joined(loader(batch_size=8).epoch(1)), joined(loader(batch_size=7).epoch(1)))


def test_seed_and_epoch_change_everything():
    first = joined(loader(count=200).epoch(0))
    again = joined(loader(count=200).epoch(1))
    other = joined(loader(count=200, seed=4).epoch(0))
    for name in ("indices", "offsets", "flips", "noise"):
        assert not np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_switching_one_thing_off_leaves_the_other_draws():
    whole = joined(loader().epoch(0))
    quiet = joined(loader(augmentation=data.Augmentation(flip=False)).epoch(0))
    assert np.array_equal(whole["indices"], quiet["indices"])
    assert np.array_equal(whole["offsets"], quiet["offsets"])
    assert not quiet["flips"].any() and not quiet["noise"].any() and whole["noise"].all()


def test_draws_are_spread_evenly():
    draws = joined(loader(count=20000, batch_size=5000).epoch(0))
    # Pictures 12 x 14, crop 10: tops 0..2, lefts 0..4, each with its share within 5 sigma.
    for column, values in ((0, 3), (1, 5)):
        counts = np.bincount(draws["offsets"][:, column], minlength=values)
        assert len(counts) == values
        assert np.abs(counts - 20000 / values).max() < 5 * np.sqrt(20000 / values)
    assert abs(int(draws["flips"].sum()) - 10000) < 5 * 71
    along = draws["noise"].astype(np.float64) @ STATISTICS.eigenvectors
    assert np.allclose(along.std(axis=0), [0.1, 1, 10], rtol=0.03)
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.05


def test_colour_noise_is_the_papers_formula(rng):
    alphas = rng.standard_normal((7, 3)).astype(np.float32)
    deviations, vectors = STATISTICS.std_devs, STATISTICS.eigenvectors
    want = [vectors @ (a * deviations) for a in alphas]
    assert np.allclose(colour_noise(alphas, deviations, vectors), want, rtol=1e-5, atol=1e-5)


def test_eigenvalues_are_of_pixels_between_0_and_1():
    text, ran = (
        joined(loader(augmentation=data.Augmentation(noise=noise)).epoch(0))["noise"]
        @ STATISTICS.eigenvectors
        for noise in ("eigenvalues", "deviations")
    )
    variances = (STATISTICS.std_devs / 255) ** 2  # of such pixels
    assert np.allclose(text / 255 / variances, ran / STATISTICS.std_devs, rtol=1e-3)


def test_the_authors_noise_lowers_the_contrast_until_it_ends():
    augmentation = data.Augmentation(noise="deviations", noise_epochs=2)
    with_noise, without = (next(loader(augmentation=augmentation).epoch(e)) for e in (1, 2))
    assert with_noise.scale == pytest.approx(1 / 1.1) and with_noise.noise.all()
    assert without.scale == 1 and not without.noise.any()


def test_shared_crops(seed):
    augmentation = data.Augmentation(shared_crops=7)
    draws = joined(loader(count=50, seed=seed, augmentation=augmentation).epoch(0))
    for first in range(0, 50, 7):
        for name in ("offsets", "flips"):
            group = draws[name][first : first + 7]
            assert (group == group[0]).all()
    assert len(np.unique(draws["offsets"], axis=0)) > 2


def test_evaluation_is_the_plain_centre():
    batches = joined(loader(train=False).epoch(9))
    assert batches["indices"].tolist() == list(range(50))
    assert np.all(batches["offsets"] == [1, 2])
    assert not batches["flips"].any() and not batches["noise"].any()


def test_ten_views():
    (batch,) = loader(count=4, train=False).epoch(0)
    views = list(data.ten_views(batch, 10))
    corners = [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)]
    got = [(tuple(v.offsets[0].tolist()), int(v.flips[0])) for v in views]
    assert got == [(c, flip) for flip in (0, 1) for c in corners]
    for view in views:
        assert view.pictures is batch.pictures and view.labels is batch.labels
        assert view.offsets.shape == (4, 2) and view.offsets.dtype == np.int32
        assert np.all(view.offsets == view.offsets[0]) and np.all(view.flips == view.flips[0])
        assert view.noise.shape == (4, 3) and not view.noise.any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"crop": 13}, "crop=13: pictures are 12 x 14"),
        ({"crop": 0}, "crop=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**64}, "seed="),
        ({"threads": 0}, "threads=0"),
        ({"statistics": None}, "colour noise needs statistics"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        loader(**options)


def test_wrong_noise():
    with pytest.raises(ValueError, match="noise_std=-1"):
        data.Augmentation(noise_std=-1)
    with pytest.raises(ValueError, match="noise='pca': must be one of none, eigenvalues"):
        data.Augmentation(noise="pca")
    with pytest.raises(ValueError, match="shared_crops=0"):
        data.Augmentation(shared_crops=0)


def test_whole_picture_as_crop(tmp_path, rng):
    write_folder(tmp_path, {"a": 2, "b": 2}, rng)
    source = data.open(tmp_path, size=16)
    batches = joined(loader(source=source, crop=16).epoch(0))
    assert not batches["offsets"].any()


def test_the_queue_is_bounded():
    source = Numbers(400)
    batches = loader(source=source, batch_size=4, threads=3, ahead=5).epoch(0)
    next(batches)
    time.sleep(0.1)
    assert source.loads <= 6  # the one that we hold, and five
    batches.close()


def loading_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("alexnet-data")]


@pytest.mark.parametrize("how", ["close", "forget", "exception"])
def test_leaving_early_stops_the_threads_soon(how):
    batches = loader(count=4000, batch_size=4, source=Numbers(4000, delay=0.02), threads=3).epoch(0)
    next(batches)
    assert loading_threads()
    before = time.perf_counter()
    if how == "close":
        batches.close()
    elif how == "forget":
        del batches
        gc.collect()
    else:
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
    assert not loading_threads()
    assert time.perf_counter() - before < 2


ENDLESS = """
import itertools, signal, sys
from alexnet_raw import data
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where started in the background
loader = data.Loader(data.open(None, "val", size=256), 64, 224, threads=4)
print("begun", flush=True)
for epoch in itertools.count():
    for batch in loader.epoch(epoch):
        pass
"""


def test_ctrl_c_ends_the_process():
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode != 0 and errors.rstrip().endswith("KeyboardInterrupt")


def test_errors_in_threads_reach_the_caller():
    source = Numbers(50, fail_at=17)
    with pytest.raises(RuntimeError, match="17: broken on purpose"):
        list(loader(source=source, threads=3).epoch(0))
    assert not loading_threads()


def test_stall_time():
    slow = loader(count=24, source=Numbers(24, delay=0.05), threads=1)
    list(slow.epoch(0))
    assert slow.stall_seconds >= 0.1  # three batches of 0.05 s, nothing to do in between
    fast = loader(count=24, source=Numbers(24, delay=0.001), threads=1)
    for _ in fast.epoch(0):
        time.sleep(0.02)
    assert fast.stall_seconds < slow.stall_seconds


def test_memory_is_used_again():
    given = []

    def allocate(shape, dtype):
        given.append(np.empty(shape, dtype))
        return given[-1]

    numbers = loader(count=400, batch_size=4, threads=2, ahead=3, allocate=allocate)
    for epoch in range(3):
        for batch in numbers.epoch(epoch):
            assert np.array_equal(batch.pictures[:, 5, 5, 1], batch.indices.astype(np.uint8))
    assert 3 <= len(given) <= 6  # the one that we hold, three ahead, and those just changing hands
    assert all(array.shape == (4, *Numbers.picture_shape) for array in given)


@pytest.mark.parametrize("hold", ["batch", "view", "view of a view"])
def test_memory_that_is_held_is_not_used_again(hold):
    held, wanted = [], []
    for batch in loader(count=80, batch_size=4).epoch(0):
        held.append(
            {
                "batch": batch.pictures,
                "view": batch.pictures[1:],
                "view of a view": batch.pictures[1:].reshape(3, -1)[:, ::2],
            }[hold]
        )
        wanted.append(held[-1].copy())
    del batch
    gc.collect()
    assert all(np.array_equal(a, b) for a, b in zip(held, wanted, strict=True))
