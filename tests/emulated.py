"""Programs of test kernels, built for the PTX emulator of tools/emulate_cuda.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(__file__).resolve().parents[1] / "tools" / "emulate_cuda.py"

needs_emulator = pytest.mark.skipif(
    not (shutil.which(os.environ.get("CUDACXX", "nvcc")) and shutil.which("g++") and TOOL.exists()),
    reason="needs nvcc, g++ and the sources of the emulator",
)


class Emulated:
    """The cases of one source."""

    def __init__(self, source: Path, arch: str, folder: Path):
        import emulate_cuda

        self.source = source
        emulation = emulate_cuda.Emulation(folder, arch)
        objects = emulation.compile(emulation.emulated([source]), os.cpu_count() or 1)
        self.program = folder / source.stem
        emulate_cuda.run("g++", "-o", self.program, *objects)

    def __call__(self, case: str, words: np.ndarray, order: int = 0) -> tuple[np.ndarray, list[str]]:
        """Runs a case on words; returns its output and the emulator's reports."""
        done = subprocess.run(
            [str(self.program), case],
            input=words.tobytes(),
            capture_output=True,
            env=os.environ | {"EMULATOR_SEED": str(order)},
            timeout=60,
        )
        reports = [line for line in done.stderr.decode().splitlines() if line.startswith("EMULATOR")]
        assert done.returncode == bool(reports), done.stderr.decode()
        return np.frombuffer(done.stdout, np.uint32), reports

    def computed(self, case: str, words: np.ndarray, order: int = 0) -> np.ndarray:
        output, reports = self(case, words, order)
        assert not reports
        return output

    def assert_reported(self, case: str, kind: str, words: np.ndarray, order: int) -> None:
        """The case's mistake is reported in a line of the source that says `reported:` and its kind."""
        _, reports = self(case, words, order)
        of_kind = [r for r in reports if r.startswith(f"EMULATOR {kind}: ")]
        places = {int(m[1]) for r in of_kind if (m := re.search(rf"{self.source.name}:(\d+)", r))}
        lines = enumerate(self.source.read_text().splitlines(), 1)
        assert places & {n for n, text in lines if kind in text.partition("// reported: ")[2]}, reports


def bf16(x: np.ndarray) -> np.ndarray:
    """The bits of float32 numbers as bfloat16, to the nearest, halves to even."""
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, rounded).astype(np.uint32)


def floats(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)
