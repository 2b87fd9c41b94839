"""The pictures of a run exist, can be read, and show what they are said to show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alexnet_raw import plots


def record(epoch: int, loss: float, validation: bool = True) -> dict:
    measures = {"loss": loss, "top1": loss / 3, "topk": loss / 9}
    return {"epoch": epoch, "train": measures, "validation": measures if validation else None}


@pytest.mark.parametrize("epochs", [1, 2, 90])
@pytest.mark.parametrize("validation", [True, False])
def test_learning_curve(tmp_path, epochs, validation):
    history = [record(e, 2.3 / e, validation) for e in range(1, epochs + 1)]
    plots.learning_curve(tmp_path / "curve.png", history, "a title")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 11, 11, 48)] * 2,
        [(1, 5, 5, 16)] * 2,
        [(3, 5, 5, 7)],
        [(4, 3, 3, 1)],
        [(1, 7, 7, 5)] * 3,
    ],
)
def test_filters(tmp_path, shapes):
    rng = np.random.default_rng(5)
    banks = {f"conv1{i}": rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    plots.filters(tmp_path / "filters.png", banks, "a title")
    with Image.open(tmp_path / "filters.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_mosaic_places_each_filter():
    bank = np.zeros((3, 2, 2, 3), np.float32)
    bank[0, 0, 1, 0] = 2.0  # filter 0: red at the top right
    bank[:, 1, 0, 1] = -1.0  # filter 1: black at the bottom left
    mosaic = plots.filter_mosaic(bank, columns=2)
    size = (mosaic.shape[0] - plots.GAP) // 2
    assert mosaic.shape == (2 * size + plots.GAP, 2 * size + plots.GAP, 3)
    second = size + plots.GAP
    np.testing.assert_allclose(mosaic[0, size - 1], [1, 0.5, 0.5])
    np.testing.assert_allclose(mosaic[size - 1, second], [0, 0, 0])
    np.testing.assert_allclose(mosaic[second:, :size], 0.5)  # filter 2: all zero, grey
    np.testing.assert_allclose(mosaic[second:, second:], 1.0)  # no filter: the white of the page


def test_paper_filters_are_laid_out_as_in_figure_3():
    assert plots._columns([48, 48]) == 12


def test_weak_filters_are_not_amplified_to_noise():
    bank = np.zeros((1, 1, 1, 2), np.float32)
    bank[..., 0], bank[..., 1] = 1.0, 1e-6
    mosaic = plots.filter_mosaic(bank, columns=1)
    np.testing.assert_allclose(mosaic[-1, 0], 0.5, atol=1e-4)
