"""cnorm.cu and the layer around it against reference/cnorm.py, and that against numerical gradients."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import layer_file, ops
from alexnet_raw.layers.base import Gradient, Site
from alexnet_raw.neuron import IDENT
from alexnet_raw.reference import cnorm as reference
from tests.conftest import assert_close, numerical_gradient

SETTINGS = [
    {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 1.0},
    {"size": 4, "scale": 2.0, "power": 0.5, "min_div": 0.7},
    {"size": 1, "scale": 1.0, "power": 0.75, "min_div": 1.0},
    {"size": 9, "scale": 3.0, "power": 1.0, "min_div": 1.0},
]
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 2, 33),
    (1, 2, 9, 127),
    (3, 1, 5, 129),
    (2, 13, 11, 3),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_forward(guarded, rng, settings, shape):
    x = 3 * rng.standard_normal(shape, np.float32)
    m = reference.differences(x, settings["size"])
    out, denom = guarded.out(*shape), guarded.out(*shape)
    ops.cnorm_forward(out, denom, guarded.inp(x), guarded.inp(m), **settings)
    want, want_denom = reference.forward(x, **settings)
    assert_close(out, want)
    assert_close(denom, want_denom)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_backward(guarded, rng, settings, shape):
    x, dy = 3 * rng.standard_normal((2, *shape), np.float32)
    m = reference.differences(x, settings["size"])
    dinp, dm = guarded.out(*shape), guarded.out(*shape)
    ops.cnorm_backward(
        dinp,
        dm,
        guarded.inp(dy),
        guarded.inp(x),
        guarded.inp(m),
        guarded.inp(reference.forward(x, **settings)[1]),
        **settings,
    )
    want, want_dm = reference.backward(dy, x, **settings)
    assert_close(dinp, want)
    assert_close(dm, want_dm, terms=np.abs(want))


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
    names = [*layer.scratch([shape[:-1]]), *layer.backward_scratch([shape[:-1]])]
    scratch = {name: guarded.out(*shape) for name in names}
    site = Site(
        layer,
        guarded.device,
        shape[-1],
        inputs=[guarded.inp(x)],
        out=guarded.out(*shape),
        parameters={},
        scratch=scratch,
        constants={},
        seed=0,
        own=[True],
        arrivals=[None],
    )
    if dout is not None:
        site.dout = guarded.inp(dout)
        dinp = guarded.out(*shape)
        site.dinputs = [Gradient(dinp, False, IDENT, begin=lambda: None, end=lambda: None)]
    return site


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_layer(guarded, rng, settings, shape):
    x, dout = 3 * rng.standard_normal((2, *shape), np.float32)
    site = site_of(guarded, settings, shape, x, dout)
    site.layer.forward(site)
    assert_close(site.out, reference.forward(x, **settings)[0])
    site.layer.backward(site)
    want = reference.whole_gradient(dout, x, **settings)
    assert_close(site.dinputs[0].array, want, terms=np.abs(dout))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_reference_gradient(rng, settings):
    x, dout = 2 * rng.standard_normal((2, 2, 4, 5, 2))
    want = numerical_gradient(lambda v: reference.forward(v, **settings)[0], x, dout)
    assert_close(reference.whole_gradient(dout, x, **settings), want, 1e-7)


def test_reference_divides_the_input_itself():
    """A map without contrast is only divided by min_div."""
    out, denom = reference.forward(np.full((1, 4, 5, 1), 6.0), 3, 9.0, 1.0, 2.0)
    np.testing.assert_allclose(denom, 2)
    np.testing.assert_allclose(out, 3)


def test_bad_arguments(guarded):
    a, b, c, d, e, f = (guarded.out(3, 4, 2, 2) for _ in range(6))
    other, settings = guarded.out(3, 4, 2, 5), SETTINGS[0]
    with pytest.raises(ValueError, match=r"differences .*and inp .*same shape"):
        ops.cnorm_forward(a, b, c, other, **settings)
    with pytest.raises(ValueError, match="out and denom overlap in memory"):
        ops.cnorm_forward(a, a, c, d, **settings)
    with pytest.raises(ValueError, match="ddifferences and differences overlap in memory"):
        ops.cnorm_backward(a, b, c, d, b, f, **settings)
    with pytest.raises(ValueError, match="size must be between 1 and 128, got 129"):
        ops.cnorm_backward(a, b, c, d, e, f, **{**settings, "size": 129})


def test_reference_subtracts_the_mean_of_the_clipped_window():
    m = reference.differences(np.arange(9.0).reshape(1, 3, 3, 1), 3)[0, :, :, 0]
    assert m[1, 1] == 0 and m[0, 0] == pytest.approx(-2)  # 0 less the mean of 0, 1, 3, 4
    np.testing.assert_allclose(reference.differences(np.full((2, 4, 5, 1), 7.0), 3), 0, atol=1e-14)
