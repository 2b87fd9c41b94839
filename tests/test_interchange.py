"""Memory shared with other libraries, not copied: with NumPy and PyTorch, and on a GPU with CuPy."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from alexnet_raw import layer_file, ops
from alexnet_raw.device import Array, Device
from alexnet_raw.network import Network
from alexnet_raw.neuron import RELU
from alexnet_raw.reference import conv as reference
from tests.conftest import assert_close, cuda_available

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interchange.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def pointer(array) -> int:
    interface = getattr(array, "__array_interface__", None) or array.__cuda_array_interface__
    return interface["data"][0]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_pages_examples_run(block):
    code = compile(block, str(PAGE), "exec")
    if "import torch" in block:
        torch = pytest.importorskip("torch")
        if 'device = Device("cuda:0")' in block and not (
            cuda_available() and torch.cuda.is_available()
        ):
            pytest.skip("needs a GPU")
    exec(code, {})


# ---- out


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
def test_an_array_as_numpys_or_cupys(device, dtype):
    array = device.upload(np.arange(24, dtype=dtype).reshape(2, 3, 4))
    library = device._cupy if device.is_cuda else np
    for shared in (library.from_dlpack(array), library.asarray(array)):
        assert shared.shape == array.shape and shared.dtype == dtype
        assert pointer(shared) == pointer(array)
    array.copy_from(np.full(array.shape, 7, dtype))
    device.synchronize()
    assert (device.view(shared).numpy() == 7).all()


def test_numpy_writes_into_an_array(cpu):
    array = cpu.zeros((2, 3))
    shared = np.asarray(array)
    shared[...] = 1
    assert (np.from_dlpack(array) == 1).all() and (array.numpy() == 1).all()


def test_interfaces_are_those_of_the_device(cpu):
    array = cpu.zeros(3)
    assert not hasattr(array, "__cuda_array_interface__")
    assert tuple(array.__dlpack_device__()) == (1, 0)
    with pytest.raises(RuntimeError, match="stream"):
        array.__dlpack__(stream=1)


def test_torch_shares_an_array(cpu, torch):
    array = cpu.upload(np.arange(12, dtype=np.float32).reshape(3, 4))
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == pointer(array) and tensor.shape == (3, 4)
    tensor.mul_(2)
    np.testing.assert_array_equal(array.numpy(), 2.0 * np.arange(12).reshape(3, 4))
    array.fill(0)
    assert not tensor.any()


@pytest.mark.parametrize("export", [np.from_dlpack, np.asarray])
def test_the_reader_keeps_an_arrays_memory(cpu, export):
    array = cpu.upload(np.arange(1000, dtype=np.float32))
    memory = weakref.ref(array.data)
    shared = export(array)
    del array
    gc.collect()
    assert memory() is not None
    assert (shared == np.arange(1000)).all()
    del shared
    gc.collect()
    assert memory() is None


# ---- in


def test_a_view_of_numpys_memory(cpu):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    array = cpu.view(values)
    assert isinstance(array, Array) and array.device is cpu and pointer(array) == pointer(values)
    values[...] = 5
    assert (array.numpy() == 5).all()
    array.fill(0)
    assert not values.any()
    assert pointer(Device("cpu", 1).view(array)) == pointer(values)  # an Array is foreign to others


class SpeaksDlpack:
    def __init__(self, values: np.ndarray):
        self.values = values

    def __dlpack__(self, **arguments):
        return self.values.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class SpeaksInterface:
    def __init__(self, values: np.ndarray):
        self.__array_interface__, self.values = values.__array_interface__, values


WRITES_BY_DLPACK = np.from_dlpack(np.zeros(1)).flags.writeable  # since NumPy 2.1
PROTOCOLS = [SpeaksInterface, SpeaksDlpack] if WRITES_BY_DLPACK else [SpeaksInterface]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_is_enough(cpu, protocol):
    values = np.arange(6, dtype=np.float32)
    array = cpu.view(protocol(values))
    ops.add(array, array)
    np.testing.assert_array_equal(values, 2.0 * np.arange(6))


@pytest.mark.parametrize("protocol", [SpeaksInterface, SpeaksDlpack])
def test_a_view_keeps_its_owner(cpu, protocol):
    values = np.arange(1000, dtype=np.int32)
    memory = weakref.ref(values)
    array = cpu.view(protocol(values))
    del values
    gc.collect()
    assert memory() is not None
    assert (array.numpy() == np.arange(1000)).all()
    del array
    gc.collect()
    assert memory() is None


def test_an_op_on_tensors(device, torch, rng):
    if device.is_cuda and not torch.cuda.is_available():
        pytest.skip("PyTorch has no GPU")
    inp, weights, bias = (
        rng.standard_normal(shape, np.float32) for shape in ((3, 9, 8, 5), (3, 3, 3, 6), (6,))
    )
    place = device.name if device.is_cuda else "cpu"
    tensors = [torch.from_numpy(values).to(place) for values in (inp, weights, bias)]
    out = torch.full((6, 9, 8, 5), torch.nan, device=place)
    ops.conv_forward(*map(device.view, (out, *tensors)), padding=1, neuron=RELU)
    device.synchronize()
    wanted = reference.forward(inp, weights, bias, padding=1, neuron=RELU)
    assert_close(out.cpu().numpy(), wanted)


def test_read_only_memory_is_read(cpu):
    values = np.ones(5, np.float32)
    values.flags.writeable = False
    for foreign in (values, *(protocol(values) for protocol in PROTOCOLS)):
        array, out = cpu.view(foreign), cpu.zeros(5)
        ops.add(out, array)
        assert (out.numpy() == 1).all()
        with pytest.raises(ValueError, match="out is written to, but is read-only"):
            ops.add(array, out)
        with pytest.raises(ValueError, match="read-only"):
            array.fill(0)


def test_what_cannot_be_viewed(cpu):
    for foreign in (None, 3, [1.0], "text", object()):
        with pytest.raises(TypeError, match=rf"{type(foreign).__name__} has neither __dlpack__ nor"):
            cpu.view(foreign)
    for dtype in ("float64", "float16", "int64", "bool", "complex64", ">f4", "U1", object):
        with pytest.raises(TypeError, match="ops take float32, bfloat16, int32 and uint8"):
            cpu.view(np.zeros(3, dtype))
    grid = np.zeros((4, 6), np.float32)
    for strided in (grid.T, grid[:, ::2], grid[::-1], np.broadcast_to(grid[:1], grid.shape)):
        with pytest.raises(ValueError, match=r"ndarray \(.*\) is not C-contiguous"):
            cpu.view(strided)
    cpu.view(grid[1:3])  # rows are
    for place, name in (((2, 1), "cuda:1"), ((8, 0), "a device of DLPack's type 8")):
        elsewhere = SimpleNamespace(__dlpack_device__=lambda place=place: place)
        with pytest.raises(ValueError, match=f"is on {name}, not on cpu: copy it there"):
            cpu.view(elsewhere)
    with pytest.raises(ValueError, match="is on cuda, not on cpu"):
        cpu.view(SimpleNamespace(__cuda_array_interface__={}))


def test_tensors_that_cannot_be_viewed(cpu, torch):
    with pytest.raises(TypeError, match=r"Parameter cannot be viewed: .*detach"):
        cpu.view(torch.nn.Parameter(torch.zeros(3)))
    with pytest.raises(TypeError, match="Tensor cannot be viewed"):
        cpu.view(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="Tensor is float64"):
        cpu.view(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"Tensor \(3, 2\) is not C-contiguous.*contiguous\(\)"):
        cpu.view(torch.zeros(2, 3).T)


# ---- nets, streams


def test_activations_are_the_nets_own(cpu, rng):
    net = Network(layer_file.load_packaged("alexnet-mini"), [cpu, Device("cpu", 1)], batch_size=3)
    pictures = rng.standard_normal((3, 32, 32, 3), np.float32)
    with pytest.raises(RuntimeError, match="before the first forward"):
        net.activation_array("conv1a")
    net.forward(cpu.view(pictures), None, train=False)
    for name in ("conv1a", "pool1b", "fc8"):
        array = net.activation_array(name)
        assert array.device is net.places[name] and array is net.activation_array(name)
        maps = np.asarray(array)
        np.testing.assert_array_equal(maps.transpose(3, 0, 1, 2), net.activations(name))
        maps[...] = 3
        assert (net.activations(name) == 3).all()
    with pytest.raises(ValueError, match="'labels' of type data has no activations"):
        net.activation_array("labels")


def test_a_cpu_has_no_streams(cpu):
    with cpu.using_stream(None):
        assert cpu.stream == 0
    with pytest.raises(ValueError, match=r"cpu .* has no streams"), cpu.using_stream(0):
        pass
