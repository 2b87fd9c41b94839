"""Initial weights from elsewhere: `initWFunc=module.function(arg,...)` and its like of layer files.

A function is only called from a Python file that the user has named (`--init-module`, `load_module`):
nothing runs because a layer file says so. As in cuda-convnet it is called

    function(layer name, index of the input, (rows, columns), params=[arg, ...])    initWFunc
    function(layer name, (rows, columns), params=[arg, ...])                        initBFunc
    function(layer name, index of the input, (groups, channels, filterChannels), params=[arg, ...])
                                                                                    initCFunc

and returns a float32 array of that shape: for weights (channels * size * size, filters) or (inputs,
outputs), for biases (filters, 1) or (1, outputs); for the connections of randSparse the channels that
the groups see, groups * filterChannels whole numbers. The module `checkpoint` is our own:
`weights(FILE)`, `biases(FILE)` and `connections(FILE)`, or `weights(FILE,LAYER)`, take a layer of that
name from one of our checkpoints.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np

from alexnet_raw import connections as connections_module

_modules: dict[str, ModuleType] = {}


def load_module(path: str | Path) -> None:
    """Runs a Python file; its functions can then be named in layer files. ValueError if it fails."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or not path.is_file():
        raise ValueError(f"{path}: there is no such Python file of functions for initial weights")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    _modules[path.stem] = module


def parse(text: str) -> tuple[str, str, list[str]]:
    """Module, function and arguments of `module.function(arg,...)`, or ValueError."""
    match = re.fullmatch(r"\s*([^.\s]+)\.([^(\s]+)\s*(?:\((.*)\))?\s*", text)
    if not match:
        raise ValueError(f"{text!r} is not of the form module.function(argument,...)")
    return match[1], match[2], [a.strip() for a in (match[3] or "").split(",") if a.strip()]


def initial(
    text: str, layer: str, parameter: str, index: int | None, matrix: tuple[int, int]
) -> np.ndarray:
    """What the function that `text` names gives for a matrix of that shape; ValueError if it cannot.

    parameter: "weights0" and so on, or "biases"; index: of the input, None for biases.
    """
    module, function, params = parse(text)
    if module == "checkpoint":
        if function not in ("weights", "biases"):
            raise ValueError("write checkpoint.weights(FILE) or checkpoint.biases(FILE)")
        values = _from_checkpoint(layer, parameter, params)
        if values.size != matrix[0] * matrix[1]:
            raise ValueError(
                f"{text}: that layer's {parameter} are {values.shape}, {matrix} are wanted"
            )
        return values.reshape(matrix)
    arguments = (layer, matrix) if index is None else (layer, index, matrix)
    values = _call(text, *arguments)
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != matrix:
        got = (
            f"{values.dtype} {values.shape}"
            if isinstance(values, np.ndarray)
            else type(values).__name__
        )
        raise ValueError(f"{text}: must return a float32 array of shape {matrix}, not {got}")
    return values


def connections(text: str, layer: str, index: int, sizes: tuple[int, int, int]) -> np.ndarray:
    """The channels that the groups of a layer see, (groups * filterChannels,) int32, as `text` names.

    index: of the input, sizes: groups, channels, filterChannels. ValueError if it cannot give them.
    """
    module, function, params = parse(text)
    if module != "checkpoint":
        values = np.asarray(_call(text, layer, index, sizes))
    elif function == "connections":
        values = _from_checkpoint(layer, f"seen{index}", params, sizes).reshape(-1)
    else:
        raise ValueError("write checkpoint.connections(FILE)")
    if values.dtype.kind not in "iu":
        raise ValueError(f"{text}: must return whole numbers")
    try:
        connections_module.check(values, *sizes)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None
    return values.astype(np.int32)


def _call(text: str, *arguments: object) -> object:
    """What the function that `text` names returns for these arguments and its own."""
    module, function, params = parse(text)
    if module not in _modules:
        raise ValueError(
            f"{text}: functions are only called from files that you name: --init-module {module}.py"
        )
    call = getattr(_modules[module], function, None)
    if not callable(call):
        raise ValueError(f"{text}: {module}.py has no function {function}")
    try:
        return call(*arguments, params=params)
    except Exception as error:
        raise ValueError(f"{text}: {type(error).__name__}: {error}") from error


def _from_checkpoint(
    layer: str, tensor: str, params: list[str], sizes: tuple[int, int, int] | None = None
) -> np.ndarray:
    """A tensor of `layer`, or of the layer that params name, from the checkpoint that they name."""
    from alexnet_raw import checkpoint

    if not 1 <= len(params) <= 2:
        raise ValueError("write (FILE), or (FILE,LAYER), after checkpoint's function")
    source = params[1] if len(params) == 2 else layer
    values = checkpoint.load_tensor(params[0], f"{source}.{tensor}")
    if values is None and sizes:  # connections that follow from the seed are not saved
        seed = checkpoint.load_metadata(params[0])["seed"]
        return connections_module.draw(seed, source, int(tensor.removeprefix("seen")), *sizes)
    if values is None:
        raise ValueError(f"{params[0]} has no {source}.{tensor}")
    return values
