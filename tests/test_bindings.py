"""Whatever Python passes to an op is refused with the argument's name, or works: nothing crashes.

Every op is called with good arguments of which one is spoiled, in every way that arrays and settings
can be wrong. `OPS` is the whole table; a test compares it with alexnet_raw.ops.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16, Array, Device
from alexnet_raw.neuron import IDENT, RELU, Neuron

A = (4, 5, 6, 3)  # activations
F = (5, 3)  # (features, images)


@dataclass(frozen=True)
class Op:
    arrays: dict[str, tuple[int, ...]]
    settings: dict
    outputs: int = 1  # the first so many arrays
    in_place: tuple[tuple[str, str], ...] = ()  # pairs that may be one array
    any_shape: bool = False
    dtypes: dict[str, type] = None
    lists: tuple[str, ...] = ()  # arguments that are lists of arrays: here of one

    def dtype(self, argument: str) -> type:
        return (self.dtypes or {}).get(argument, np.float32)

    def values(self) -> dict[str, np.ndarray]:
        return {name: np.zeros(shape, self.dtype(name)) for name, shape in self.arrays.items()}


GEOMETRY = {"stride": 1, "padding": 1, "groups": 2, "accumulate": False}
CONVOLUTION = {**GEOMETRY, "algorithm": "auto", "precision": "fp32"}
LRN = {"size": 3, "scale": 1.0, "power": 0.75, "min_div": 1.0, "blocked": False}
NORM = {"size": 3, "scale": 1.0, "power": 0.75, "min_div": 1.0}
POOL = {"kind": "max", "size": 3, "stride": 2, "start": 0, "neuron": RELU}
LRN_POOL = {
    **{"norm_size": 3, "scale": 1.0, "power": 0.75, "min_div": 1.0},
    **{"size": 3, "stride": 2, "start": 0},
}
DRAWS = {"seed": 1, "layer": 2, "step": 3, "share": None}
RANDOM_POOL = {"size": 3, "stride": 2, "start": 0, **DRAWS}
DROPOUT = {"keep": 0.5, **DRAWS, "inverted": False}
CONV_OUT, CONV_WEIGHTS, POOLED = (6, 5, 6, 3), (2, 3, 3, 6), (4, 2, 3, 3)
LOCAL_WEIGHTS = (5 * 6, *CONV_WEIGHTS)
RGB = (3, 5, 6, 2)
LABELS = {"labels": np.int32}
PICTURES = {"pictures": np.uint8, "offsets": np.int32, "flips": np.uint8}

OPS = {
    "conv_forward": Op(
        {"out": CONV_OUT, "inp": A, "weights": CONV_WEIGHTS, "bias": (6,)},
        {**CONVOLUTION, "neuron": RELU},
    ),
    "conv_backward_data": Op({"dinp": A, "dout": CONV_OUT, "weights": CONV_WEIGHTS}, CONVOLUTION),
    "conv_backward_weights": Op({"dweights": CONV_WEIGHTS, "inp": A, "dout": CONV_OUT}, CONVOLUTION),
    "local_forward": Op(
        {"out": CONV_OUT, "inp": A, "weights": LOCAL_WEIGHTS, "bias": (6, 5, 6)},
        {**GEOMETRY, "neuron": RELU},
    ),
    "local_backward_data": Op({"dinp": A, "dout": CONV_OUT, "weights": LOCAL_WEIGHTS}, GEOMETRY),
    "local_backward_weights": Op({"dweights": LOCAL_WEIGHTS, "inp": A, "dout": CONV_OUT}, GEOMETRY),
    "fc_forward": Op(
        {"out": (7, 3), "inp": F, "weights": (5, 7), "bias": (7,)},
        {"neuron": RELU, "accumulate": False},
    ),
    "fc_backward_data": Op({"dinp": F, "dout": (7, 3), "weights": (5, 7)}, {"accumulate": False}),
    "fc_backward_weights": Op({"dweights": (5, 7), "inp": F, "dout": (7, 3)}, {"accumulate": False}),
    "neuron_forward": Op(
        {"out": A, "inp": A}, {"neuron": RELU}, in_place=(("out", "inp"),), any_shape=True
    ),
    "neuron_backward": Op(
        {"dinp": A, "dout": A, "inp": A, "out": A},
        {"neuron": RELU, "accumulate": False},
        in_place=(("dinp", "dout"),),
        any_shape=True,
    ),
    "noisy_relu": Op({"out": A, "inp": A}, DRAWS, in_place=(("out", "inp"),), any_shape=True),
    "bias_forward": Op({"out": A, "bias": (4, 5, 6)}, {"neuron": RELU}),
    "bias_backward": Op(
        {"dbias": (4,), "dz": A, "dout": A, "out": A},
        {"neuron": RELU, "accumulate": False},
        2,
        (("dz", "dout"),),
    ),
    "lrn_forward": Op({"out": A, "inp": A}, LRN),
    "lrn_backward": Op({"dinp": A, "dout": A, "inp": A}, {**LRN, "accumulate": False, "below": RELU}),
    "rnorm_forward": Op({"out": A, "denom": A, "inp": A}, NORM, 2),
    "rnorm_backward": Op({"dinp": A, "dout": A, "inp": A, "denom": A}, {**NORM, "accumulate": False}),
    "cnorm_forward": Op({"out": A, "denom": A, "inp": A, "differences": A}, NORM, 2),
    "cnorm_backward": Op(
        {"dinp": A, "ddifferences": A, "dout": A, "inp": A, "differences": A, "denom": A}, NORM, 2
    ),
    "pool_forward": Op({"out": POOLED, "inp": A}, POOL),
    "pool_backward": Op(
        {"dinp": A, "dout": POOLED, "inp": A, "out": POOLED},
        {**POOL, "accumulate": False, "below": RELU},
    ),
    "lrn_pool_forward": Op({"out": POOLED, "inp": A}, {**LRN_POOL, "neuron": RELU}),
    "lrn_pool_backward": Op(
        {"dinp": A, "dout": POOLED, "inp": A, "out": POOLED},
        {**LRN_POOL, "neuron": RELU, "below": RELU, "accumulate": False},
    ),
    "channels_gather": Op(
        {"out": CONV_OUT, "inp": A, "table": (2, 6)},
        {"accumulate": False},
        dtypes={"table": np.int32},
    ),
    "random_pool_forward": Op({"out": POOLED, "inp": A}, RANDOM_POOL),
    "random_pool_backward": Op({"dinp": A, "dout": POOLED}, {**RANDOM_POOL, "accumulate": False}),
    "blur": Op({"out": A, "inp": A}, {"size": 3, "stdev": 1.0, "accumulate": False}),
    "resize": Op({"out": POOLED, "inp": A}, {"scale": 1.5, "top": 0, "left": 1}),
    "mirror": Op({"out": A, "inp": A}, {}),
    "rgb_to_yuv": Op({"out": RGB, "inp": RGB}, {}),
    "rgb_to_lab": Op({"out": RGB, "inp": RGB}, {"center": True}),
    "add": Op(
        {"out": A, "inp": A},
        {"coeff": 1.0, "accumulate": True},
        in_place=(("out", "inp"),),
        any_shape=True,
    ),
    "eltmax_forward": Op({"out": A, "inp": A}, {}, in_place=(("out", "inp"),), any_shape=True),
    "eltmax_backward": Op(
        {"dinp": A, "dout": A, "inp": A, "out": A}, {"accumulate": False}, any_shape=True
    ),
    "one_hot": Op({"out": F, "labels": (3,)}, {}, dtypes=LABELS),
    "output_cost_forward": Op({"loss": (3,), "targets": F, "out": F}, {"kind": "crossent"}),
    "output_cost_backward": Op(
        {"dout": F, "targets": F, "out": F},
        {"kind": "crossent", "coeff": 1.0, "accumulate": False},
        in_place=(("dout", "out"),),
    ),
    "tica_forward": Op({"loss": (3,), "norms": A, "inp": A}, {"size": 3}, outputs=2),
    "tica_backward": Op(
        {"dinp": A, "inp": A, "norms": A}, {"size": 3, "coeff": 1.0, "accumulate": False}
    ),
    "multi_softmax": Op(
        {"probs": F, "lattice": (F[0], 2, F[1]), "inp": F, "given": (F[1],)},
        {"size": 2},
        outputs=2,
        dtypes={"given": np.int32},
    ),
    "limit_norms": Op({"weights": F}, {"least": 0.0, "most": 1.0, "centred": False}),
    "philox_uniform": Op({"out": A}, DRAWS, any_shape=True),
    "dropout_forward": Op({"out": A, "inp": A}, DROPOUT, in_place=(("out", "inp"),), any_shape=True),
    "dropout_backward": Op(
        {"dinp": A, "dout": A}, DROPOUT, in_place=(("dinp", "dout"),), any_shape=True
    ),
    "dropout_test": Op({"out": A, "inp": A}, {"keep": 0.5}, in_place=(("out", "inp"),), any_shape=True),
    "softmax_forward": Op({"out": F, "inp": F}, {}, in_place=(("out", "inp"),)),
    "softmax_backward": Op({"dinp": F, "dout": F, "out": F}, {"accumulate": False}),
    "logloss_forward": Op(
        {"loss": (3,), "top1": (3,), "topk": (3,), "probs": F, "labels": (3,)},
        {"k": 2},
        3,
        dtypes=LABELS,
    ),
    "logloss_backward": Op(
        {"dprobs": F, "probs": F, "labels": (3,)},
        {"coeff": 1.0},
        in_place=(("dprobs", "probs"),),
        dtypes=LABELS,
    ),
    "softmax_logloss_backward": Op(
        {"dinp": F, "probs": F, "labels": (3,)},
        {"coeff": 1.0},
        in_place=(("dinp", "probs"),),
        dtypes=LABELS,
    ),
    "sgd_step": Op(
        {"weights": A, "velocity": A, "rounded": A, "gradient": A, "settings": (1, 3)},
        {},
        3,
        any_shape=True,
        dtypes={"rounded": BF16},
        lists=("weights", "velocity", "rounded", "gradient"),
    ),
    "put": Op({"out": F}, {"values": np.zeros(F, np.float32)}, any_shape=True),
    "augment": Op(
        {
            "out": (3, 4, 5, 2),
            "pictures": (2, 6, 7, 3),
            "offsets": (2, 2),
            "flips": (2,),
            "mean": (3, 6, 7),
            "noise": (2, 3),
        },
        {"scale": 1.0},
        dtypes=PICTURES,
    ),
}

ARGUMENTS = [(name, argument) for name, op in OPS.items() for argument in op.arrays]
OUTPUTS = [(name, out) for name, op in OPS.items() for out in list(op.arrays)[: op.outputs]]

BIG = [2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 10**30]
NOT_A_NUMBER = [None, "1", [1], 1j, True]
NOT_AN_INTEGER = [*NOT_A_NUMBER, 1.5, math.nan]
BAD_SETTINGS = {
    "algorithm": ["", "Winograd", "fft", "direct ", "a\0uto", b"auto", 1, None, True],
    "precision": ["", "FP32", "fp16", "tf32 ", "b\0f16", b"fp32", 1, True],
    "stride": [0, -1, 2**15 + 1, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "padding": [-1, 3, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "groups": [0, -1, 3, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "norm_size": [0, -1, 33, 2**31 - 1, *BIG, *NOT_AN_INTEGER],
    "size": [0, -1, 2**15 + 1, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "start": [-3, -(2**31), *BIG, *NOT_AN_INTEGER],
    "top": [-1, 2**15 + 1, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "left": [-1, 2**15 + 1, 2**31 - 1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "k": [0, -1, -(2**31), *BIG, *NOT_AN_INTEGER],
    "seed": [-1, 2**64, 10**30, *NOT_AN_INTEGER],
    "layer": [-1, 2**32, 10**30, *NOT_AN_INTEGER],
    "step": [-1, 2**32, 10**30, *NOT_AN_INTEGER],
    "share": [(-1, 99), (0, 1), (98, 99), (0, 2**31), (0, 1, 2), (0,), (0.0, 99), [0, 99], 3, True],
    "keep": [0, -0.5, 1.5, 1e-60, math.nan, math.inf, -math.inf, *NOT_A_NUMBER],
    "power": [math.nan, math.inf, *NOT_A_NUMBER],
    "min_div": [0, -1.0, math.nan, math.inf, *NOT_A_NUMBER],
    "stdev": [0, -1.0, math.nan, math.inf, *NOT_A_NUMBER],
    "scale": NOT_A_NUMBER,
    "values": [None, 1.0, [[0.0] * 3] * 5, np.zeros((3, 5), "f4"), np.zeros(F)],
    "coeff": NOT_A_NUMBER,
    "least": [-1.0, 2.0, math.nan, math.inf, *NOT_A_NUMBER],
    "most": [-1.0, math.nan, math.inf, *NOT_A_NUMBER],
    "kind": ["median", "", None, 1],
    **{key: [None, "relu", ("relu", 1.0, 1.0), 3] for key in ("neuron", "below")},
    "accumulate": [None, "yes", 2, 1],
    "inverted": [None, "yes", 2, 0],
    "blocked": [None, "yes", 2, 0],
    "center": [None, "yes", 2, 1],
    "centred": [None, "yes", 2, 1],
}
BAD_NORM_SCALES = [-1.0, math.nan, math.inf, -math.inf]


class Fake:
    """An array by its interface alone; what the interface says need not be so."""

    def __init__(self, values: np.ndarray, **changes):
        self.values = values  # keeps the memory alive
        self.__array_interface__ = {**values.__array_interface__, **changes}
        self.shape = self.__array_interface__["shape"]

    def reshape(self, *shape):
        return Fake(self.values, **{**self.__array_interface__, "shape": shape})


def call(
    name: str, changes: dict | None = None, settings: dict | None = None, cpu: Device | None = None
):
    """Calls an op with good arguments but for the given ones."""
    op, cpu = OPS[name], cpu or Device("cpu")
    arrays = {argument: Array(values, cpu) for argument, values in op.values().items()}
    for argument, value in (changes or {}).items():
        wrap = isinstance(value, (np.ndarray, Fake))
        arrays[argument] = Array(value, cpu) if wrap else value
    arrays |= {argument: [arrays[argument]] for argument in op.lists}
    getattr(ops, name)(**arrays, **{**op.settings, **(settings or {})})


def refused(name: str, argument: str, value, error=ValueError, match: str = "") -> None:
    with pytest.raises(error, match=rf"\b{argument}\b.*{match}"):
        call(name, {argument: value})


# ---- the table


def test_the_table_holds_every_op():
    named = {name for name, f in inspect.getmembers(ops, inspect.isfunction) if name[0] != "_"}
    assert named == set(OPS)


@pytest.mark.parametrize("name", OPS)
def test_the_table_names_every_argument(name):
    assert set(inspect.signature(getattr(ops, name)).parameters) == {
        *OPS[name].arrays,
        *OPS[name].settings,
    }


@pytest.mark.parametrize("name", OPS)
def test_good_arguments_pass(name):
    call(name)


# ---- arrays


@pytest.mark.parametrize("name, argument", ARGUMENTS)
class TestArrays:
    def test_dtype(self, name, argument):
        shape = OPS[name].arrays[argument]
        for dtype in (np.float64, np.float16, np.int64, np.uint16, ">f4", "complex64", "U1", object):
            refused(name, argument, np.zeros(shape, dtype), TypeError)

    def test_dimensions(self, name, argument):
        good = OPS[name].values()[argument]
        if not (OPS[name].any_shape and len(OPS[name].arrays) == 1):
            for bad in (good[..., None], good.ravel()[:1].reshape(()), np.stack([good] * 2)):
                with pytest.raises(ValueError, match=rf"\b{argument}\b|same shape"):
                    call(name, {argument: bad})

    def test_layout(self, name, argument):
        good = OPS[name].values()[argument]
        wide = np.zeros((*good.shape[:-1], 2 * good.shape[-1]), good.dtype)
        bad = [wide[..., ::2], wide[..., : good.shape[-1]], good[::-1]]
        if good.ndim > 1:
            bad += [np.asfortranarray(good), np.broadcast_to(good[:1], good.shape)]
        else:
            bad = [wide[::2], good[::-1]]
        for array in bad:
            if not array.flags.c_contiguous:
                refused(name, argument, array, match="contiguous|read-only")

    def test_alignment(self, name, argument):
        good = OPS[name].values()[argument]
        if good.itemsize > 1:
            shifted = np.zeros(good.nbytes + 1, np.uint8)[1:].view(good.dtype).reshape(good.shape)
            refused(name, argument, shifted, match="not aligned")

    def test_empty(self, name, argument):
        shape = OPS[name].arrays[argument]
        for axis in range(len(shape)):
            empty = (*shape[:axis], 0, *shape[axis + 1 :])
            refused(name, argument, np.zeros(empty, OPS[name].dtype(argument)), match="empty")

    def test_not_an_array(self, name, argument):
        for value in (
            *([] if argument in ("bias", "targets", "given", "rounded") else [None]),
            [1.0],
            1.0,
            "x",
            np.zeros(3).tolist(),
        ):
            refused(name, argument, value, TypeError)

    def test_another_device(self, name, argument):
        if len(OPS[name].arrays) > 1:
            other = Device("cpu", 1).upload(OPS[name].values()[argument])
            with pytest.raises(ValueError, match=rf"\b{argument} .*exchange"):
                call(name, {argument: other})

    def test_too_large(self, name, argument):
        good = OPS[name].values()[argument]
        rest = (1,) * (good.ndim - 1)
        for size in (2**31, 2**33, 2**62):
            refused(name, argument, Fake(good, shape=(size, *rest), strides=None), match=r"2\^31")
        if good.ndim > 1:
            for shape in [(2**16, 2**15), (2**40, 2**40), (2**62, 4)]:
                fake = Fake(good, shape=(*shape, *rest[1:]), strides=None)
                refused(name, argument, fake, match=r"2\^31")

    def test_interface_that_lies(self, name, argument):
        good = OPS[name].values()[argument]
        refused(name, argument, Fake(good, strides=(4,) * 7), match="contiguous")
        refused(name, argument, Fake(good, strides=()), match="contiguous")
        refused(name, argument, Fake(good, data=(0, False)), match="not aligned")
        refused(name, argument, Fake(good, shape=(-1, *good.shape[1:])), match="empty")
        for change in [{"data": None}, {"data": (1,)}, {"data": ("x", 0)}, {"typestr": 4}]:
            refused(name, argument, Fake(good, **change), TypeError, "cannot be used")


@pytest.mark.parametrize("name, out", OUTPUTS)
class TestOutputs:
    def test_read_only(self, name, out):
        array = OPS[name].values()[out]
        array.flags.writeable = False
        refused(name, out, array, match="read-only")

    def test_overlap(self, name, out):
        """Of an output with any other argument: shifted by an element, and exactly."""
        op = OPS[name]
        item = np.dtype(op.dtype(out)).itemsize
        size = int(np.prod(op.arrays[out])) * item
        for other, shape in op.arrays.items():
            if other == out:
                continue
            count = int(np.prod(shape)) * np.dtype(op.dtype(other)).itemsize
            for shift in (0, 4, size - 4):
                if shift == 0 and ((out, other) in op.in_place or (other, out) in op.in_place):
                    continue
                memory = np.zeros(size + count, np.uint8)
                both = {
                    out: memory[:size].view(op.dtype(out)).reshape(op.arrays[out]),
                    other: memory[shift : shift + count].view(op.dtype(other)).reshape(shape),
                }
                with pytest.raises(ValueError, match=rf"\b({out}|{other})\b.*overlap"):
                    call(name, both)
            memory = np.zeros(size + count, np.uint8)
            beside = {
                out: memory[:size].view(op.dtype(out)).reshape(op.arrays[out]),
                other: memory[size:].view(op.dtype(other)).reshape(shape),
            }
            call(name, beside)

    def test_in_place(self, name, out):
        for pair in OPS[name].in_place:
            if out in pair:
                same = OPS[name].values()[out]
                call(name, dict.fromkeys(pair, same))


# ---- settings


@pytest.mark.parametrize("name, setting", [(name, s) for name, op in OPS.items() for s in op.settings])
def test_settings(name, setting):
    values = list(BAD_SETTINGS[setting])
    if setting == "scale" and name != "augment":
        values += BAD_NORM_SCALES
    for value in values:
        with pytest.raises((TypeError, ValueError), match=rf"\b{setting}\b"):
            call(name, settings={setting: value})


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if "neuron" in op.settings])
def test_neurons(name):
    with pytest.raises(ValueError, match="neuron 'spline' is not one of"):
        call(name, settings={"neuron": _unchecked_neuron("spline")})


def _unchecked_neuron(kind: str) -> Neuron:
    neuron = object.__new__(Neuron)
    for key, value in (("kind", kind), ("a", 1.0), ("b", 1.0)):
        object.__setattr__(neuron, key, value)
    return neuron


@pytest.mark.parametrize("kind", ["max", "maxabs", "avg"])
def test_pool_windows_must_hold_a_pixel(kind):
    for settings in ({"start": 5}, {"start": 2**31 - 1}, {"stride": 5}, {"size": 2, "start": -2}):
        with pytest.raises(ValueError, match=r"window"):
            call("pool_forward", settings={"kind": kind, **settings})


def test_labels_and_crops_beyond_their_arrays():
    for bad in (-1, 5, 2**31 - 1, -(2**31)):
        labels = np.array([0, bad, 1], np.int32)
        for name in ("logloss_forward", "logloss_backward", "softmax_logloss_backward"):
            with pytest.raises(ValueError, match=r"labels\[1\]"):
                call(name, {"labels": labels})
        for column in (0, 1):
            offsets = np.zeros((2, 2), np.int32)
            offsets[1, column] = bad
            with pytest.raises(ValueError, match=r"offsets\[1\]"):
                call("augment", {"offsets": offsets})


def test_numpy_numbers_are_settings():
    call("pool_forward", settings={"size": np.int64(3), "stride": np.uint8(2), "start": np.int32(0)})
    call("dropout_forward", settings={"keep": np.float32(0.5), "seed": np.uint64(2**64 - 1)})
    call(
        "lrn_backward",
        settings={"accumulate": np.True_, "below": IDENT, "scale": 1, "power": np.float64(1)},
    )


def test_extension_refuses_strangers_too(cpu):
    """The extension itself, without alexnet_raw.ops before it."""
    out = np.zeros(A, np.float32)
    for bad in (None, 3, "x", b"x", object(), np.ndarray, out.tolist()):
        with pytest.raises(TypeError, match="inp"):
            cpu.module.add(out=out, inp=bad, coeff=1.0, accumulate=True, stream=0)
    small = cpu.empty(1).data
    values = {name: v for name, v in OPS["bias_backward"].values().items()}
    values.update({n: np.zeros((1, 3000, 7, 100), np.float32) for n in ("dz", "dout", "out")})
    values["dbias"] = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match=r"scratch .*too small"):
        cpu.module.bias_backward(
            **values,
            neuron=("relu", 1.0, 1.0),
            accumulate=False,
            scratch=lambda floats: small,
            stream=0,
        )
