"""The colour measure of filters: on filters whose colour is known."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import colour


def test_known_filters():
    bank = np.zeros((3, 2, 2, 5), np.float32)
    bank[:, 0, 0, 0] = 0.7  # grey
    bank[:, 1, 1, 1] = [1, -1, 0]  # red against green
    bank[0, 0, 1, 2] = -3  # red alone: a third of its energy is along grey
    bank[:, 0, 0, 3] = 2  # grey at one pixel, as strong opponents at another
    bank[:, 0, 1, 3] = [2, -4, 2]
    np.testing.assert_allclose(colour.colour_shares(bank)[:4], [0, 1, 2 / 3, 24 / 36], atol=1e-6)
    assert np.isnan(colour.colour_shares(bank)[4])  # zeros


def test_scale_and_place_do_not_matter(rng):
    bank = rng.standard_normal((3, 5, 5, 8)).astype(np.float32)
    shares = colour.colour_shares(bank)
    np.testing.assert_allclose(colour.colour_shares(1e-6 * bank[:, ::-1]), shares, rtol=1e-4)
    np.testing.assert_allclose(colour.colour_shares(bank[[2, 0, 1]]), shares, rtol=1e-5)


def test_random_weights_have_two_thirds(rng):
    measured = colour.measure(rng.standard_normal((3, 11, 11, 200)).astype(np.float32))
    assert measured.median == pytest.approx(2 / 3, abs=0.02)
    assert measured.mean == pytest.approx(2 / 3, abs=0.02)
    assert measured.whole == pytest.approx(2 / 3, abs=0.02)


def test_a_tower():
    bank = np.zeros((3, 1, 1, 4), np.float32)
    bank[:, 0, 0, 0] = 10  # grey, energy 300
    bank[:, 0, 0, 1] = [1, -1, 0]  # colour, energy 2
    bank[:, 0, 0, 2] = [0, 7, -7]  # colour, energy 98
    measured = colour.measure(bank)  # the fourth is dead and does not count
    assert measured.median == pytest.approx(1)
    assert measured.mean == pytest.approx(2 / 3)
    assert measured.whole == pytest.approx(100 / 400)
    assert "median" in str(measured) and "25%" in str(measured)


def test_a_dead_tower():
    assert np.isnan(colour.measure(np.zeros((3, 2, 2, 4), np.float32)).median)
