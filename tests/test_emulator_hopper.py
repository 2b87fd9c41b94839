"""The PTX emulator on instructions of Hopper: mbarriers, bulk copies, products of warpgroups.

The kernels are in emulator_hopper_kernels.cu, which is compiled here. Skipped as test_emulator.py is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.emulated import TOOL, Emulated, bf16, floats, needs_emulator

SOURCE = Path(__file__).with_name("emulator_hopper_kernels.cu")

pytestmark = needs_emulator


@pytest.fixture(scope="module")
def emulate(tmp_path_factory) -> Emulated:
    return Emulated(SOURCE, "90a", tmp_path_factory.mktemp("emulator"))


def random_bf16(rng, shape) -> np.ndarray:
    return bf16(rng.standard_normal(shape).astype(np.float32)).astype(np.uint16)


def values(halves: np.ndarray) -> np.ndarray:
    return floats(halves.astype(np.uint32) << 16)


def swizzled(offset: np.ndarray, bits: int) -> np.ndarray:
    """Bytes' offsets, whose bits from 4 on those from 7 on change: CuTe's Swizzle<bits, 4, 3>."""
    return offset ^ (offset >> 7 & (1 << bits) - 1) << 4


# ---- boxes of tensors

TYPES = {1: 0, 2: 9, 4: 2, 8: 4}  # element bytes: uint8, bfloat16, uint32, uint64 of the driver
ENTRIES = {"sizes": 5, "strides": 4, "box": 5, "steps": 5, "at": 5}


def request(itemsize: int, sizes, box, **given) -> np.ndarray:
    """The 32 words before the data."""
    steps = given.setdefault("steps", [1] * len(sizes))
    given.setdefault("strides", np.cumprod([itemsize * sizes[0], *sizes[1:-1]]).tolist())
    bytes_ = itemsize * np.prod(counts(box, steps))
    words = [given.get("rank", len(sizes)), TYPES[itemsize], given.get("swizzle", 0), bytes_]
    words.append(given.get("offset", 0))
    for name, count in ENTRIES.items():
        entry = {"sizes": sizes, "box": box}.get(name, given.get(name, []))
        words += [*entry, *[0] * count][:count]
    return np.array([*words, 0, 0, 0], np.int64).astype(np.uint32)


def counts(box, steps) -> list[int]:
    """How many elements are copied; along the innermost side there are no steps."""
    return [box[0], *(-(-side // step) for side, step in zip(box[1:], steps[1:], strict=True))]


def box_of(tensor: np.ndarray, box, at, steps) -> np.ndarray:
    """The box of a tensor whose last axis is the innermost; zeros outside."""
    got = np.zeros(counts(box, steps)[::-1], tensor.dtype)
    for index in np.ndindex(*got.shape[::-1]):
        place = [x + i * step for x, i, step in zip(at, index, [1, *steps[1:]], strict=True)]
        if all(0 <= p < size for p, size in zip(place, tensor.shape[::-1], strict=True)):
            got[index[::-1]] = tensor[tuple(place[::-1])]
    return got


@pytest.mark.parametrize(
    ("itemsize", "sizes", "box", "at", "steps", "swizzle"),
    [
        (4, [40], [32], [3], [1], 0),
        (4, [40], [32], [-5], [1], 0),
        (2, [48, 9], [8, 16], [44, -3], [1, 1], 0),
        (2, [40, 20], [16, 8], [-2, 5], [1, 1], 1),
        (2, [56, 20], [32, 24], [8, -1], [1, 1], 2),
        (2, [72, 40], [64, 32], [16, 10], [1, 1], 3),
        (2, [24, 12, 10], [16, 5, 7], [4, -1, 6], [1, 2, 3], 0),
        (2, [72, 5, 6, 4], [64, 3, 2, 2], [-8, 3, -1, 1], [1, 1, 1, 1], 3),
        (1, [32, 4, 5, 3, 6], [16, 3, 4, 2, 3], [20, 2, -1, 1, 4], [1, 1, 2, 1, 1], 0),
        (8, [6, 5], [2, 4], [5, 2], [1, 1], 0),
    ],
)
def test_a_box_of_a_tensor_with_zeros_outside(emulate, rng, itemsize, sizes, box, at, steps, swizzle):
    pitch = -(-itemsize * sizes[0] // 16) * 16 + 16  # rows have gaps
    rows = rng.integers(1, 256, (*sizes[:0:-1], pitch), np.uint8)
    tensor = rows[..., : itemsize * sizes[0]].copy().view(f"u{itemsize}")
    strides = np.cumprod([pitch, *sizes[1:-1]]).tolist()
    words = request(itemsize, sizes, box, at=at, steps=steps, swizzle=swizzle, strides=strides)
    got = emulate.computed("box", np.concatenate([words, rows.ravel().view(np.uint32)]))
    image = box_of(tensor, box, at, steps).ravel().view(np.uint8)
    want = np.zeros_like(image)
    start = 128  # where it lies in the swizzle's pattern
    want[swizzled(np.arange(image.size) + start, swizzle) - start] = image
    np.testing.assert_array_equal(got.view(np.uint8)[: image.size], want)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rank": 6}, "the rank is not 1 to 5"),
        ({"rank": 0}, "the rank is not 1 to 5"),
        ({"offset": 8}, "the address is not a multiple of 16"),
        ({"strides": [72]}, "a stride is not a multiple of 16"),
        ({"sizes": [0, 8]}, "a size is not 1 to 2^32"),
        ({"box": [16, 257]}, "a side of the box is not 1 to 256"),
        ({"box": [12, 8]}, "the inner side of the box is not a multiple of 16 bytes"),
        ({"box": [32, 8], "swizzle": 1}, "the inner side of the box exceeds the swizzle"),
        ({"steps": [1, 9]}, "an element stride is not 1 to 8"),
        ({"swizzle": 4}, "no such swizzle on this device"),
    ],
)
def test_a_bad_tensor_map_is_refused(emulate, change, reason):
    words = request(2, **({"sizes": [32, 8], "box": [16, 8], "at": [0, 0], "strides": [64]} | change))
    done = subprocess.run(
        [str(emulate.program), "box"], input=words.tobytes(), capture_output=True, timeout=60
    )
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert lines == [f"EMULATOR tensor map: {reason}", "cuTensorMapEncodeTiled returned 1"]


def test_a_box_outside_the_allocations_is_reported(emulate):
    words = request(2, [32, 4096], [32, 32], at=[0, 4000])
    _, reports = emulate("box", np.concatenate([words, np.zeros(64, np.uint32)]))
    assert len(reports) == 1 and reports[0].startswith("EMULATOR global out of bounds: read of 4 bytes")


# ---- products


def laid_out(index: np.ndarray, shape, strides) -> np.ndarray:
    """The offset of an index in a mode of a CuTe layout, the first part fastest."""
    offset = np.zeros_like(index)
    for size, stride in zip(shape, strides, strict=True):
        offset += index % size * stride
        index = index // size
    return offset


def canonical(transposed: bool, bits: int, leading: int, stride: int) -> np.ndarray:
    """Bytes' offsets of the elements of 64 x 16 before the swizzle: PTX's canonical layouts, as CUTLASS
    writes them in mma_traits_sm90_gmma.hpp."""
    outer, depth = np.arange(64)[:, None], np.arange(16)[None]
    row = 16 << bits  # bytes
    if transposed:
        steps = (leading, stride) if bits else (stride, leading)
        return laid_out(outer, (row // 2, 64), (2, steps[0])) + laid_out(depth, (8, 2), (row, steps[1]))
    columns = (2, 16) if bits else (2, leading)
    return laid_out(outer, (8, 8), (row, stride)) + laid_out(depth, (8, 2), columns)


# (transposed, swizzle bits, leading offset, stride offset, start, base offset)
LAYOUTS = [
    (False, 0, 128, 256, 0, 0),
    (False, 0, 1024, 128, 128, 0),
    (False, 1, 0, 256, 0, 0),
    (False, 2, 0, 512, 32, 0),
    (False, 3, 0, 1024, 0, 0),
    (False, 3, 0, 1024, 96, 0),
    (False, 3, 0, 1024, 384, 3),
    (False, 2, 0, 640, 0, 0),
    (True, 0, 128, 256, 0, 0),
    (True, 0, 1024, 128, 64, 0),
    (True, 1, 512, 256, 0, 0),
    (True, 2, 1024, 512, 0, 0),
    (True, 2, 512, 1024, 0, 0),
    (True, 3, 0, 1024, 0, 0),
    (True, 3, 0, 2048, 1024, 0),
    (True, 3, 0, 1024, 640, 5),
]


def operand(matrix: np.ndarray, layout) -> tuple[list[int], np.ndarray]:
    """The words of its descriptor, and 16 KiB of shared memory that hold the matrix of 64 x 16."""
    transposed, bits, leading, stride, start, base = layout
    offsets = canonical(transposed, bits, leading, stride)
    offsets = start + swizzled(offsets, bits) if base else swizzled(start + offsets, bits)
    halves = np.full(8192, 0x7FC0, np.uint16)
    halves[offsets // 2] = matrix
    return [leading, stride, {0: 0, 1: 3, 2: 2, 3: 1}[bits], start, base, 0, 0, 0], halves


NAMES = {(0, 0): "", (1, 0): "_transposed_a", (0, 1): "_transposed_b", (1, 1): "_transposed_both"}


@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_a", [LAYOUTS[0], LAYOUTS[5], LAYOUTS[13]])
def test_a_product_of_matrices_in_shared_memory(emulate, rng, layout_a, layout_b):
    for a_layout, b_layout in ((layout_a, layout_b), (layout_b, layout_a)):
        a, b = random_bf16(rng, (64, 16)), random_bf16(rng, (64, 16))
        (words_a, image_a), (words_b, image_b) = operand(a, a_layout), operand(b, b_layout)
        add = int(rng.integers(2))
        start = np.array([1.5], np.float32).view(np.uint32)[0]
        words = np.array([*words_a, *words_b, start, add, *[0] * 14], np.uint32)
        images = np.concatenate([image_a, image_b]).view(np.uint32)
        name = "product" + NAMES[a_layout[0], b_layout[0]]
        got = emulate.computed(name, np.concatenate([words, images]))
        want = 1.5 * add - values(a) @ values(b).T  # the instruction's sign of A
        np.testing.assert_allclose(floats(got).reshape(64, 64), want, rtol=2e-7, atol=1e-6)


def product_input(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A and B of product_of_registers, and its words: A, B without a swizzle, 1."""
    a, b = random_bf16(rng, (64, 16)), random_bf16(rng, (64, 16))
    image = np.zeros(1024, np.uint16)
    image[canonical(False, 0, 128, 256) // 2] = b
    words = np.concatenate([x.ravel().view(np.uint32) for x in (a, image)])
    return a, b, np.append(words, np.uint32(1))


@pytest.mark.parametrize("order", [0, 1])
def test_a_product_of_registers(emulate, rng, order):
    a, b, words = product_input(rng)
    got = emulate.computed("product_of_registers", words, order)
    want = 2 * values(a) @ values(b).T
    np.testing.assert_allclose(floats(got).reshape(64, 64), want, rtol=2e-6, atol=1e-5)


def test_products_of_other_shapes(emulate, rng):
    a, narrow, wide = (random_bf16(rng, (rows, 16)) for rows in (64, 8, 256))
    images = np.zeros(1024, np.uint16), np.zeros(128, np.uint16), np.zeros(4096, np.uint16)
    images[0][canonical(False, 0, 128, 256) // 2] = a
    images[1][canonical(False, 0, 128, 256)[:8] // 2] = narrow
    for i in range(4):  # leading: from 64 columns to the next
        offsets = 2048 * i + swizzled(canonical(True, 3, 0, 1024), 3)
        images[2][offsets // 2] = wide[64 * i : 64 * i + 64]
    got = floats(emulate.computed("products_of_other_shapes", np.concatenate(images).view(np.uint32)))
    for values_got, b in ((got[:512], narrow), (got[512:], wide)):
        want = values(a) @ values(b).T
        np.testing.assert_allclose(values_got.reshape(want.shape), want, rtol=2e-7, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("product_without_proxy_fence", "proxy fence"),
        ("product_without_register_fence", "wgmma fence"),
        ("product_of_late_registers", "wgmma fence"),
        ("product_without_wait", "product under way"),
        ("product_by_three_warps", "wgmma"),
        ("product_overwritten", "product under way"),
        ("product_without_barrier_behind", "shared race"),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_a_mistake_with_a_product_is_reported(emulate, rng, kernel, kind, order):
    emulate.assert_reported(kernel, kind, product_input(rng)[2], order)


# ---- pipelines of copies and products


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_a_pipeline(emulate, rng, order):
    a, b = random_bf16(rng, (128, 320)), random_bf16(rng, (64, 320))
    got = emulate.computed("pipeline", np.concatenate([a, b]).view(np.uint32), order)
    want = values(a) @ values(b).T
    np.testing.assert_allclose(floats(got).reshape(128, 64), want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("mistake", "kind"),
    [
        ("without_full_wait", "uninitialised shared read"),
        ("without_empty_wait", "mbarrier"),
        ("without_product_wait", "product under way"),
        ("with_early_release", "product under way"),
        ("that_one_group_releases", "shared race"),
        ("without_commit", "product under way"),
        ("of_the_wrong_phase", "deadlock"),
        ("that_waits_for_the_phase_before", "uninitialised shared read"),
        ("of_too_many_bytes", "deadlock"),
        ("of_too_few_bytes", "deadlock"),
        ("without_init_fence", "proxy fence"),
        ("without_init_barrier", "mbarrier"),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_a_mistake_in_a_pipeline_is_reported(emulate, rng, mistake, kind, order):
    words = random_bf16(rng, (192, 320)).view(np.uint32)
    emulate.assert_reported(f"pipeline_{mistake}", kind, words, order)


# ---- the rest


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("kernel", ["bulk", "rounds", "named_barriers", "registers"])
def test_nothing_is_reported_without_a_mistake(emulate, rng, kernel, order):
    x = rng.integers(0, 1 << 30, 384).astype(np.uint32)
    want = {
        "bulk": x[255::-1],
        "rounds": 3 * np.roll(x[:64], -1) + 3,
        "named_barriers": x[:96].reshape(3, 32)[:, ::-1].ravel(),
        "registers": x + (np.arange(384) % 32 == 0),
    }
    np.testing.assert_array_equal(emulate.computed(kernel, x, order), want[kernel].astype(np.uint32))


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("bulk_without_proxy_fence", "proxy fence"),
        ("bulk_without_wait", "shared race"),
        ("bulk_without_any_wait", "copy under way"),
        ("bulk_unwaited", "copy under way"),
        ("too_many_arrivals", "mbarrier"),
        ("not_initialised", "mbarrier"),
        ("named_barriers_without_one", "shared race"),
        ("half_a_barrier", "deadlock"),
        ("too_many_registers", "registers"),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_a_mistake_is_reported_with_its_line(emulate, rng, kernel, kind, order):
    emulate.assert_reported(kernel, kind, rng.integers(0, 1000, 384).astype(np.uint32), order)


NOBODY_ARRIVES = "lacks 1 of 2 arrivals, and expects 0 bytes of which 0 are under way: byte 8 of "
NOBODY_COPIES = "lacks 0 of 1 arrivals, and expects 256 bytes of which 0 are under way: byte 24 of "


@pytest.mark.parametrize(
    ("case", "kernel", "lacking", "mbarriers"),
    [
        ("nobody_arrives", "nobody_arrives<true, false>", NOBODY_ARRIVES, r"\w+8barriers"),
        ("nobody_arrives_of_others", "nobody_arrives<true, true>", NOBODY_ARRIVES, r"\w+8barriers"),
        ("nobody_arrives_at_tests", "nobody_arrives<false, false>", NOBODY_ARRIVES, r"\w+8barriers"),
        ("nobody_copies", "nobody_copies", NOBODY_COPIES, "dynamic shared memory"),
    ],
    ids=["arrivals", "others finish", "tests", "bytes"],
)
@pytest.mark.parametrize("order", [0, 1])
def test_a_wait_for_ever_names_kernel_and_mbarrier(emulate, case, kernel, lacking, mbarriers, order):
    environment = os.environ | {"EMULATOR_SEED": str(order)}
    command = [str(emulate.program), case]
    done = subprocess.run(command, input=b"", capture_output=True, env=environment, timeout=60)
    text = done.stderr.decode()
    waits = "EMULATOR deadlock: 32 threads wait here for ever, at an mbarrier whose phase 0 "
    place = rf"{mbarriers}, at \S+{SOURCE.name}:\d+\n"
    thread = r"    block \(0, 0, 0\) thread \(0, 0, 0\) of .*::"
    want = re.escape(waits + lacking) + place + thread + re.escape(kernel) + r"\("
    assert re.search(want, text), text
    assert done.returncode == 1 and text.endswith("\ncudaErrorLaunchFailure\n")


def test_calls_that_order_are_found_to_be_deleted():
    import emulate_cuda

    calls = """
    __syncthreads();
    wait_for_copies<1>();  // of the stage before
        mbarrier_wait(full[stage], phase);
    wait_for_products<0>();
    fence_shared_for_async();
"""
    others = """
__device__ void mbarrier_wait(uint64_t& mbarrier, uint32_t parity) {
    // mbarrier_wait(full, 0);
    if (first) mbarrier_wait(empty[stage], 1);
    mbarrier_arrive(empty[stage]);
"""
    found = [m.group() for m in emulate_cuda.BARRIER.finditer(calls + others)]
    assert found == calls.strip("\n").split("\n")


@pytest.mark.parametrize(
    "instruction",
    [
        "mapa.shared::cluster.u32 %r1, %r1, 1;",
        "barrier.cluster.arrive.aligned;",
        "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%r1], [%rd1, {%r1}], [%r1], %rs1;",
    ],
)
def test_clusters_are_refused(tmp_path, instruction):
    registers = ".reg .b16 %rs<2>; .reg .b32 %r<2>; .reg .b64 %rd<2>;"
    source = tmp_path / "kernel.ptx"
    source.write_text(f".visible .entry kernel()\n{{ {registers}\n{instruction}\nret; }}\n")
    translate = [
        sys.executable,
        TOOL.with_suffix("") / "ptx" / "translate.py",
        source,
        tmp_path / "out",
    ]
    done = subprocess.run(translate, capture_output=True, text=True)
    want = f"kernel.ptx:3: not supported (clusters of more than one block): {instruction[:-1]}"
    assert done.returncode == 1 and done.stderr.strip() == want
