"""tools/gpu_check.sh with stand-ins for the machine: no GPU, no build, no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "gpu_check.sh"
CHECKS = ["memcheck", "racecheck", "initcheck", "synccheck"]
STEPS = ["build", "torch", "device", "tests", *CHECKS, "kernels", "train", "tuned", "inference"]

NVIDIA_SMI = """
case $* in
    *name*) echo "NVIDIA H100 80GB HBM3" ;;
    *) echo "| NVIDIA-SMI 580.1   Driver Version: 580.1   CUDA Version: ${FAKE_CUDA:-13.0}  |" ;;
esac
"""

# Writes down how it was called, fails where FAKE_FAIL matches that, waits where FAKE_HANG does.
PYTHON = """
echo "$ALEXNET_RAW_CUDA $*" >>"$FAKE_CALLS"
if [ -n "$FAKE_FAIL" ] && echo "$*" | grep -Eq "$FAKE_FAIL"; then echo "it failed"; exit 3; fi
if [ -n "$FAKE_HANG" ] && echo "$*" | grep -Eq "$FAKE_HANG"; then exec sleep 60; fi
case $* in
    *base_prefix*) exit "${FAKE_IN_VENV:-0}" ;;
    "-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
    *tools/bench_*) for file; do :; done; echo "measured, $*" >"$file" ;;
esac
"""

COMPUTE_SANITIZER = """
echo "sanitizer $*" >>"$FAKE_CALLS"
if [ -n "$FAKE_ERRORS" ] && [ "$2" = "$FAKE_ERRORS" ]; then echo "ERROR SUMMARY: 1 error"; exit 86; fi
"""


@dataclass
class Machine:
    """A checkout with two kernels, and a PATH of stand-ins."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "build" / "gpu_check"

    def command(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)

    def check(self, *arguments: str, **environment: str) -> tuple[int, dict[str, str], list[str]]:
        """Exit status, step -> verdict, and the calls."""
        calls = self.root / "calls"
        calls.write_text("")
        kept = ("OUT", "PYTHON", "PYTHONPATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "ALEXNET_RAW_CUDA")
        inherited = {name: value for name, value in os.environ.items() if name not in kept}
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        self.run = subprocess.run(
            [self.root / "tools" / SCRIPT.name, *arguments],
            env=inherited | {"PATH": path, "FAKE_CALLS": str(calls), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        table = self.run.stdout.partition("verdict\n")[2]
        rows = re.findall(r"^(\w+) +(\d*)   (\D.*)$", table, re.MULTILINE)
        return self.run.returncode, {row[0]: row[2] for row in rows}, calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path) -> Machine:
    for folder in ("tools", "bin", "benchmarks", "tests", "cuda/kernels"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "tools")
    for kernel, text in (("add", "launch<"), ("conv", "launch_with_barriers<"), ("untested", "")):
        (tmp_path / "cuda/kernels" / f"{kernel}.cu").write_text(text + "\n")
        if text:
            (tmp_path / "tests" / f"test_{kernel}.py").touch()
    made = Machine(tmp_path)
    made.command("nvidia-smi", NVIDIA_SMI)
    made.command("python3", PYTHON)
    made.command("compute-sanitizer", COMPUTE_SANITIZER)
    return made


def test_all_steps(machine):
    status, verdicts, calls = machine.check()
    assert status == 0
    assert verdicts == dict.fromkeys(STEPS, "ok")
    assert "on -m pip install --editable .[cuda13,test]" in calls
    (tests,) = [call for call in calls if call.startswith("on -m pytest")]
    assert "-k cuda:0" in tests
    benchmarks = {
        f"{name}-{precision}"
        for name in ("kernels", "train", "inference")
        for precision in ("fp32", "tf32", "bf16")
    } | {"train-bf16-256", "train-bf16-256-tuned"}
    written = {path.name for path in (machine.root / "benchmarks").iterdir()}
    assert written == {f"gpu-h100-80gb-hbm3-{name}.md" for name in benchmarks}
    written = (machine.root / "benchmarks/gpu-h100-80gb-hbm3-train-bf16.md").read_text()
    assert "--precision bf16" in written
    assert str(machine.root) not in written  # the command to repeat, not where it was given
    assert {f"{step}.log" for step in STEPS} <= {path.name for path in machine.out.iterdir()}
    assert (machine.out / "table.txt").read_text().strip() in machine.run.stdout


def test_sanitizers_run_the_tests_of_kernels(machine):
    calls = machine.check("memcheck", "racecheck")[2]
    memory, races = [call for call in calls if call.startswith("sanitizer")]
    assert "--tool memcheck" in memory and "--error-exitcode 86" in memory
    assert memory.endswith("-k cuda:0 tests/test_add.py tests/test_conv.py")
    assert "--tool racecheck" in races and races.endswith("-k cuda:0 tests/test_conv.py")


def test_found_errors_fail_the_run_and_later_steps_go_on(machine):
    status, verdicts, _ = machine.check(FAKE_ERRORS="racecheck")
    assert status == 1
    assert verdicts.pop("racecheck") == "FAILED: errors were found, see racecheck.log"
    assert set(verdicts.values()) == {"ok"}
    assert "ERROR SUMMARY: 1 error" in machine.run.stdout


def test_failed_tests_do_not_hide_the_benchmarks(machine):
    status, verdicts, _ = machine.check(FAKE_FAIL="continue-on-collection")
    assert status == 1
    assert verdicts["tests"] == "FAILED (3): see tests.log"
    assert verdicts["kernels"] == "ok"


@pytest.mark.parametrize(
    ("fail", "failed", "why"),
    [("pip install --editable", "build", "the build failed"), ("Device", "device", "cannot be used")],
)
def test_without_a_build_or_a_device_the_rest_is_skipped(machine, fail, failed, why):
    status, verdicts, _ = machine.check(FAKE_FAIL=fail)
    assert status == 1
    assert verdicts[failed].startswith("FAILED")
    later = STEPS[STEPS.index(failed) + 1 :]
    assert all(verdicts[step].startswith("skipped: ") and why in verdicts[step] for step in later)
    assert not list((machine.root / "benchmarks").iterdir())


def test_without_pytorch_nothing_fails(machine):
    status, verdicts, _ = machine.check(FAKE_FAIL="import torch|torch>=")
    assert status == 0
    assert verdicts["torch"].startswith("is missing")


def test_without_compute_sanitizer(machine):
    (machine.root / "bin/compute-sanitizer").unlink()
    if shutil.which("compute-sanitizer") or Path("/usr/local/cuda/bin/compute-sanitizer").exists():
        pytest.skip("this machine has one")
    status, verdicts, _ = machine.check("memcheck", "kernels")
    assert status == 0
    assert verdicts["memcheck"] == "skipped: compute-sanitizer was not found"
    assert verdicts["kernels"] == "ok"


def test_without_a_network_it_builds_in_place(machine):
    status, _, calls = machine.check("tests", FAKE_FAIL="pip download")
    assert status == 0
    assert "nothing can be fetched" in machine.run.stdout
    assert f"on {machine.root}/setup.py build_ext --build-lib {machine.root}" in calls
    assert not any("pip install" in call or "-m venv" in call for call in calls)


def test_no_install_asks_nobody(machine):
    calls = machine.check("--no-install", "tests")[2]
    assert f"on {machine.root}/setup.py build_ext --build-lib {machine.root}" in calls
    assert not any("pip" in call for call in calls)


def test_a_virtual_environment_is_used_and_else_made(machine):
    assert any("-m venv" in call for call in machine.check("tests")[2])
    assert not any("-m venv" in call for call in machine.check("tests", FAKE_IN_VENV="1")[2])


def test_an_older_driver_gets_the_older_cupy(machine):
    calls = machine.check("tests", FAKE_CUDA="12.4")[2]
    assert "on -m pip install --editable .[cuda12,test]" in calls


def test_a_step_that_hangs_is_ended_and_its_file_left_out(machine):
    hang = {"FAKE_HANG": "bench_kernels"}
    status, verdicts, _ = machine.check("kernels", "inference", "--seconds", "6", **hang)
    assert status == 1
    assert re.fullmatch(r"FAILED: not done after [1-5] s", verdicts["kernels"])
    assert verdicts["inference"] == "ok"
    names = {path.name for path in (machine.root / "benchmarks").iterdir()}
    assert names == {f"gpu-h100-80gb-hbm3-inference-{p}.md" for p in ("fp32", "tf32", "bf16")}


def test_without_a_gpu(machine):
    machine.command("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    status, verdicts, calls = machine.check()
    assert (status, verdicts, calls) == (1, {}, [])
    assert "no GPU: NVIDIA-SMI has failed" in machine.run.stderr


def test_wrong_arguments(machine):
    for arguments in (["memchek"], ["--seconds", "ten"], ["--seconds"]):
        assert machine.check(*arguments)[0] == 1
        assert machine.run.stderr.startswith("gpu_check.sh: ")


def test_cases_are_spread_evenly():
    from few_cases import spread

    assert spread(range(10), 3) == [0, 4, 9]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(7), 1) == [0]


def test_a_copy_without_git_has_the_commit_it_is_told(monkeypatch, tmp_path):
    from checkout import commit

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ALEXNET_RAW_COMMIT", "90c3577")
    assert commit() == "90c3577"
    monkeypatch.delenv("ALEXNET_RAW_COMMIT")
    assert commit() == "unknown"
