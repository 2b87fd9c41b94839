#!/usr/bin/env python3
"""Runs the tests of the CUDA target where there is no GPU, on a PTX emulator.

nvcc compiles cuda/kernels/*.cu to PTX; the translator in emulate_cuda/ptx makes C++ of it, which checks
every access for races, bounds and uninitialised memory. With the bindings and a stand-in for the CUDA
runtime that becomes alexnet_raw._cuda, in a private copy of the package, and the project's own op tests
run on it as the device cuda:0. A failed test fails the run, and so does any report.

    tools/emulate_cuda.py            every op test, in two orders of warps and blocks
    tools/emulate_cuda.py -k conv --seeds 0,1,2,3
    tools/emulate_cuda.py --kernels lrn_pool tests/test_lrn_pool.py   builds little else
    tools/emulate_cuda.py --mutate   deletes each barrier and wait in turn: each must be reported

Needs nvcc, g++, and alexnet-raw installed in place (pip install -e '.[test]').
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().with_suffix("")
PTX = HERE / "ptx"  # the emulator: a translator and the runtime of what it makes
# Calls on a line of their own that order what threads, copies and products do.
BARRIER = re.compile(
    r"^[ \t]*(__syncthreads\(\)|wait_for_copies<.*>\(\)|mbarrier_wait\(.*\)"
    r"|wait_for_products<.*>\(\)|fence_shared_for_async\(\));.*$",
    re.MULTILINE,
)


def run(*command: object) -> None:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


class Emulation:
    """The build of one copy of the sources, and the tests on it."""

    def __init__(self, work: Path, arch: str):
        self.work, self.arch = work, arch
        self.nvcc = shutil.which(os.environ.get("CUDACXX", "nvcc"))
        if not self.nvcc:
            raise SystemExit("nvcc was not found: put it on PATH or set CUDACXX")
        self.objects = work / "objects"
        self.tree = work / "tree"
        self.objects.mkdir(parents=True, exist_ok=True)

    def copy_sources(self) -> None:
        shutil.rmtree(self.tree, ignore_errors=True)
        skip = shutil.ignore_patterns("__pycache__", "_cuda.*.so")
        for folder in ("alexnet_raw", "bindings", "cuda", "tests"):
            shutil.copytree(ROOT / folder, self.tree / folder, ignore=skip)

    def kernels(self) -> list[Path]:
        return sorted((self.tree / "cuda" / "kernels").glob("*.cu"))

    def keep_kernels(self, names: list[str]) -> None:
        """Leaves in the copy these kernels, those whose headers they include, and their bindings."""
        sources = {path.stem: path for path in self.kernels()}
        if unknown := set(names) - set(sources):
            raise SystemExit(
                f"no kernels: {', '.join(sorted(unknown))}; there are {', '.join(sources)}"
            )
        kept, waiting = set(), list(names)
        while waiting:
            if (name := waiting.pop()) not in kept:
                kept.add(name)
                waiting += {p.stem for p in self.dependencies(sources[name])} & set(sources)
        for name in set(sources) - kept:
            sources[name].unlink()
            (self.tree / "bindings" / f"bind_{name}.cpp").unlink(missing_ok=True)
        module = self.tree / "bindings" / "module.cpp"
        calls = re.compile(r"^    bind_(\w+)\(m\);\n", re.MULTILINE)
        module.write_text(calls.sub(lambda m: m[0] if m[1] in kept else "", module.read_text()))

    def dependencies(self, source: Path) -> set[Path]:
        """The source and all that it includes from the tree."""
        found, waiting = set(), [source]
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            found.add(path)
            names = re.findall(r'#include "([^"]+)"', path.read_text())
            waiting += [p for name in names if (p := (path.parent / name).resolve()).exists()]
        return found

    def object_of(self, source: Path, kind: str, compile_to) -> Path:
        """An object file under a name made of its sources' contents, so that mutants share the rest."""
        digest = hashlib.sha256(f"{kind} {self.arch}".encode())
        files = self.dependencies(source) | set(PTX.glob("*.py")) | set(PTX.glob("*.h"))
        for path in sorted(files):
            digest.update(path.read_bytes())
        target = self.objects / f"{source.stem}.{kind}.{digest.hexdigest()[:16]}.o"
        if not target.exists():
            unfinished = target.with_suffix(".part.o")
            compile_to(source, unfinished)
            unfinished.rename(target)
        return target

    def host_compiler(self, *flags: str):
        def compile_to(source: Path, target: Path) -> None:
            run("g++", "-std=c++17", "-fPIC", *flags, "-c", source, "-o", target)

        return compile_to

    def nvcc_flags(self) -> list[str]:
        flags = ["-std=c++17", "-lineinfo", "--expt-relaxed-constexpr"]
        ptx = f"compute_{self.arch}"
        flags.append(f"-gencode=arch={ptx},code={ptx}")  # -arch=compute_90a would ask for 90 too
        return [*flags, "-Xcompiler=-fPIC,-fvisibility=hidden"]

    def kernel_object(self, source: Path, target: Path) -> None:
        """Both sides of a source, of one run of nvcc: names in anonymous namespaces differ from run to
        run. The device's side is compiled again only if its PTX has changed."""
        kept = self.objects / source.stem
        kept.mkdir(exist_ok=True)
        host, translated = kept / "host.o", kept / f"{source.stem}.cpp"
        run(
            self.nvcc, *self.nvcc_flags(), "--keep", "--keep-dir", kept, "-O2", "-c", source, "-o", host
        )
        run(sys.executable, PTX / "translate.py", kept / f"{source.stem}.ptx", translated)
        compile_to = self.host_compiler(*self.emulator_flags(), "-fno-trapping-math")
        run("ld", "-r", host, self.object_of(translated, "device", compile_to), "-o", target)

    def emulator_flags(self) -> list[str]:
        strict = ["-fno-strict-aliasing", "-fwrapv", "-ffp-contract=off"]
        number = re.sub("[a-z]", "", self.arch)
        return ["-O1", "-march=native", "-w", *strict, f"-DEMULATOR_ARCH={number}", f"-I{PTX}"]

    def toolkit(self) -> Path:
        """The folder of the CUDA toolkit, which nvcc tells (on PATH it may be a link or a script)."""
        command = [self.nvcc, "--dryrun", "-E", "-x", "cu", os.devnull]
        done = subprocess.run(command, capture_output=True, text=True)
        return Path(re.search(r"TOP=(\S+)", done.stderr + done.stdout).group(1))

    def emulated(self, kernels: list[Path]) -> list[tuple]:
        """What to compile for these kernels to run: them and the emulator."""
        wanted = [(k, "kernel", self.kernel_object) for k in kernels]
        runtime = [*sorted(PTX.glob("*.cpp")), ROOT / "cuda" / "core" / "fiber.cpp"]
        emulator = self.host_compiler(*self.emulator_flags())
        return wanted + [(source, "emulator", emulator) for source in runtime]

    def compile(self, wanted: list[tuple], jobs: int) -> list[Path]:
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda one: self.object_of(*one), wanted))

    def build(self, jobs: int) -> None:
        """Compiles what changed and links tree/alexnet_raw/_cuda."""
        import pybind11

        cuda_include = self.toolkit() / "include"
        named = ["COMPILER", "FLAGS", "ARCHITECTURES"]
        binding = self.host_compiler(
            "-O0", "-fvisibility=hidden", "-DALEXNET_RAW_CUDA",
            *(f'-DALEXNET_RAW_{name}="emulated"' for name in named),
            f"-I{cuda_include}", f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}",
        )  # fmt: skip
        wanted = self.emulated(self.kernels())
        wanted += [(b, "binding", binding) for b in sorted((self.tree / "bindings").glob("*.cpp"))]
        wanted += [(HERE / "runtime.cpp", "runtime", self.host_compiler("-O1", f"-I{cuda_include}"))]
        objects = self.compile(wanted, jobs)
        module = self.tree / "alexnet_raw" / ("_cuda" + sysconfig.get_config_var("EXT_SUFFIX"))
        run("g++", "-shared", "-o", module, *objects, "-lpthread", "-Wl,-Bsymbolic")

    def test(self, arguments: list[str], seed: int, quiet: bool = False) -> tuple[int, list[str]]:
        """pytest's exit status and the emulator's reports."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(self.tree), str(HERE)]),
            "EMULATOR_SEED": str(seed),
            "EMULATOR_ARENA_GB": "16",
            "ALEXNET_RAW_TEST_BORDER": "0",  # the emulator knows where an array ends
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--capture=sys",
            "-p",
            "no:cacheprovider",
            *arguments,
        ]
        process = subprocess.Popen(
            command, cwd=self.tree, env=environment, text=True,
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL if quiet else None,
        )  # fmt: skip
        reports = []
        for line in process.stderr:
            if not quiet:
                sys.stderr.write(line)
            if line.startswith("EMULATOR"):
                reports.append(line.strip())
        return process.wait(), reports


def test_arguments(kernels: list[Path], select: str | None, extra: list[str]) -> list[str]:
    """The tests of each kernel that has some of its own, or those that were asked for."""
    ops = [path.stem for path in kernels]
    files = [a for a in extra if a.startswith("tests")]
    of_ops = (f"tests/test_{op}.py" for op in (*ops, *["fc", "conv_waves"] * ("conv" in ops)))
    files = files or [file for file in of_ops if (ROOT / file).exists()]
    others = [a for a in extra if not a.startswith("tests")]
    return [*files, "-k", f"cuda:0 and ({select})" if select else "cuda:0", *others]


# For each source with barriers or waits for copies, tests that reach all of them.
MUTATION_TESTS = {
    "cuda/core/tile_loop.h": "tests/test_conv.py::test_forward",
    "cuda/core/mma_loop.h": "tests/test_conv_waves.py -k test_forward and bf16",
    "cuda/core/wgmma_loop.h": "tests/test_conv_wgmma.py -k test_forward and n72-c128 and float32",
    "cuda/core/reduce.h": "tests/test_logloss.py",  # two sums in a row share their memory
    "cuda/kernels/box_sums.h": "tests/test_rnorm.py",
    "cuda/kernels/winograd.cu": "tests/test_conv.py -k winograd",
    "cuda/kernels/winograd_few_images.cu": "tests/test_conv.py -k winograd",
}
NEEDS_90A = ["cuda/core/wgmma_loop.h"]  # without --arch 90a nothing of it is compiled


def mutate(emulation: Emulation, part: str, jobs: int) -> int:
    """Deletes each barrier of the files named like `part` in turn; returns how many nobody reported."""
    missed = 0
    sources = sorted(p for p in (emulation.tree / "cuda").rglob("*") if p.suffix in (".cu", ".h"))
    for path in sources:
        name = path.relative_to(emulation.tree).as_posix()
        if part not in name or (name in NEEDS_90A and emulation.arch != "90a"):
            continue
        original = path.read_text()
        barriers = list(BARRIER.finditer(original))
        if barriers and name not in MUTATION_TESTS:
            print(f"{name} has barriers and no tests in MUTATION_TESTS", flush=True)
            missed += len(barriers)
            continue
        for barrier in barriers:
            mutant = original[: barrier.start()] + original[barrier.end() :]  # keeps line numbers
            path.write_text(mutant)
            emulation.build(jobs)
            file, _, wanted = MUTATION_TESTS[name].partition(" -k ")
            tests = [file, "-k", f"cuda:0 and {wanted}" if wanted else "cuda:0", "-x"]
            reports = next(
                (r for seed in (0, 1) if (r := emulation.test(tests, seed, quiet=True)[1])), []
            )
            line = original[: barrier.start()].count("\n") + 1
            missed += not reports
            print(f"{name}:{line} deleted: {reports[0] if reports else 'NOT REPORTED'}", flush=True)
        path.write_text(original)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "emulate_cuda", help="build folder"
    )
    parser.add_argument(
        "--arch",
        default="80",
        help="compute capability of the PTX, 75 or newer, 90a for Hopper's own (default %(default)s)",
    )
    parser.add_argument(
        "--seeds", default="0,1", help="orders of warps and blocks (default %(default)s)"
    )
    parser.add_argument(
        "-j", "--jobs", type=int, default=os.cpu_count() or 1, help="compilers at a time"
    )
    parser.add_argument(
        "--kernels",
        metavar="NAMES",
        help="build only these, as conv,lrn_pool, and those that they use: quicker, for their tests",
    )
    parser.add_argument("-k", dest="select", help="pytest's selection, beside cuda:0")
    parser.add_argument(
        "--mutate",
        nargs="?",
        const="",
        metavar="FILE",
        help="delete each barrier and wait (of FILE) in turn",
    )
    options, extra = parser.parse_known_args()

    emulation = Emulation(options.work.resolve(), options.arch)
    emulation.copy_sources()
    if options.kernels:
        emulation.keep_kernels(options.kernels.split(","))
    if options.mutate is not None:
        missed = mutate(emulation, options.mutate, options.jobs)
        print(f"{missed} deletions were not reported" if missed else "every deletion was reported")
        return int(missed > 0)
    emulation.build(options.jobs)
    bad = False
    for seed in map(int, options.seeds.split(",")):
        status, reports = emulation.test(
            test_arguments(emulation.kernels(), options.select, extra), seed
        )
        print(f"seed {seed}: pytest exited with {status}, {len(reports)} reports", flush=True)
        bad = bad or status != 0 or bool(reports)
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())
