"""local.cu against reference/local.py, and that oracle's gradients against numerical ones."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import conv
from alexnet_raw.reference import local as reference
from tests.conftest import assert_close, numerical_gradient

# images, channels, height, width, filters, filter, stride, padding, groups
CASES = [
    (1, 1, 1, 1, 1, 1, 1, 0, 1),
    (2, 3, 5, 6, 5, 3, 1, 1, 1),
    (3, 5, 6, 4, 7, 5, 1, 2, 1),
    (31, 3, 7, 6, 6, 5, 2, 1, 1),
    (33, 1, 9, 9, 3, 7, 3, 0, 1),  # implicit columns on the right and at the bottom
    (127, 3, 4, 4, 16, 3, 1, 1, 1),
    (129, 5, 3, 2, 2, 3, 1, 1, 1),  # two tiles of images
    (8, 48, 4, 4, 24, 3, 1, 1, 1),
    (16, 8, 4, 4, 12, 3, 1, 1, 4),
    (5, 6, 7, 7, 10, 3, 3, 2, 2),
    (2, 4, 5, 6, 8, 1, 2, 0, 1),  # stride beyond the filter: pixels that no position sees
    (9, 70, 2, 2, 140, 3, 1, 1, 1),  # several tiles of rows, the last ragged, and steps of depth
    (32, 200, 1, 2, 6, 1, 1, 0, 2),
]


def case_id(case) -> str:
    return "n{}-c{}-{}x{}-f{}-k{}-s{}-p{}-g{}".format(*case)


def arrays(rng, n, c, h, w, f, k, stride, padding, groups) -> dict:
    out_h, out_w = (conv_output_size(size, k, stride, padding) for size in (h, w))
    return {
        "settings": {"stride": stride, "padding": padding, "groups": groups},
        "inp": rng.standard_normal((c, h, w, n), np.float32),
        "weights": rng.standard_normal((out_h * out_w, c // groups, k, k, f), np.float32),
        "bias": rng.standard_normal((f, out_h, out_w), np.float32),
        "dout": rng.standard_normal((f, out_h, out_w, n), np.float32),
    }


@pytest.fixture(params=CASES, ids=case_id)
def case(request, rng):
    return arrays(rng, *request.param)


# ---- the op


@pytest.mark.parametrize("neuron", [RELU, Neuron("tanh", 1.7159, 0.6667)], ids=str)
def test_forward(guarded, case, neuron):
    out = guarded.out(*case["dout"].shape)
    args = [case[k] for k in ("inp", "weights", "bias")]
    ops.local_forward(out, *map(guarded.inp, args), neuron=neuron, **case["settings"])
    assert_close(out, reference.forward(*args, **case["settings"], neuron=neuron))


def test_forward_accumulates_before_bias_and_neuron(guarded, case):
    """A layer with two inputs: f(a + b + bias)."""
    first = case["dout"]
    out = guarded.inp(first)
    args = [case[k] for k in ("inp", "weights", "bias")]
    ops.local_forward(out, *map(guarded.inp, args), neuron=RELU, accumulate=True, **case["settings"])
    want = reference.forward(*args, **case["settings"], neuron=IDENT) + first
    assert_close(out, np.maximum(want, 0))


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_data(guarded, case, rng, accumulate):
    was = rng.standard_normal(case["inp"].shape, np.float32)
    dinp = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    dout, weights = guarded.inp(case["dout"]), guarded.inp(case["weights"])
    ops.local_backward_data(dinp, dout, weights, accumulate=accumulate, **case["settings"])
    want = reference.backward_data(case["dout"], case["weights"], was.shape, **case["settings"])
    assert_close(dinp, want + was if accumulate else want)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_weights(guarded, case, rng, accumulate):
    was = rng.standard_normal(case["weights"].shape, np.float32)
    dweights = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    inp, dout = guarded.inp(case["inp"]), guarded.inp(case["dout"])
    ops.local_backward_weights(dweights, inp, dout, accumulate=accumulate, **case["settings"])
    want = reference.backward_weights(case["inp"], case["dout"], was.shape, **case["settings"])
    assert_close(dweights, want + was if accumulate else want)


def test_equal_filters_everywhere_are_a_convolution(guarded, rng):
    case = arrays(rng, 5, 6, 6, 5, 8, 3, 2, 1, 2)
    bank = case["weights"][0]
    same = guarded.inp(np.repeat(bank[None], len(case["weights"]), axis=0))
    shape, settings = case["dout"].shape, case["settings"]
    local, shared = guarded.out(*shape), guarded.out(*shape)
    ops.local_forward(local, guarded.inp(case["inp"]), same, **settings)
    ops.conv_forward(shared, guarded.inp(case["inp"]), guarded.inp(bank), **settings)
    assert_close(local, shared.numpy())


def test_threads_do_not_change_a_bit(rng, cpu):
    case = arrays(rng, 33, 3, 6, 6, 70, 3, 1, 1, 1)
    inp, weights, dout = (cpu.upload(case[k]) for k in ("inp", "weights", "dout"))
    results = []
    for threads in (1, 2, 3):
        cpu.module.set_threads(threads)
        out, dinp, dweights = map(cpu.empty, (dout.shape, inp.shape, weights.shape))
        ops.local_forward(out, inp, weights, padding=1)
        ops.local_backward_data(dinp, dout, weights, padding=1)
        ops.local_backward_weights(dweights, inp, dout, padding=1)
        results.append([array.numpy().tobytes() for array in (out, dinp, dweights)])
    cpu.module.set_threads(0)
    assert results[0] == results[1] == results[2]


def test_bad_arguments(cpu):
    a = {
        "out": cpu.zeros((8, 5, 5, 2)),
        "inp": cpu.zeros((3, 5, 5, 2)),
        "weights": cpu.zeros((25, 3, 3, 3, 8)),
    }
    ops.local_forward(**a, padding=1)
    for change, settings, message in [
        ({}, {"padding": 0}, r"out \(8, 5, 5, 2\) float32 must have shape \(8, 3, 3, 2\)"),
        ({}, {"padding": 3}, "padding must be at least 0 and smaller than the filter, got 3"),
        ({}, {"padding": 1, "groups": 2}, "groups=2 must divide the channels"),
        (
            {"weights": cpu.zeros((24, 3, 3, 3, 8))},
            {"padding": 1},
            r"weights .* must have shape \(25, 3, 3, 3, 8\)",
        ),
        ({"weights": cpu.zeros((3, 3, 3, 8))}, {"padding": 1}, "weights must have 5 dimensions"),
        ({"bias": cpu.zeros(8)}, {"padding": 1}, "bias must have 3 dimensions"),
        ({"bias": cpu.zeros((8, 5, 4))}, {"padding": 1}, "bias .*one bias per filter and position"),
        ({"out": a["inp"]}, {"padding": 1}, "out"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.local_forward(**{**a, **change}, **settings)
    square = cpu.zeros((3, 5, 5, 2))
    with pytest.raises(ValueError, match="overlap"):
        ops.local_forward(square, square, cpu.zeros((25, 3, 3, 3, 3)), padding=1)


# ---- the oracle

ORACLE_CASES = [(2, 2, 4, 3, 3, 3, 1, 1, 1), (1, 4, 5, 5, 6, 3, 2, 0, 2), (2, 1, 3, 3, 2, 2, 2, 1, 1)]


@pytest.mark.parametrize("sizes", ORACLE_CASES, ids=case_id)
def test_oracle_gradients_are_numerical_ones(rng, sizes):
    case = arrays(rng, *sizes)
    inp, weights, dout, settings = (case[k] for k in ("inp", "weights", "dout", "settings"))
    want = numerical_gradient(lambda x: reference.forward(x, weights, None, **settings), inp, dout)
    assert_close(reference.backward_data(dout, weights, inp.shape, **settings), want, 1e-7)
    want = numerical_gradient(lambda w: reference.forward(inp, w, None, **settings), weights, dout)
    assert_close(reference.backward_weights(inp, dout, weights.shape, **settings), want, 1e-7)


def test_oracle_is_a_convolution_where_filters_are_equal(rng):
    case = arrays(rng, 2, 4, 5, 4, 6, 3, 2, 1, 2)
    bank, bias = case["weights"][0], case["bias"][:, 0, 0]
    same = np.repeat(bank[None], len(case["weights"]), axis=0)
    biases = np.broadcast_to(bias[:, None, None], case["bias"].shape)
    got = reference.forward(case["inp"], same, biases, **case["settings"], neuron=RELU)
    assert_close(got, conv.forward(case["inp"], bank, bias, **case["settings"], neuron=RELU), 1e-12)
