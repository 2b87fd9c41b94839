"""What tools/kernel_resources.py reads from nvcc, and what it makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import kernel_resources
import pytest
from kernel_resources import Compiler, Kernel, Use, entries, failures, measure, uses
from occupancy import occupancy

PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_90'
ptxas info    : Function properties for first
    40 bytes stack frame, 36 bytes spill stores, 24 bytes spill loads
ptxas info    : Function properties for helper
    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 64 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Function properties for second
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 0 barriers
"""

PTX = """\
.extern .shared .align 16 .b8 pool[];
.entry first(
	.param .u64 first_param_0
)
.maxntid 32, 8, 1
{
	mov.u32 	%r1, pool;
}
.func helper()
{
	mov.u32 	%r1, pool;
}
.visible .entry second(
	.param .u64 second_param_0
)
{
	ret;
}
"""

SOURCE = """\
struct ForGpu { struct Tile { static constexpr int threads = 64, shared_bytes = 70000; }; };
template <class T> __device__ T* dynamic() { extern __shared__ float pool[]; return pool; }
namespace {
template <class T, int n>
__global__ void __launch_bounds__(T::Tile::threads, 2) tile_kernel(float* out) {
    float* pool = dynamic<float>();
    for (int i = 0; i < n; ++i) pool[threadIdx.x + i] = out[i];
    __syncthreads();
    out[threadIdx.x] = pool[n - threadIdx.x];
}
template <class T>
__global__ void free_kernel(float* out) {
    float* pool = dynamic<float>();
    pool[threadIdx.x] = out[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = pool[blockIdx.x];
}
}
void run(float* out) {
    int forgotten;
    tile_kernel<ForGpu, 3><<<1, 64, 70000>>>(out);
    free_kernel<ForGpu><<<1, 64, 256>>>(out);
}
"""


def test_uses_are_those_of_the_entries():
    first, second = Use(128, 40, 36, 24, 64), Use(30, 0, 0, 0, 0)
    assert uses(PTXAS) == {"first": first, "second": second}


def test_entries():
    assert entries(PTX) == {
        "first": {"threads": 256, "dynamic": True},
        "second": {"threads": None, "dynamic": False},
    }


@pytest.mark.parametrize(  # cuda_occupancy.h of CUDA 13.0 gives the same blocks
    ("arch", "threads", "registers", "shared", "blocks", "warps"),
    [
        ("75", 256, 32, 0, 4, 32),  # all warps
        ("90", 256, 128, 16640, 2, 64),  # by the registers
        ("90", 256, 255, 0, 1, 64),
        ("90", 96, 168, 0, 4, 64),  # of 3 warps, 12 in four partitions
        ("80", 128, 32, 78848, 2, 64),  # by shared memory, with the system's KiB
        ("75", 128, 32, 32768, 2, 32),  # which Turing does not take
        ("120", 32, 16, 0, 24, 48),  # by the blocks
        ("86", 256, 32, 101376, 1, 48),
        ("86", 256, 32, 102400, 0, 48),  # does not fit
    ],
)
def test_occupancy(arch, threads, registers, shared, blocks, warps):
    assert occupancy(arch, threads, registers, shared) == blocks * (-(-threads // 32)) / warps


def kernel(**uses: Use) -> Kernel:
    made = Kernel(Path("conv.cu"), "conv_kernel<ForGpu>")
    made.uses = {arch.removeprefix("sm_"): use for arch, use in uses.items()}
    return made


def test_a_row_shows_what_there_is():
    made = kernel(sm_75=Use(64, 0, 0, 0, 128, 256), sm_90=Use(128, 40, 36, 24, 0, 256, True))
    assert made.row() == ["conv", "`conv_kernel<ForGpu>`", "256", "128", "at run time"]
    assert made.cell("75") == "64, 100%"
    assert made.cell("90") == "128, ≤ 25%, stack 40, spills 36/24"
    made.dynamic = 200 << 10
    assert made.row()[-1] == "204800"
    assert made.cell("75") == "64, 100%"  # where it is not used it does not count
    assert made.cell("90").startswith("128, 12%")
    assert made.cell("80") == ""


def test_spills_beyond_the_allowed_fail(monkeypatch):
    spilling = kernel(sm_75=Use(255, 8, 4, 4, 0), sm_90=Use(255, 16, 12, 20, 0))
    monkeypatch.setattr(kernel_resources, "ALLOWED", {"conv_kernel": 4})
    (line,) = failures([spilling], [])
    assert line.startswith("conv.cu: conv_kernel<ForGpu> spills 12 bytes on sm_90, 4 are allowed")
    monkeypatch.setattr(kernel_resources, "ALLOWED", {"conv_kernel": 12})
    assert failures([spilling], []) == []
    assert failures([], ["sm_90: x.cu(1): warning"]) == ["nvcc warns: sm_90: x.cu(1): warning"]


@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc")
def test_a_source_from_end_to_end(tmp_path, monkeypatch, capsys):
    (tmp_path / "tile.cu").write_text(SOURCE)
    monkeypatch.setattr(kernel_resources, "KERNELS", tmp_path)
    (free, tile), complaints = measure(Compiler(), ["90"], 1)
    assert (tile.name, tile.threads, tile.dynamic) == ("tile_kernel<ForGpu, 3>", 64, 70000)
    assert (free.name, free.threads, free.dynamic) == ("free_kernel<ForGpu>", None, None)
    assert free.has_dynamic
    assert 0 < tile.uses["90"].registers < 64
    assert tile.occupancy("90") == 3 * 2 / 64
    assert any("forgotten" in line for line in complaints)
    monkeypatch.setattr("sys.argv", ["kernel_resources.py", "--check", "--arch", "90"])
    assert kernel_resources.main() == 1
    assert "forgotten" in capsys.readouterr().out
