"""winograd.cu and winograd_few_images.cu: their rounding errors, and when they are chosen.

Their results are held against the reference by test_conv.py, case by case.
"""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.neuron import IDENT
from alexnet_raw.reference import conv as reference

# Of the sum of the products' magnitudes, at the worst element; the direct sums make 3e-7 here.
LARGEST_ERROR = 3e-6


@pytest.mark.parametrize("images", [1, 16])
@pytest.mark.parametrize("filter, size", [(3, 12), (3, 13), (3, 14), (3, 15), (5, 13), (5, 14)])
def test_rounding_errors(cpu, rng, filter, size, images):
    """Pictures behind a ReLU, small weights and gradients of either sign, as in a net.

    Sizes for every number of outputs that the last tile can have.
    """
    padding = filter // 2
    inp = np.maximum(rng.standard_normal((96, size, size, images), np.float32), 0)
    weights = rng.standard_normal((96, filter, filter, 64), np.float32) * 0.01
    dout = rng.standard_normal((64, size, size, images), np.float32) * 1e-3
    how = {"padding": padding, "algorithm": "winograd"}
    i, w, d = map(cpu.upload, (inp, weights, dout))
    out, dinp, dweights = (cpu.empty(a.shape) for a in (dout, inp, weights))
    ops.conv_forward(out, i, w, **how)
    ops.conv_backward_data(dinp, d, w, **how)
    ops.conv_backward_weights(dweights, i, d, **how)

    settings = {"stride": 1, "padding": padding, "groups": 1}
    passes = [
        (out, lambda i, w, d: reference.forward(i, w, None, **settings, neuron=IDENT)),
        (dinp, lambda i, w, d: reference.backward_data(d, w, inp.shape, **settings)),
        (dweights, lambda i, w, d: reference.backward_weights(i, d, weights.shape, **settings)),
    ]
    for got, compute in passes:
        want = compute(inp, weights, dout)
        magnitudes = compute(*map(np.abs, (inp, weights, dout)))
        errors = np.abs(got.numpy() - want) / np.maximum(magnitudes, 1e-30)
        assert errors.max() < LARGEST_ERROR


@pytest.mark.parametrize(
    "channels, filters, filter, size, images, faster",
    [
        (48, 64, 5, 27, 8, "winograd"),
        (96, 64, 3, 13, 8, "winograd"),
        (96, 64, 3, 13, 1, "winograd"),
        (3, 32, 5, 32, 8, "direct"),
        (3, 32, 5, 32, 1, "direct"),
    ],
)
def test_the_faster_algorithm_is_taken(cpu, rng, channels, filters, filter, size, images, faster):
    inp = cpu.upload(rng.standard_normal((channels, size, size, images), np.float32))
    weights = cpu.upload(rng.standard_normal((channels, filter, filter, filters), np.float32))
    results = {}
    for algorithm in ("auto", "direct", "winograd"):
        out = cpu.empty((filters, size, size, images))
        ops.conv_forward(out, inp, weights, padding=filter // 2, algorithm=algorithm)
        results[algorithm] = out.numpy().tobytes()
    assert results["direct"] != results["winograd"]
    assert results["auto"] == results[faster]
