"""The composed layer cnorm against reference/cnorm.py, and that against numerical gradients."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.layers.base import Gradient, Site
from alexnet_raw.reference import cnorm as reference
from tests.conftest import assert_close, numerical_gradient

SETTINGS = [
    {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 1.0},
    {"size": 4, "scale": 2.0, "power": 0.5, "min_div": 0.7},
    {"size": 1, "scale": 1.0, "power": 0.75, "min_div": 1.0},
    {"size": 9, "scale": 3.0, "power": 1.0, "min_div": 1.0},
]
SHAPES = [(1, 1, 1, 1), (3, 5, 5, 2), (5, 3, 3, 31), (48, 2, 2, 33), (1, 6, 6, 127), (3, 4, 4, 129)]


def site_of(guarded, settings, shape, x, dout=None) -> Site:
    channels = shape[0]
    definition = (
        "[data]\ntype=data\ndataIdx=0\n"
        f"[norm]\ntype=cnorm\ninputs=data\nchannels={channels}\nsize={settings['size']}\n"
    )
    parameters = (
        f"[norm]\nscale={settings['scale']}\npow={settings['power']}\nminDiv={settings['min_div']}"
    )
    layer = layer_file.parse(definition, parameters, "net")["norm"]
    assert layer.output_shape([shape[:-1]]) == shape[:-1]
    scratch = {name: guarded.out(*shape) for name in layer.scratch([shape[:-1]])}
    site = Site(
        layer, guarded.device, shape[-1], [guarded.inp(x)], guarded.out(*shape), {}, scratch, seed=0
    )
    if dout is not None:
        site.dout = guarded.inp(dout)
        site.dinputs = [Gradient(guarded.out(*shape), accumulate=False)]
    return site


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_layer(guarded, rng, settings, shape):
    x, dout = 3 * rng.standard_normal((2, *shape), np.float32)
    site = site_of(guarded, settings, shape, x, dout)
    site.layer.forward(site)
    assert_close(site.out, reference.forward(x, **settings), terms=np.abs(x))
    site.layer.backward(site)
    want = reference.backward(dout, x, **settings)
    assert_close(site.dinputs[0].array, want, terms=np.abs(dout))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_reference_gradient(rng, settings):
    x, dout = 2 * rng.standard_normal((2, 2, 4, 5, 2))
    want = numerical_gradient(lambda v: reference.forward(v, **settings), x, dout)
    assert_close(reference.backward(dout, x, **settings), want, 1e-7, terms=np.abs(dout))


def test_reference_subtracts_the_mean_of_the_clipped_window():
    m = reference.differences(np.arange(9.0).reshape(1, 3, 3, 1), 3)[0, :, :, 0]
    assert m[1, 1] == 0 and m[0, 0] == pytest.approx(-2)  # 0 less the mean of 0, 1, 3, 4
    np.testing.assert_allclose(reference.differences(np.full((2, 4, 5, 1), 7.0), 3), 0, atol=1e-14)
