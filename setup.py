"""Builds the extension modules with CMake.

Environment variables:
    ALEXNET_RAW_CUDA            auto (default): build the CUDA target where nvcc is found; on: fail
                                where it is not; wheels: fetch nvcc from PyPI; off: CPU target only
    ALEXNET_RAW_CUDA_ARCH       CUDA architectures, CMake's syntax, e.g. "90a" or "80-real;90";
                                without the a, a GPU of 9.0 lacks the kernels of conv_wgmma.cu
                                (default: those of this machine's GPUs; where it shows none, PTX
                                that a GPU's driver compiles when the module is first loaded)
    ALEXNET_RAW_PORTABLE=1      for any machine, not just this one: every CPU of the family (AVX2),
                                every CUDA architecture
    ALEXNET_RAW_SANITIZE        sanitizers for the CPU target, e.g. "address,undefined"
    ALEXNET_RAW_BUILD_DIR       where CMake works (default build/cmake-<python tag>)
nvcc is looked for in CUDACXX, on PATH, in CUDA_HOME, in /usr/local/cuda and in the nvidia wheels of the
build's Python environment.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
ANY_GPU = "75-virtual;80-virtual"  # two compilations instead of five; tensor cores need the second


class CMakeExtension(Extension):
    def __init__(self, name: str):
        super().__init__(name, sources=[])


def nvcc_from_wheels() -> Path | None:
    spec = importlib.util.find_spec("nvidia")
    for place in spec.submodule_search_locations if spec else ():
        for nvcc in sorted(Path(place).glob("cu*/bin/nvcc")):
            return nvcc
    return None


def find_nvcc() -> Path | None:
    candidates = [os.environ.get("CUDACXX"), shutil.which("nvcc")]
    for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda"):
        candidates.append(str(Path(home, "bin", "nvcc")) if home else None)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return nvcc_from_wheels()


def wanted_nvcc() -> Path | None:
    """The nvcc to build the CUDA target with, or None to leave that target out."""
    choice = os.environ.get("ALEXNET_RAW_CUDA", "auto").lower()
    if choice not in ("auto", "on", "wheels", "off"):
        raise SystemExit(f"ALEXNET_RAW_CUDA={choice}: use auto, on, wheels or off")
    if choice == "off":
        return None
    nvcc = nvcc_from_wheels() if choice == "wheels" else find_nvcc()
    if choice != "auto" and nvcc is None:
        raise SystemExit(
            f"ALEXNET_RAW_CUDA={choice}, but no nvcc was found: install the CUDA toolkit, or set "
            "CUDACXX to its nvcc, or let pip fetch one: ALEXNET_RAW_CUDA=wheels pip install ."
        )
    return nvcc


def gpu_architectures() -> str | None:
    """Those of the GPUs that the driver shows, "80-real;90a-real"; None if it shows none."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.findall(r"^(\d+)\.(\d)$", shown.stdout, re.MULTILINE)
    names = {f"{major}{minor}{'a' if major + minor == '90' else ''}-real" for major, minor in found}
    return ";".join(sorted(names)) or None  # 90a: with what no other has, cuda/core/wgmma.h


class CMakeBuild(build_ext):
    """One configure and one build for both modules; unchanged files are not compiled again."""

    def run(self) -> None:
        default = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        build = Path(os.environ.get("ALEXNET_RAW_BUILD_DIR", default)).resolve()
        build.mkdir(parents=True, exist_ok=True)
        lock = open(build / "lock", "w")  # noqa: SIM115 - held until the process ends
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second install waits
        nvcc = wanted_nvcc()
        try:
            self.configure(build, nvcc)
        except SystemExit:
            if nvcc is None or os.environ.get("ALEXNET_RAW_CUDA", "auto").lower() != "auto":
                raise
            print(f"{nvcc} does not work here (see above): the CPU target only", file=sys.stderr)
            self.configure(build, None)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
        self.call("cmake", "--build", build, "-j", jobs)
        for ext in list(self.extensions):
            target = ext.name.rpartition(".")[2]
            built = sorted(build.glob(f"cuda/{target[1:]}_target/{target}.*.so"))
            destination = Path(self.get_ext_fullpath(ext.name))
            if not built:
                destination.unlink(missing_ok=True)
                self.extensions.remove(ext)
                continue
            destination.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(built[0]), str(destination))

    def configure(self, build: Path, nvcc: Path | None) -> None:
        import pybind11

        portable = os.environ.get("ALEXNET_RAW_PORTABLE") == "1"
        arguments = [
            "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DALEXNET_RAW_PORTABLE={'ON' if portable else 'OFF'}",
            f"-DALEXNET_RAW_SANITIZE={os.environ.get('ALEXNET_RAW_SANITIZE', '')}",
        ]  # fmt: skip
        arguments.append(f"-DALEXNET_RAW_CUDA={'ON' if nvcc else 'OFF'}")
        if nvcc:
            arguments.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
            if "site-packages" in str(nvcc):  # wheels keep their libraries where nvcc does not look
                arguments.append(f"-DCMAKE_CUDA_FLAGS=-L{nvcc.parent.parent / 'lib'}")
            architectures = os.environ.get("ALEXNET_RAW_CUDA_ARCH")
            if not architectures and not portable:
                architectures = gpu_architectures() or ANY_GPU
            if architectures:
                arguments.append(f"-DCMAKE_CUDA_ARCHITECTURES={architectures}")
        else:
            print("building the CPU target only", file=sys.stderr)
        # A cache from other arguments (or a vanished build environment) would win over these.
        stamp = build / "arguments.txt"
        text = "\n".join(arguments)
        fresh = ["--fresh"] if not stamp.exists() or stamp.read_text() != text else []
        stamp.unlink(missing_ok=True)
        self.call("cmake", *fresh, "-S", ROOT, "-B", build, *arguments)
        stamp.write_text(text)

    def call(self, *command: object) -> None:
        try:
            subprocess.run([str(c) for c in command], check=True)
        except FileNotFoundError:
            raise SystemExit(f"{command[0]} was not found: pip install cmake ninja") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{command[0]} failed ({error.returncode}); its output is above") from None


setup(
    ext_modules=[CMakeExtension("alexnet_raw._cpu"), CMakeExtension("alexnet_raw._cuda")],
    cmdclass={"build_ext": CMakeBuild},
)
