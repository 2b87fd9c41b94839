"""What was built, which devices there are, and why one cannot be used."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = ("numpy", "safetensors", "matplotlib", "tqdm", "pillow", "simplejpeg")
CUPY_PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cupy")

Line = tuple[str, str]  # a label and what there is to say


def version() -> str:
    """The version of the installed package."""
    return _version("alexnet-raw") or "(not installed: run from its folder)"


@cache
def code() -> int:
    """A checksum of the package's Python files: there may be several of one version."""
    folder, found = Path(__file__).parent, 0
    for file in sorted(folder.rglob("*.py")):
        found = zlib.crc32(f"{file.relative_to(folder)}".encode() + file.read_bytes(), found)
    return found


def versions() -> dict[str, str]:
    """Name -> version of this package, of Python and of the packages it computes with."""
    found = {"alexnet-raw": version(), "python": platform.python_version()}
    for package in (*PACKAGES, *CUPY_PACKAGES):
        if number := _version(package):
            found[package] = number
    return found


def report() -> Iterator[Line]:
    """The lines of ``alexnet-raw info``."""
    yield "alexnet-raw", version()
    yield "folder", str(Path(__file__).parent)
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    missing = [package for package in PACKAGES if not _version(package)]
    shown = (f"{name} {number}" for name, number in versions().items() if name in PACKAGES)
    yield "packages", ", ".join([*shown, *(f"{package} is missing" for package in missing)])
    yield "", ""
    yield "built for cpu", _built("_cpu")
    yield "built for cuda", _built("_cuda")
    yield "", ""
    yield "cpu", _cpu()
    yield from _cuda_devices()


def _built(name: str) -> str:
    try:
        build = _module(name).build_info()
    except ImportError as error:
        if importlib.util.find_spec(f"alexnet_raw.{name}"):
            return f"yes, but it cannot be loaded: {error}"
        if name == "_cuda":
            return (
                "no: no nvcc was found at installation, or ALEXNET_RAW_CUDA=off was set. With the "
                "CUDA toolkit: ALEXNET_RAW_CUDA=on pip install . Without it: ALEXNET_RAW_CUDA=wheels"
            )
        return "no: the installation is broken; install again with: pip install ."
    return ", ".join(_describe(build))


def _describe(build: dict[str, Any]) -> Iterator[str]:
    if "cuda_version" in build:
        yield f"CUDA {build['cuda_version']}"
    if architectures := build.get("architectures"):
        names = architectures.split() if isinstance(architectures, str) else architectures
        yield "architectures " + " ".join(str(name) for name in names)
    if compiler := build.get("compiler"):
        yield str(compiler)
    if build.get("lanes", 1) != 1:
        yield f"vectors of {build['lanes']} floats"
    if flags := build.get("flags"):
        yield str(flags)


def _cpu() -> str:
    try:
        threads = _module("_cpu").threads()
    except ImportError:
        return "not usable: see above"
    return f"usable: {cpu_model()}, {threads} threads (--threads changes that)"


def cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.machine()


def _cuda_devices() -> Iterator[Line]:
    try:
        extension = _module("_cuda")
    except ImportError:
        yield "cuda", "not usable: nothing was built for it, see above"
        return
    try:
        count = extension.device_count()
    except RuntimeError as error:
        yield "cuda", f"not usable: {error}"
        return
    if count == 0:
        yield "cuda", f"not usable: {_why_no_device()}"
        return
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        toolkit = str(extension.build_info().get("cuda_version", "13")).split(".")[0]
        yield (
            "cuda",
            f"{count} found, not usable: arrays on them need CuPy ({error}); install it with: "
            f"pip install 'alexnet-raw[cuda{toolkit}]'",
        )
        return
    built = str(extension.build_info().get("architectures", ""))
    for index in range(count):
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        memory = properties["totalGlobalMem"] / 2**30
        capability = f"{properties['major']}{properties['minor']}"
        yield (
            f"cuda:{index}",
            f"usable: {properties['name'].decode()}, {memory:.0f} GiB, sm_{capability}"
            + ("" if capability in built else f" (not among the built: {built})"),
        )
    yield "cuda graphs", "training steps are recorded, where all devices of a run are one GPU"


def _why_no_device() -> str:
    if not Path("/proc/driver/nvidia/version").exists():
        return "no NVIDIA driver is loaded; install one (on a GPU machine, 'nvidia-smi' shows it)"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU; unset it"
    return "the driver sees no GPU; 'nvidia-smi' says more"


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"alexnet_raw.{name}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
