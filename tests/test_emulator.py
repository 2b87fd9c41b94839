"""The PTX emulator of tools/emulate_cuda.py: what it computes, against NumPy, and what it reports.

The kernels are in emulator_kernels.cu, which is compiled here. Skipped without nvcc and g++ (the
emulator needs no GPU), or without the sources beside the tests.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.emulated import Emulated, bf16, floats, needs_emulator

SOURCE = Path(__file__).with_name("emulator_kernels.cu")

pytestmark = needs_emulator


@pytest.fixture(scope="module")
def emulate(tmp_path_factory) -> Emulated:
    return Emulated(SOURCE, "90", tmp_path_factory.mktemp("emulator"))  # bfloat16 alone came with 9.0


def tf32(x: np.ndarray) -> np.ndarray:
    """The bits of float32 numbers as TF32, to the nearest, halves away from zero."""
    rounded = (x.view(np.uint32).astype(np.uint64) + 0x1000) & 0xFFFFE000
    return np.where(np.isnan(x), 0x7FFFE000, rounded).astype(np.uint32)


# ---- what it computes


@pytest.mark.parametrize(("kernel", "depth"), [("mma_bf16", 16), ("mma_tf32", 8)])
def test_mma_is_a_product_of_rounded_matrices(emulate, rng, kernel, depth):
    shapes = (16, depth), (depth, 8), (16, 8)
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    got = emulate.computed(kernel, np.concatenate([a.ravel(), b.ravel(), c.ravel()]))
    a, b = (floats(bf16(x) << 16 if depth == 16 else tf32(x)) for x in (a, b))
    want = (a @ b + c).astype(np.float32)
    # float32 sums of doubles: equal but where the order of the doubles' sum decides a last bit
    np.testing.assert_allclose(floats(got).reshape(16, 8), want, rtol=2e-7, atol=1e-7)


def test_conversions_round_as_their_names_say(emulate, rng):
    special = [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC0DEAD, 0x3F808000, 0x3F818000, 0x3F801000,
               0x3F803000, 0x3F808001, 0x7F7FFFFF, 0x00008000]  # fmt: skip
    bits = np.concatenate([special, rng.integers(0, 1 << 32, 64 - len(special))]).astype(np.uint32)
    x = bits.view(np.float32)
    got = emulate.computed("conversions", bits).reshape(64, 4).T
    towards_zero = np.where(np.isnan(x), 0x7FFF, bits >> 16)
    for name, values, want in zip(
        ("rn.bf16", "rz.bf16", "rn.bf16x2", "rna.tf32"),
        got,
        (bf16(x), towards_zero, bf16(x) | 0x3F80 << 16, tf32(x)),
        strict=True,
    ):
        np.testing.assert_array_equal(values, want, err_msg=name)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_spreads_rows_over_lanes(emulate, rng, count, transposed):
    matrices = rng.integers(0, 1 << 16, (4, 8, 8)).astype(np.uint16)
    kernel = f"load_matrices_{count}{'_transposed' * transposed}"
    got = emulate.computed(kernel, matrices.view(np.uint32))
    want = matrices.transpose(0, 2, 1) if transposed else matrices
    # lane 4 r + q has the elements 2 q and 2 q + 1 of row r
    np.testing.assert_array_equal(got.view(np.uint16).reshape(count, 8, 8), want[:count])


def test_cp_async_fills_with_zeros(emulate, rng):
    words = rng.integers(1, 1 << 32, (32, 4)).astype(np.uint32)
    got = emulate.computed("zero_fill", words).reshape(32, 5)
    counts = np.arange(32)[:, None] % 5
    np.testing.assert_array_equal(got[:, :4], np.where(np.arange(4) < counts, words, 0))
    np.testing.assert_array_equal(got[:, 4], np.where(counts[:, 0] > 0, words[:, 0], 0))


def test_integers(emulate, rng):
    u = rng.integers(0, 1 << 32, 64).astype(np.uint32)
    v, t = u.view(np.int32).astype(np.int64), np.arange(64)
    wide = u.astype(np.uint64)
    bits = np.unpackbits(u.astype(">u4").view(np.uint8).reshape(64, 4), axis=1)
    width = np.array([int(x).bit_length() for x in u])
    quotient, product = np.abs(v) // 7 * np.sign(v), np.abs(v << 13) // (t + 1) * np.sign(v)
    remainder = np.abs(v) % 13 * np.sign(v)
    octets = np.concatenate([u, np.full(64, 0x01020304, np.uint32)]).view(np.uint8).reshape(2, 64, 4)
    octets = octets.transpose(1, 0, 2).reshape(64, 8).astype(np.uint64)
    permuted = octets[:, 3] | octets[:, 5] << 8 | octets[:, 1] << 16 | octets[:, 4] << 24
    shift = t.astype(np.uint64) % 32
    rotated = wide << shift | wide >> (32 - shift)
    extended = u.astype(np.uint8).astype(np.int8).astype(np.int64) + (u >> 3).astype(np.uint16)
    want = [
        quotient, remainder, wide // 10, wide * 0x9E3779B9 >> 32, bits.sum(1) + 100 * (32 - width),
        np.packbits(bits[:, ::-1], axis=1).view(">u4")[:, 0], product, permuted, rotated, extended,
    ]  # fmt: skip
    got = emulate.computed("integers", u).reshape(64, 10).T
    for i, (values, expected) in enumerate(zip(got, want, strict=True)):
        np.testing.assert_array_equal(values, expected.astype(np.uint32), err_msg=f"result {i}")


def test_functions_of_floats(emulate, rng):
    from scipy.special import erf

    x = rng.uniform(-20, 20, 64).astype(np.float32)
    v, m = x.astype(np.float64), np.abs(x.astype(np.float64))
    want = [np.exp(v), np.sin(v), np.log(m + 1), np.sqrt(m), np.tanh(v), m ** np.float32(1.3),
            1 / (v + 50), np.rint(v), np.floor(v), erf(v), np.maximum(v, 0.5)]  # fmt: skip
    got = floats(emulate.computed("floats", x)).reshape(64, 11).T
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_warps(emulate, rng, order):
    x = rng.integers(0, 1000, 64).astype(np.uint32)
    got = emulate.computed("warps", x, order).reshape(64, 6)
    lane, odd = np.arange(64), x % 2
    ballots = np.packbits(odd.astype(np.uint8), bitorder="little").view("<u4")
    maxima = x.reshape(2, 32).max(1)
    votes = 1 + 2 * (x.reshape(2, 32) == 1).any(1)
    up = np.where(lane % 16 >= 3, x[lane - 3], x)
    want = [x[lane ^ 5], up, ballots[lane // 32], np.full(64, odd.sum()), maxima[lane // 32]]
    np.testing.assert_array_equal(got, np.stack([*want, votes[lane // 32]], 1))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(
    "kernel", ["reverse", "shift", "shift_of_halves", "shift_in_warp", "dynamic_shared"]
)
def test_nothing_is_reported_without_a_mistake(emulate, rng, kernel, order):
    words = rng.integers(0, 1 << 32, 128).astype(np.uint32)
    want = {
        "reverse": words.reshape(2, 64)[:, ::-1].ravel(),
        "shift": np.roll(words[:64], -1),
        "shift_of_halves": np.roll(words[:64] & 0xFFFF, -1),
        "shift_in_warp": np.roll(words[:32], -1),
        "dynamic_shared": np.roll(words[:64], -1),
    }
    np.testing.assert_array_equal(emulate.computed(kernel, words, order), want[kernel])


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("part", ["halves", "bytes"])
@pytest.mark.parametrize("neighbour", ["threads", "blocks"])
def test_neighbours_in_a_word_are_no_race(emulate, rng, part, neighbour, order):
    words = rng.integers(0, 1 << 32, 64).astype(np.uint32)
    got = emulate.computed(f"{part}_of_{neighbour}", words, order)
    dtype = {"halves": np.uint16, "bytes": np.uint8}[part]
    np.testing.assert_array_equal(got.view(dtype), (words.view(dtype) + dtype(1)) * dtype(2))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_words_and_their_halves_are_ordered_by_barriers(emulate, rng, order):
    words = rng.integers(0, 1 << 32, 32).astype(np.uint32)
    halves = np.arange(64, dtype=np.uint16).view(np.uint32)
    for kernel, want in (
        ("halves_then_words", halves),
        ("words_read_then_halves", words),
        ("words_written_then_halves", np.full(32, 7)),
    ):
        np.testing.assert_array_equal(emulate.computed(kernel, words, order), want, err_msg=kernel)


def test_static_shared_memory_is_what_a_kernel_declares(emulate):
    np.testing.assert_array_equal(emulate.computed("static_shared", np.zeros(1, np.uint32)), [128, 0])


# ---- what it reports


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("shift_without_barrier", "shared race"),
        ("shift_of_halves_without_barrier", "shared race"),
        ("shift_in_warp_without_barrier", "shared race"),
        ("reverse_without_wait", "copy under way"),
        ("reverse_without_barrier", "shared race"),
        ("reverse_of_the_wrong_group", "copy under way"),
        ("divergent_barrier", "barrier"),
        ("beside_shared", "shared out of bounds"),
        ("beside_global", "global out of bounds"),
        ("uninitialised", "uninitialised global read"),
        ("blocks_race", "global race"),
        ("pairs_of_halves", "global race"),
        ("pairs_of_bytes", "global race"),
        ("halves_then_words_without_barrier", "global race"),
        ("words_read_then_halves_without_barrier", "global race"),
        ("words_written_then_halves_without_barrier", "global race"),
        ("misaligned", "misaligned"),
        ("too_little_shared", "shared out of bounds"),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_a_mistake_is_reported_with_its_line(emulate, rng, kernel, kind, order):
    emulate.assert_reported(kernel, kind, rng.integers(0, 1000, 128).astype(np.uint32), order)


@pytest.mark.parametrize(
    ("kernel", "report"),
    [
        ("mma_bf16_half_warp", "EMULATOR warp operation: lanes 0xffff0000 of 0xffffffff"),
        ("mma_tf32_not_rounded", "EMULATOR mma: an operand has bits below TF32"),
    ],
)
def test_a_wrong_product_is_reported(emulate, rng, kernel, report):
    _, reports = emulate(kernel, rng.standard_normal(1024).astype(np.float32))
    assert len(reports) == 1 and reports[0].startswith(report)


@pytest.mark.parametrize(
    ("kernel", "error"),
    [
        ("too_many_threads", "cudaErrorLaunchOutOfResources"),
        ("too_much_shared", "cudaErrorInvalidValue"),
    ],
)
def test_a_launch_over_the_limits_is_refused(emulate, kernel, error):
    done = subprocess.run([str(emulate.program), kernel], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 1 and done.stderr.decode().strip() == error


# ---- how it is built


def test_kernels_without_a_name_of_their_own_are_found(tmp_path):
    """nvcc numbers an anonymous namespace by its process where the source exports templates alone."""
    import emulate_cuda

    kernel, main = tmp_path / "kernel.cu", tmp_path / "main.cpp"
    kernel.write_text("""
        namespace {
        template <class T>
        __global__ void set(T* out) {
            *out = T(7);
        }
        }
        template <class T>
        int launch() {
            T *out, value = 0;
            cudaMalloc(&out, sizeof value);
            set<<<1, 1>>>(out);
            cudaMemcpy(&value, out, sizeof value, cudaMemcpyDeviceToHost);
            return int(value);
        }
        template int launch<unsigned>();
    """)
    main.write_text("template <class T> int launch(); int main() { return launch<unsigned>(); }")
    emulation = emulate_cuda.Emulation(tmp_path, "80")
    wanted = [*emulation.emulated([kernel]), (main, "main", emulation.host_compiler())]
    objects = emulation.compile(wanted, os.cpu_count() or 1)
    emulate_cuda.run("g++", "-o", tmp_path / "program", *objects)
    assert subprocess.run([tmp_path / "program"], timeout=60).returncode == 7


def test_a_reduced_module_has_what_its_kernels_use(tmp_path):
    import emulate_cuda

    emulation = emulate_cuda.Emulation(tmp_path, "80")
    emulation.copy_sources()
    with pytest.raises(SystemExit, match="no kernels: convolution; there are add, "):
        emulation.keep_kernels(["convolution"])
    emulation.keep_kernels(["lrn_pool", "sgd"])
    assert {"lrn_pool", "sgd", "lrn", "pool"} <= (kernels := {k.stem for k in emulation.kernels()})
    assert not kernels & {"conv", "conv_mma", "dropout"}
    bindings = tmp_path / "tree" / "bindings"
    calls = re.findall(r"^    bind_(\w+)\(m\);", (bindings / "module.cpp").read_text(), re.MULTILINE)
    files = {path.stem.removeprefix("bind_") for path in bindings.glob("bind_*.cpp")}
    assert set(calls) == files - {"pictures"} == kernels
    tests = emulate_cuda.test_arguments(emulation.kernels(), None, [])
    assert "tests/test_lrn_pool.py" in tests and "tests/test_fc.py" not in tests
