"""The two extension modules, compiled from the same bindings."""

from __future__ import annotations

import pytest

from alexnet_raw import _cpu

CPU_ONLY = {
    *("set_threads", "threads", "set_core_share", "set_execution", "set_wave"),
    *("central_square", "picture_sums"),
}


@pytest.fixture
def cuda():
    return pytest.importorskip("alexnet_raw._cuda", reason="the CUDA target was not built")


def names(module) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def test_both_modules_have_the_same_ops(cuda):
    assert names(_cpu) - names(cuda) == CPU_ONLY
    assert names(cuda) <= names(_cpu)


def test_each_module_tells_its_target(cuda):
    assert cuda.build_info()["target"] == "cuda" and cuda.build_info()["architectures"]
    assert _cpu.build_info()["target"] == "cpu"


def test_gpus_are_counted_or_the_reason_is_told(cuda):
    try:
        assert cuda.device_count() >= 1
    except cuda.KernelError as error:
        assert str(error).startswith("cuda")  # CUDA's name of it


def test_each_module_wants_arrays_of_its_own_kind(cuda):
    with pytest.raises(TypeError, match=r"out must be a CUDA array \(CuPy\), got list"):
        cuda.philox_uniform([], seed=0, layer=0, step=0, share=None, stream=0)
    with pytest.raises(TypeError, match="out must be a NumPy array, got list"):
        _cpu.philox_uniform([], seed=0, layer=0, step=0, share=None, stream=0)
