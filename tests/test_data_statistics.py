"""The mean image and the colours' principal components."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import data
from alexnet_raw.data.pixel_statistics import principal_components

from .data_pictures import write_folder


@pytest.fixture
def source(tmp_path, rng):
    write_folder(tmp_path, {"a": 40, "b": 37}, rng)
    return data.open(tmp_path, size=24)


def test_against_numpy(source):
    got = data.statistics(source)
    pictures = source.load(np.arange(77))[0].astype(np.float64)
    assert got.pictures == 77
    assert got.mean_image.shape == (3, 24, 24) and got.mean_image.dtype == np.float32
    assert np.allclose(got.mean_image, pictures.mean(axis=0).transpose(2, 0, 1), rtol=1e-6)
    assert np.allclose(got.channel_means, pictures.mean(axis=(0, 1, 2)), rtol=1e-6)
    covariance = np.cov(pictures.reshape(-1, 3).T, bias=True)
    vectors = got.eigenvectors.astype(np.float64)
    assert np.all(np.diff(got.std_devs) >= 0)
    assert np.allclose(vectors @ np.diag(got.std_devs**2.0) @ vectors.T, covariance, atol=0.01)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=1e-6)
    assert np.all(np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0) > 0)


def test_same_bits_for_any_number_of_threads(source):
    one, three = (data.statistics(source, threads=threads) for threads in (1, 3))
    for name in ("mean_image", "channel_means", "std_devs", "eigenvectors"):
        assert getattr(one, name).tobytes() == getattr(three, name).tobytes()


@pytest.mark.parametrize("limit, used", [(10, 10), (1, 1), (76, 76), (1000, 77), (None, 77)])
def test_limit(source, limit, used):
    asked = []
    load = source.load
    source.load = lambda indices: asked.extend(indices.tolist()) or load(indices)
    assert data.statistics(source, limit=limit, threads=1).pictures == used
    assert len(set(asked)) == used and min(asked) == 0
    if used > 1:
        assert max(asked) == 76  # spread over all, not the first ones


def test_principal_components_of_a_known_cloud():
    """Krizhevsky's published ones: put together, then taken apart."""
    vectors = np.array(
        [
            [0.41795513, -0.71257945, -0.56351045],
            [-0.81698062, -0.02354167, -0.5761844],
            [0.39731118, 0.70119634, -0.59200296],
        ]
    )
    std_devs = np.array([19.72083, 37.09389, 121.78006])
    got_devs, got_vectors = principal_components(vectors @ np.diag(std_devs**2) @ vectors.T)
    assert np.allclose(got_devs, std_devs, atol=1e-3)
    assert np.allclose(np.abs(got_vectors), np.abs(vectors), atol=1e-5)


def test_grey_pictures_have_one_component():
    got = data.statistics(data.open(None, "val", size=36))
    assert got.std_devs[:2] == pytest.approx([0, 0], abs=1e-3) and got.std_devs[2] > 50
    assert np.allclose(got.eigenvectors[:, 2], 3**-0.5, atol=1e-5)
