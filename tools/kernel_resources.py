"""What each kernel takes of a GPU: registers, spills, shared memory, and the warps that then fit.

    python tools/kernel_resources.py --output benchmarks/kernel_resources.md
    python tools/kernel_resources.py --check --arch 90    # status 1: a kernel spills, or nvcc warns

No GPU is needed: it is nvcc that compiles cuda/kernels/*.cu, with the options of the build, and ptxas
that tells. Needs nvcc (on PATH or in CUDACXX) and c++filt. Six minutes on two cores; one architecture
in a minute and a half.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from checkout import commit
from occupancy import LIMITS, occupancy

KERNELS = Path(__file__).resolve().parents[1] / "cuda" / "kernels"
ARCHITECTURES = ["75", "80", "86", "89", "90", "100", "120"]
SHOWN = ["75", "80", "90", "120"]  # in the table, which would be too wide with all

# Bytes that an instance of a kernel may spill, on any architecture: what is so today, of kernels that a
# GPU runs on request only (ForGpu::winograd). Lower them when they fall.
ALLOWED = {
    "winograd_strips_kernel": 80,
    "winograd_products_kernel": 24,
    "winograd_values_kernel": 80,
}

# cuda/cuda_target/CMakeLists.txt, and CMake's of a release build.
FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-lineinfo", "--expt-relaxed-constexpr"]
FLAGS += ["-Xcompiler=-Wall,-fPIC,-fvisibility=hidden"]
COMPLAINT = re.compile(r"\bwarning\b|\bPotential Performance Loss\b|\badvisory\b", re.IGNORECASE)

THREADS = 256  # of a block whose kernel has no launch bounds: cuda/core/tuning.h
NOTES = f"""\
- a cell: registers of a thread; occupancy, the warps of a multiprocessor that registers and shared
  memory allow of those that it can hold; then, where there are any, bytes of the stack frame and bytes
  of spill stores / loads
- threads: of a block, by the launch bounds; ({THREADS}): there are none, the tuning's number was taken
- static, dynamic: bytes of shared memory of a block; dynamic ones are the `shared_bytes` of the tile in
  the launch bounds; "at run time": the launcher decides, the occupancy (≤) counts none of it
"""


@dataclass(frozen=True)
class Use:
    """Of a kernel: registers of a thread and bytes, as ptxas tells; and, as the PTX does, threads of a
    block by the launch bounds, and whether there is dynamic shared memory.
    """

    registers: int
    stack: int
    stores: int
    loads: int
    static: int
    threads: int | None = None
    dynamic: bool = False


@dataclass
class Kernel:
    """One instance of a kernel; its dynamic shared memory in bytes, None where the launcher decides."""

    source: Path
    name: str
    uses: dict[str, Use] = field(default_factory=dict)  # by architecture
    dynamic: int | None = None

    @property
    def threads(self) -> int | None:
        return next(iter(self.uses.values())).threads

    @property
    def has_dynamic(self) -> bool:
        return any(use.dynamic for use in self.uses.values())

    def occupancy(self, arch: str) -> float:
        use = self.uses[arch]
        shared = use.static + (self.dynamic or 0 if use.dynamic else 0)
        return occupancy(arch, use.threads or THREADS, use.registers, shared)

    def cell(self, arch: str) -> str:
        use = self.uses.get(arch)
        if use is None:
            return ""
        at_most = "≤ " if use.dynamic and self.dynamic is None else ""
        text = f"{use.registers}, {at_most}{self.occupancy(arch):.0%}"
        if use.stack:
            text += f", stack {use.stack}"
        if use.stores or use.loads:
            text += f", spills {use.stores}/{use.loads}"
        return text

    def row(self) -> list[str]:
        static = max(use.static for use in self.uses.values())
        dynamic = str(self.dynamic or "at run time") if self.has_dynamic else ""
        threads = str(self.threads or f"({THREADS})")
        return [self.source.stem, f"`{self.name}`", threads, str(static or ""), dynamic]


def uses(text: str) -> dict[str, Use]:
    """Mangled name -> use, from what `ptxas -v` prints."""
    found, entry, about, memory = {}, "", "", (0, 0, 0)
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            entry = match[1]
        elif match := re.search(r"Function properties for (\w+)", line):
            about = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) ", line):
            if about == entry:
                memory = tuple(map(int, match.groups()))
        elif match := re.search(r"Used (\d+) registers", line):
            static = re.search(r"(\d+) bytes smem", line)
            found[entry] = Use(int(match[1]), *memory, int(static[1]) if static else 0)
    return found


def entries(ptx: str) -> dict[str, dict[str, int | bool | None]]:
    """Mangled name -> the `threads` and `dynamic` of Use."""
    found = {}
    extern = re.findall(r"^\.extern \.shared .*?(\w+)\[\];", ptx, re.MULTILINE)
    for part in re.split(r"^(?=(?:\.\w+ )*\.(?:entry|func)\b)", ptx, flags=re.MULTILINE):
        if not (match := re.match(r"(?:\.\w+ )*\.entry (\w+)", part)):
            continue
        bounds = re.search(r"^\.maxntid (\d+)(?:, (\d+), (\d+))?", part, re.MULTILINE)
        threads = int(bounds[1]) * int(bounds[2] or 1) * int(bounds[3] or 1) if bounds else None
        dynamic = any(re.search(rf"\b{name}\b", part) for name in extern)
        found[match[1]] = {"threads": threads, "dynamic": dynamic}
    return found


def demangled(names: Iterable[str]) -> dict[str, str]:
    """Mangled -> `kernel<Tuning>`, without namespaces and arguments."""
    names = list(names)
    shown = subprocess.run(
        ["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    text = shown.stdout.replace("(anonymous namespace)::", "").replace("> >", ">>")
    return dict(zip(names, text.splitlines(), strict=True))


@dataclass(frozen=True)
class Compiled:
    """A source on one architecture: mangled name -> use; what nvcc complains of."""

    source: Path
    arch: str
    uses: dict[str, Use]
    complaints: list[str]


class Compiler:
    def __init__(self) -> None:
        nvcc = shutil.which(os.environ.get("CUDACXX", "nvcc"))
        if not nvcc:
            raise SystemExit("nvcc was not found: put it on PATH or set CUDACXX")
        self.nvcc = nvcc

    def run(self, *arguments: object) -> str:
        """What nvcc prints; SystemExit where it fails."""
        command = [self.nvcc, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def version(self) -> str:
        return re.search(r"V(\d\S+)", self.run("--version"))[1]

    def compile(self, source: Path, arch: str, host: bool) -> Compiled:
        """For one architecture; with `host`, the launchers too, whose warnings are the same on all."""
        with tempfile.TemporaryDirectory() as folder:
            own = "90a" if arch == "90" else arch  # as setup.py builds for such a GPU
            code = f"-gencode=arch=compute_{own},code=sm_{own}"
            kept = ["--keep", f"--keep-dir={folder}", "-o", Path(folder) / "object"]
            told = self.run(*FLAGS, code, "-Xptxas=-v", "-c" if host else "-cubin", source, *kept)
            ptx = "".join(path.read_text() for path in sorted(Path(folder).glob("*.ptx")))
        more = entries(ptx)
        found = {name: replace(use, **more[name]) for name, use in uses(told).items()}
        complaints = [line.strip() for line in told.splitlines() if COMPLAINT.search(line)]
        return Compiled(source, arch, found, complaints)

    def shared_bytes(self, source: Path, names: list[str]) -> dict[str, int]:
        """`kernel<Tuning>` -> `shared_bytes` of the tile in its launch bounds, where there is one."""
        lines = [SHARED_BYTES.replace("SOURCE", str(source))]
        for header, tile, kernel in BOUNDS.findall(source.read_text()):
            tile = f"typename {tile}" if "::" in tile else tile
            lines.append(f"{header}constexpr int bytes_of_{kernel} = shared_bytes<{tile}>(0);")
        known = "\n".join(lines)
        asked = [name for name in names if f"bytes_of_{name.partition('<')[0]} " in known]
        lines += [f'extern "C" __device__ int b{i} = bytes_of_{name};' for i, name in enumerate(asked)]
        with tempfile.TemporaryDirectory() as folder:
            probe, ptx = Path(folder) / "probe.cu", Path(folder) / "probe.ptx"
            probe.write_text("\n".join(lines) + "\n")
            try:
                self.run(*FLAGS, "-w", "-arch=compute_90", "-ptx", probe, "-o", ptx)
            except SystemExit as error:
                print(f"{source.name}: shared memory is not told: {error}", file=sys.stderr)
                return {}
            values = re.findall(r"\bb(\d+) = (\d+);", ptx.read_text())
        return {asked[int(i)]: int(value) for i, value in values if int(value) < 2**31}


# A kernel's template header, the tile in its launch bounds, its name.
BOUNDS = re.compile(
    r"(template\s*<[^;{}]*?>\s*)?__global__\s+void\s+"
    r"__launch_bounds__\(([\w:]+)::threads\b[^()]*\)\s*(\w+)\("
)
SHARED_BYTES = """\
#include "SOURCE"
template <class X>
constexpr auto shared_bytes(int) -> decltype(int(X::shared_bytes)) { return X::shared_bytes; }
template <class X>
constexpr int shared_bytes(long) { return -1; }"""


def measure(compiler: Compiler, archs: list[str], jobs: int) -> tuple[list[Kernel], list[str]]:
    """The kernels in the order of their files, and what nvcc complained of."""
    sources = sorted(KERNELS.glob("*.cu"), key=lambda path: -path.stat().st_size)  # the long ones first
    kernels: dict[tuple[Path, str], Kernel] = {}
    complaints: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        work = [
            pool.submit(compiler.compile, source, arch, host=arch == archs[0])
            for source in sources
            for arch in archs
        ]
        for done in in_turn(work):
            complaints += [f"sm_{done.arch}: {line}" for line in done.complaints]
            names = demangled(done.uses)
            for mangled, use in done.uses.items():
                key = done.source, names[mangled]
                kernels.setdefault(key, Kernel(*key)).uses[done.arch] = use
        bounded: dict[Path, list[Kernel]] = {}
        for kernel in kernels.values():
            if kernel.has_dynamic and kernel.threads:
                bounded.setdefault(kernel.source, []).append(kernel)
        for source, of_source in bounded.items():
            known = compiler.shared_bytes(source, [kernel.name for kernel in of_source])
            for kernel in of_source:
                kernel.dynamic = known.get(kernel.name)
    return sorted(kernels.values(), key=lambda k: (k.source, k.name)), sorted(complaints)


def in_turn(work: list) -> Iterator[Compiled]:
    """The results as they come, with progress on stderr; a failure ends the rest."""
    begin = time.monotonic()
    for count, future in enumerate(as_completed(work), 1):
        if future.exception():
            for waiting in work:
                waiting.cancel()
        done = future.result()
        seconds = time.monotonic() - begin
        line = f"{seconds:4.0f} s  {count}/{len(work)}  {done.source.name} sm_{done.arch}"
        print(line, file=sys.stderr, flush=True)
        yield done


def spills(kernel: Kernel) -> dict[int, list[str]]:
    """Bytes spilled -> the architectures on which they are."""
    found: dict[int, list[str]] = {}
    for arch in sorted(kernel.uses, key=int):
        if stores := kernel.uses[arch].stores:
            found.setdefault(stores, []).append(f"sm_{arch}")
    return found


def failures(kernels: Iterable[Kernel], complaints: list[str]) -> list[str]:
    """What --check refuses, a line each."""
    found = []
    for kernel in kernels:
        allowed = ALLOWED.get(kernel.name.partition("<")[0], 0)
        found += [
            f"{kernel.source.name}: {kernel.name} spills {stores} bytes on {', '.join(archs)}, "
            f"{allowed} are allowed (ALLOWED in tools/kernel_resources.py)"
            for stores, archs in spills(kernel).items()
            if stores > allowed
        ]
    return found + [f"nvcc warns: {line}" for line in complaints]


def table(
    kernels: list[Kernel], complaints: list[str], archs: list[str], version: str
) -> Iterator[str]:
    """The lines of the file."""
    yield "# What the kernels take of a GPU\n"
    yield f"- compiled by nvcc {version} for sm_{', sm_'.join(archs)}; nothing was run"
    yield f"- commit: {commit()}, {time.strftime('%Y-%m-%d')}"
    yield f"- command: `python {shlex.join(sys.argv)}`"
    yield NOTES
    shown = [arch for arch in archs if arch in SHOWN] or archs
    header = ["file", "kernel", "threads", "static", "dynamic", *(f"sm_{arch}" for arch in shown)]
    yield "| " + " | ".join(header) + " |"
    yield "|---|---|" + "---:|" * (len(header) - 2)
    for kernel in kernels:
        yield "| " + " | ".join([*kernel.row(), *map(kernel.cell, shown)]) + " |"
    yield "\n## Spills\n"
    lines = [
        f"- `{kernel.name}`: "
        + "; ".join(f"{stores} bytes on {', '.join(on)}" for stores, on in spills(kernel).items())
        for kernel in kernels
        if spills(kernel)
    ]
    yield from lines or ["None on any of these architectures."]
    yield "\n## Warnings\n"
    yield from [f"- {line}" for line in complaints] or ["None on any of these architectures."]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--arch", default=",".join(ARCHITECTURES), help="comma list (default %(default)s)")
    p.add_argument("--check", action="store_true", help="print only what is wrong; then status 1")
    p.add_argument("--output", type=Path, help="also write what is printed to this file")
    p.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="compilers at a time")
    options = p.parse_args()
    archs = options.arch.split(",")
    if unknown := set(archs) - set(LIMITS):
        p.error(f"no limits are known of sm_{', sm_'.join(unknown)}; there are {', '.join(LIMITS)}")
    compiler = Compiler()
    kernels, complaints = measure(compiler, archs, options.jobs)
    wrong = failures(kernels, complaints)
    if not options.check:
        text = "\n".join(table(kernels, complaints, archs, compiler.version()))
        print(text)
        if options.output:
            options.output.write_text(text + "\n")
        return 0
    print("\n".join(wrong) or f"{len(kernels)} kernels: no spills beyond the allowed, no warnings")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
