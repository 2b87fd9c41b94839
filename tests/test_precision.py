"""The precision of a device: whole nets multiply in it, and a run keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import checkpoint, layer_file
from alexnet_raw.device import Device, DeviceError, set_precision
from alexnet_raw.network import Network
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from tests import tiny_run


@pytest.fixture
def tensor_cores(monkeypatch):
    """A CPU that is taken for a GPU: its tensor cores are those of the tests."""
    monkeypatch.setattr(Device, "has_tensor_cores", property(lambda device: True))


def gradients(spec, precision: str) -> dict[str, np.ndarray]:
    device = Device("cpu")
    set_precision([device], precision)
    net, rng = Network(spec, [device], 12, seed=1, input_shape=(3, 12, 12)), np.random.default_rng(2)
    pictures = rng.standard_normal((3, 12, 12, 12), np.float32)
    labels = rng.integers(0, 3, 12, np.int32)
    net.forward(device.upload(pictures), device.upload(labels), train=True)
    net.backward()
    return {name: p.gradient.numpy() for name, p in net.parameters.items()}


# Roundings of 2^-11 or 2^-8 of each number, of which several layers make several; ReLUs and maxima
# that fall the other way add to them.
@pytest.mark.parametrize("precision, least, most", [("tf32", 1e-6, 1e-2), ("bf16", 1e-6, 0.3)])
def test_a_net_multiplies_in_its_devices_precision(tensor_cores, precision, least, most):
    spec = layer_file.parse(tiny_run.DEFINITION, tiny_run.parameters(), "tiny")
    exact, rounded = gradients(spec, "fp32"), gradients(spec, precision)
    for name, gradient in exact.items():
        error = np.linalg.norm(rounded[name] - gradient) / np.linalg.norm(gradient)
        assert least < error < most, f"{name}: {error:.2g}"


def test_only_tensor_cores_round():
    device = Device("cpu")
    with pytest.raises(DeviceError, match=r"bf16 needs tensor cores.*cpu has none: use fp32"):
        set_precision([device], "bf16")
    with pytest.raises(ValueError, match="'fp8' is not known: use fp32, tf32, bf16"):
        set_precision([device], "fp8")
    assert device.precision == "fp32"


def test_a_run_keeps_its_precision(tensor_cores, tmp_path):
    net, params = tiny_run.write_net(tmp_path)
    pictures = tiny_run.write_pictures(tmp_path / "pictures")
    settings = Settings(net=net, params=params, data=pictures, batch_size=4, epochs=1, precision="tf32")
    run = Run.start(settings, [Device("cpu")], tmp_path / "run")
    run.save()
    device = Device("cpu")
    assert Run.resume(tmp_path / "run", [device]).settings.precision == device.precision == "tf32"
    Run.resume(tmp_path / "run", [device], precision="fp32")
    assert device.precision == "fp32"
    assert checkpoint.load_metadata(tmp_path / "run")["run"]["settings"]["precision"] == "tf32"
    assert Settings().precision == "fp32"
