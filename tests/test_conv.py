"""conv.cu against reference/conv.py: three passes, every geometry that the field's nets use."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import conv as reference
from tests.conftest import assert_close

# images, channels, height, width, filters, filter, stride, padding, groups
CASES = [
    (1, 1, 1, 1, 1, 1, 1, 0, 1),
    (2, 3, 7, 7, 5, 3, 1, 1, 1),
    (3, 5, 8, 6, 7, 5, 1, 2, 1),
    (31, 3, 11, 9, 6, 5, 2, 1, 1),
    (33, 1, 13, 13, 3, 11, 4, 0, 1),  # implicit columns on the right and at the bottom
    (127, 3, 5, 5, 16, 3, 1, 1, 1),
    (129, 5, 4, 3, 2, 3, 1, 1, 1),
    (8, 48, 6, 6, 24, 5, 1, 2, 1),
    (16, 8, 6, 6, 12, 3, 1, 1, 4),
    (5, 6, 9, 9, 10, 3, 3, 2, 2),
    (4, 3, 12, 12, 48, 7, 4, 3, 1),
    (2, 4, 6, 7, 8, 1, 2, 0, 1),  # stride beyond the filter: pixels without any tap
    (9, 130, 3, 3, 140, 5, 1, 2, 1),  # ragged last tiles of rows; several steps of depth in each block
    (32, 40, 2, 2, 270, 2, 1, 0, 2),
    (128, 2, 24, 23, 3, 3, 1, 1, 1),  # more strips of winograd than a GPU has blocks at a time
    (7, 40, 12, 11, 56, 5, 1, 2, 1),  # several chunks of winograd's weights pass on a CPU
    (3, 4, 10, 9, 9, 3, 1, 0, 1),
    (10, 7, 6, 14, 5, 5, 1, 4, 1),
    (1, 7, 6, 3, 5, 5, 1, 4, 1),  # a vector's columns reach over rows; more columns than the input has
    (1, 3, 23, 25, 200, 5, 2, 1, 1),  # and lie apart in the input; several tiles of one picture
    (6, 20, 13, 13, 30, 3, 1, 1, 2),
    (3, 110, 17, 30, 20, 3, 1, 1, 1),  # several bands of tiles, chunks of depth and strips of filters
]
FEW_IMAGES = [  # fully connected
    (1, 1, 1, 1, 1, 1, 1, 0, 1),
    (1, 130, 1, 1, 1037, 1, 1, 0, 1),
    (2, 13, 1, 1, 300, 1, 1, 0, 1),
    (5, 1037, 1, 1, 9, 1, 1, 0, 1),
    (8, 66, 1, 1, 70, 1, 2, 0, 1),
]


def suits_winograd(k: int, stride: int) -> bool:
    return stride == 1 and k in (3, 5)


ALL_CASES = [(case, "direct") for case in CASES]
ALL_CASES += [(case, "winograd") for case in CASES if suits_winograd(case[5], case[6])]
ALL_CASES += [(case, "auto") for case in FEW_IMAGES]


def case_id(case) -> str:
    return "n{}-c{}-{}x{}-f{}-k{}-s{}-p{}-g{}".format(*case[0]) + f"-{case[1]}"


@pytest.fixture(params=ALL_CASES, ids=case_id)
def case(request, rng):
    (n, c, h, w, f, k, stride, padding, groups), algorithm = request.param
    settings = {"stride": stride, "padding": padding, "groups": groups}
    out_shape = (f, conv_output_size(h, k, stride, padding), conv_output_size(w, k, stride, padding), n)
    return {
        "settings": settings,
        "algorithm": algorithm,
        "inp": rng.standard_normal((c, h, w, n), np.float32),
        "weights": rng.standard_normal((c // groups, k, k, f), np.float32),
        "bias": rng.standard_normal(f, np.float32),
        "dout": rng.standard_normal(out_shape, np.float32),
    }


@pytest.mark.parametrize("neuron", [RELU, Neuron("tanh", 1.7159, 0.6667)], ids=str)
def test_forward(guarded, case, neuron):
    out = guarded.out(*case["dout"].shape)
    args = [case[k] for k in ("inp", "weights", "bias")]
    how = {**case["settings"], "algorithm": case["algorithm"]}
    ops.conv_forward(out, *map(guarded.inp, args), neuron=neuron, **how)
    assert_close(out, reference.forward(*args, **case["settings"], neuron=neuron))


def test_forward_accumulates_before_bias_and_neuron(guarded, case):
    """A layer with two inputs: f(a + b + bias)."""
    first = case["dout"]
    out = guarded.inp(first)
    args = [case[k] for k in ("inp", "weights", "bias")]
    how = {**case["settings"], "algorithm": case["algorithm"]}
    ops.conv_forward(out, *map(guarded.inp, args), neuron=RELU, accumulate=True, **how)
    want = reference.forward(*args, **case["settings"], neuron=IDENT) + first
    assert_close(out, np.maximum(want, 0))


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_data(guarded, case, rng, accumulate):
    was = rng.standard_normal(case["inp"].shape, np.float32)
    dinp = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    dout, weights = guarded.inp(case["dout"]), guarded.inp(case["weights"])
    how = {**case["settings"], "algorithm": case["algorithm"]}
    ops.conv_backward_data(dinp, dout, weights, accumulate=accumulate, **how)
    want = reference.backward_data(case["dout"], case["weights"], was.shape, **case["settings"])
    assert_close(dinp, want + was if accumulate else want)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_weights(guarded, case, rng, accumulate):
    was = rng.standard_normal(case["weights"].shape, np.float32)
    dweights = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    inp, dout = guarded.inp(case["inp"]), guarded.inp(case["dout"])
    how = {**case["settings"], "algorithm": case["algorithm"]}
    ops.conv_backward_weights(dweights, inp, dout, accumulate=accumulate, **how)
    want = reference.backward_weights(case["inp"], case["dout"], was.shape, **case["settings"])
    assert_close(dweights, want + was if accumulate else want)


@pytest.mark.parametrize("algorithm, images", [("direct", 4), ("winograd", 4), ("winograd", 9)])
def test_one_layer_of_alexnet(guarded, rng, algorithm, images):
    """conv3 of one tower at its true width."""
    settings = {"stride": 1, "padding": 1, "groups": 1}
    how = {**settings, "algorithm": algorithm}
    inp = rng.standard_normal((256, 13, 13, images), np.float32)
    weights = rng.standard_normal((256, 3, 3, 192), np.float32)
    dout = rng.standard_normal((192, 13, 13, images), np.float32)
    out, dinp, dweights = guarded.out(*dout.shape), guarded.out(*inp.shape), guarded.out(*weights.shape)
    i, w, d = map(guarded.inp, (inp, weights, dout))
    ops.conv_forward(out, i, w, **how)
    ops.conv_backward_data(dinp, d, w, **how)
    ops.conv_backward_weights(dweights, i, d, **how)
    assert_close(out, reference.forward(inp, weights, None, **settings, neuron=IDENT))
    assert_close(dinp, reference.backward_data(dout, weights, inp.shape, **settings))
    assert_close(dweights, reference.backward_weights(inp, dout, weights.shape, **settings))


@pytest.mark.parametrize(
    "algorithm, inp_shape, weights_shape, padding",
    [
        ("direct", (3, 9, 9, 33), (3, 3, 3, 300), 1),
        ("direct", (3, 9, 9, 1), (3, 3, 3, 10), 1),
        ("winograd", (3, 9, 9, 33), (3, 3, 3, 300), 1),
        ("winograd", (3, 30, 30, 2), (3, 3, 3, 70), 1),
        ("auto", (500, 1, 1, 3), (500, 1, 1, 70), 0),
    ],
)
def test_threads_do_not_change_a_bit(rng, cpu, algorithm, inp_shape, weights_shape, padding):
    inp, weights = rng.standard_normal(inp_shape), rng.standard_normal(weights_shape)
    out_shape = (weights_shape[-1], *inp_shape[1:])
    how = {"padding": padding, "algorithm": algorithm}
    results = []
    for threads in (1, 2, 3):
        cpu.module.set_threads(threads)
        out, dinp, dweights = (cpu.empty(shape) for shape in (out_shape, inp.shape, weights.shape))
        i, w = [cpu.upload(a.astype(np.float32)) for a in (inp, weights)]
        ops.conv_forward(out, i, w, **how)
        ops.conv_backward_data(dinp, out, w, **how)
        ops.conv_backward_weights(dweights, i, out, **how)
        results.append([a.numpy().tobytes() for a in (out, dinp, dweights)])
    cpu.module.set_threads(0)
    assert results[0] == results[1] == results[2]


def test_bad_arguments(cpu):
    a = {
        "out": cpu.zeros((8, 5, 5, 2)),
        "inp": cpu.zeros((3, 5, 5, 2)),
        "weights": cpu.zeros((3, 3, 3, 8)),
    }
    ops.conv_forward(**a, padding=1)
    for change, settings, message in [
        ({}, {"padding": 0}, r"out \(8, 5, 5, 2\) float32 must have shape \(8, 3, 3, 2\)"),
        ({}, {"padding": 3}, "padding must be at least 0 and smaller than the filter, got 3"),
        ({}, {"padding": -1}, "padding must be at least 0"),
        ({}, {"padding": 1, "stride": 0}, "stride must be at least 1, got 0"),
        ({}, {"padding": 1, "groups": 2}, "groups=2 must divide the channels"),
        (
            {"weights": cpu.zeros((4, 3, 3, 8))},
            {"padding": 1},
            r"weights .* must have shape \(3, 3, 3, 8\)",
        ),
        ({"inp": cpu.zeros((3, 5, 5))}, {"padding": 1}, "inp must have 4 dimensions"),
        ({"inp": cpu.zeros((3, 5, 5, 0))}, {"padding": 1}, "inp is empty"),
        ({"bias": cpu.zeros(7)}, {"padding": 1}, "bias .*one bias per filter"),
        ({"out": a["inp"]}, {"padding": 1}, "out"),
        ({}, {"padding": 1, "algorithm": "fft"}, "'auto', 'direct', 'winograd' or 'wgmma', got 'fft'"),
        (
            {"out": cpu.zeros((8, 3, 3, 2))},
            {"padding": 1, "stride": 2, "algorithm": "winograd"},
            "algorithm='winograd' needs stride 1 and filters of 3 x 3 or 5 x 5, got stride 2",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.conv_forward(**{**a, **change}, **settings)
    square = cpu.zeros((3, 5, 5, 2))
    with pytest.raises(ValueError, match="overlap"):
        ops.conv_forward(square, square, cpu.zeros((3, 3, 3, 3)), padding=1)
