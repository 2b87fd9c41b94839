"""What setup.py decides before it builds: which nvcc, for which GPUs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("setuptools")


@pytest.fixture
def recipe(monkeypatch):
    """setup.py as a module, without a build."""
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    spec = importlib.util.spec_from_file_location("recipe", Path(__file__).parents[1] / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "architectures"),
    [
        ("printf '9.0\\n8.6\\n9.0\\n'", "86-real;90a-real"),
        ("echo 12.0", "120-real"),
        ("echo 'NVIDIA-SMI has failed because it could not reach the driver'; exit 9", None),
        ("echo '[N/A]'", None),
    ],
)
def test_architectures_are_those_of_the_gpus(recipe, tmp_path, monkeypatch, script, architectures):
    command(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert recipe.gpu_architectures() == architectures


def test_no_driver_no_architectures(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recipe.gpu_architectures() is None


def test_choice_of_nvcc(recipe, tmp_path, monkeypatch):
    nvcc = command(tmp_path, "nvcc", "")
    monkeypatch.setenv("CUDACXX", str(nvcc))
    for choice, found in (("auto", nvcc), ("on", nvcc), ("off", None)):
        monkeypatch.setenv("ALEXNET_RAW_CUDA", choice)
        assert recipe.wanted_nvcc() == found
    monkeypatch.setattr(recipe, "find_nvcc", lambda: None)
    monkeypatch.setenv("ALEXNET_RAW_CUDA", "auto")
    assert recipe.wanted_nvcc() is None
    for choice, message in (("on", "no nvcc was found"), ("yes", "use auto, on, wheels or off")):
        monkeypatch.setenv("ALEXNET_RAW_CUDA", choice)
        with pytest.raises(SystemExit, match=message):
            recipe.wanted_nvcc()


def build(recipe, tmp_path, monkeypatch) -> list[bool]:
    """Runs the build up to its compilation; for each configuration, whether it was with CUDA."""
    from setuptools.dist import Distribution

    tried = []

    def call(self, tool, *arguments):
        if "--build" not in arguments:
            tried.append("-DALEXNET_RAW_CUDA=ON" in arguments)
            if tried[-1]:
                raise SystemExit("cmake failed (1); its output is above")

    monkeypatch.setattr(recipe.CMakeBuild, "call", call)
    monkeypatch.setenv("ALEXNET_RAW_BUILD_DIR", str(tmp_path / "build"))
    monkeypatch.setenv("CUDACXX", str(command(tmp_path, "nvcc", "exit 1")))
    builder = recipe.CMakeBuild(Distribution({"name": "nothing"}))
    builder.extensions = []
    builder.run()
    return tried


def test_auto_goes_on_without_an_nvcc_that_fails(recipe, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pybind11")
    monkeypatch.setenv("ALEXNET_RAW_CUDA", "auto")
    assert build(recipe, tmp_path, monkeypatch) == [True, False]
    assert "nvcc does not work here" in capsys.readouterr().err


def test_on_insists(recipe, tmp_path, monkeypatch):
    pytest.importorskip("pybind11")
    monkeypatch.setenv("ALEXNET_RAW_CUDA", "on")
    with pytest.raises(SystemExit, match="cmake failed"):
        build(recipe, tmp_path, monkeypatch)
