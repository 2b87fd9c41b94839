"""core/philox.h and philox.cu against reference/philox.py, and that one against published vectors."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import Device
from alexnet_raw.reference import philox as reference

# Counter, key, result: the known-answer tests of the authors' Random123 library.
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
LARGEST = {"seed": 2**64 - 1, "layer": 2**32 - 1, "step": 2**32 - 1}


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_reference_published_vectors(counter, key, result):
    got = reference.philox4x32(words(counter), words(key))
    np.testing.assert_array_equal(got, words(result))


def test_reference_words_place_seed_layer_and_step():
    got = reference.words(8, seed=0x299F31D0_A4093822, layer=0x13198A2E, step=0x03707344)
    counter = np.array([1, 0, 0x13198A2E, 0x03707344], np.uint32)
    key = np.array([0xA4093822, 0x299F31D0], np.uint32)
    np.testing.assert_array_equal(got[4:], reference.philox4x32(counter, key))


def test_published_vector(guarded):
    """Seed, layer, step and block 0 make the all-zero counter and key."""
    out = guarded.out(4)
    ops.philox_uniform(out, seed=0, layer=0, step=0)
    np.testing.assert_array_equal(out.numpy(), (words(PUBLISHED[0][2]) >> 8) / 2**24)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 31, 33, 127, 129, 4099, 70001])
def test_uniform(guarded, rng, n):
    settings = {name: int(rng.integers(0, top, dtype=np.uint64)) for name, top in LARGEST.items()}
    out = guarded.out(n)
    ops.philox_uniform(out, **settings)
    np.testing.assert_array_equal(out.numpy(), reference.uniform(n, **settings))


def test_largest_settings(guarded):
    out = guarded.out(5)
    ops.philox_uniform(out, **LARGEST)
    np.testing.assert_array_equal(out.numpy(), reference.uniform(5, **LARGEST))


def test_streams_differ(guarded):
    streams = []
    for settings in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3)]:
        out = guarded.out(64)
        ops.philox_uniform(out, **dict(zip(LARGEST, settings, strict=True)))
        streams.append(tuple(out.numpy()))
    assert len(set(streams)) == len(streams)


def test_uniform_statistics(rng):
    """Mean, variance and 16 equal bins of 2^18 draws, each within five standard deviations."""
    n = 2**18
    draws = reference.uniform(n, seed=int(rng.integers(2**63)), layer=1, step=1).astype(np.float64)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(draws.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    bins = np.bincount((draws * 16).astype(int), minlength=16)
    assert np.all(np.abs(bins - n / 16) < 5 * np.sqrt(n * (1 / 16) * (15 / 16)))


def test_normal_statistics(rng):
    """Mean, variance and fourth moment of 2^18 draws, each within five standard deviations."""
    n = 2**18
    draws = reference.normal(n, seed=int(rng.integers(2**63)), layer=1, step=1)
    assert abs(draws.mean()) < 5 * np.sqrt(1 / n)
    assert abs((draws**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((draws**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert abs((draws[:-1] * draws[1:]).mean()) < 5 * np.sqrt(1 / n)
    np.testing.assert_array_equal(reference.normal(7, 1, 2, 3), reference.normal(8, 1, 2, 3)[:7])


DRAWING = {
    "philox_uniform": ((3, 5, 7, 2),),
    "noisy_relu": ((3, 5, 7, 2), (3, 5, 7, 2)),
    "dropout_forward": ((3, 5, 7, 2), (3, 5, 7, 2)),
    "dropout_backward": ((3, 5, 7, 2), (3, 5, 7, 2)),
    "random_pool_forward": ((3, 3, 4, 2), (3, 5, 7, 2)),
    "random_pool_backward": ((3, 5, 7, 2), (3, 3, 4, 2)),
}


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("step", [0, 5, 2**32 - 1])
def test_a_step_in_memory_is_as_a_number(guarded, rng, name, step):
    shape, *inputs = DRAWING[name]
    inputs = [guarded.inp(rng.standard_normal(shape, np.float32)) for shape in inputs]
    settings = {"keep": 0.5} if "dropout" in name else {}
    settings |= {"size": 3, "stride": 2} if "pool" in name else {}
    in_memory = guarded.inp(np.array([step], np.uint32).view(np.int32))
    outs = []
    for given in (step, in_memory):
        outs.append(guarded.out(*shape))
        getattr(ops, name)(outs[-1], *inputs, **settings, seed=1, layer=2, step=given)
    np.testing.assert_array_equal(outs[0].numpy(), outs[1].numpy())


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize(
    ("first", "images", "batch"),
    [(0, 3, 7), (3, 4, 7), (5, 1, 6), (8, 8, 32), (32, 33, 70), (2, 0, 129)],
)
def test_a_share_of_a_batch_draws_what_the_whole_does(guarded, rng, name, first, images, batch):
    """Shares that begin and end within a block of four draws, and within a vector's lanes."""
    images = images or batch - first
    shape, *inputs = ((*shape[:-1], batch) for shape in DRAWING[name])
    inputs = [rng.standard_normal(shape, np.float32) for shape in inputs]
    settings = {"keep": 0.5} if "dropout" in name else {}
    settings |= {"size": 3, "stride": 2} if "pool" in name else {}
    settings |= {"seed": 1, "layer": 2, "step": 3}
    whole, part = guarded.out(*shape), guarded.out(*shape[:-1], images)
    own = slice(first, first + images)
    op = getattr(ops, name)
    op(whole, *(guarded.inp(x) for x in inputs), **settings)
    op(part, *(guarded.inp(x[..., own]) for x in inputs), **settings, share=(first, batch))
    np.testing.assert_array_equal(part.numpy(), whole.numpy()[..., own])


def test_a_bad_share(guarded):
    out = guarded.inp(np.zeros((2, 4)))
    draws = {"seed": 1, "layer": 2, "step": 3}
    for share in [(-1, 8), (5, 8), (0, 3)]:
        with pytest.raises(ValueError, match=r"share must have a place for the images of out \(2, 4\)"):
            ops.philox_uniform(out, **draws, share=share)
    for share in [3, (1,), (0.0, 8)]:
        with pytest.raises(TypeError, match=r"share must be None or \(first, batch\), two integers"):
            ops.philox_uniform(out, **draws, share=share)


def test_a_bad_step_in_memory(guarded):
    out = guarded.out(4)
    with pytest.raises(TypeError, match="step must be int32, got float32"):
        ops.philox_uniform(out, seed=1, layer=2, step=guarded.out(1))
    with pytest.raises(ValueError, match=r"step \(2,\) int32 must have shape \(1,\)"):
        ops.philox_uniform(out, seed=1, layer=2, step=guarded.inp(np.zeros(2, np.int32)))
    other = Device("cpu", 1).upload(np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="step on cpu"):
        ops.philox_uniform(out, seed=1, layer=2, step=other)


@pytest.mark.parametrize("name", LARGEST)
@pytest.mark.parametrize("beyond", [-1, 1])
def test_bad_settings(guarded, name, beyond):
    value = -1 if beyond < 0 else LARGEST[name] + 1
    with pytest.raises(ValueError, match=rf"{name} must be between 0 and 2\^.* got {value}"):
        ops.philox_uniform(guarded.inp(np.zeros(4)), **{**LARGEST, name: value})
