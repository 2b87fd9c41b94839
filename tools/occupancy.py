"""How many warps of a kernel a multiprocessor holds at once, by architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of a multiprocessor: resident warps and blocks, KiB of shared memory."""

    warps: int
    blocks: int
    shared: int


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". The registers and how
# they and shared memory are given out are equal on all: cuda_occupancy.h of the CUDA toolkit.
LIMITS = {
    "75": Limits(32, 16, 64),
    "80": Limits(64, 32, 164),
    "86": Limits(48, 16, 100),
    "87": Limits(48, 16, 164),
    "89": Limits(48, 24, 100),
    "90": Limits(64, 32, 228),
    "100": Limits(64, 32, 228),
    "103": Limits(64, 32, 228),
    "110": Limits(48, 24, 228),
    "120": Limits(48, 24, 100),
    "121": Limits(48, 24, 100),
}
REGISTERS, PARTITIONS = 65536, 4  # of a multiprocessor; each partition has its share of the registers
REGISTER_STEP = 256  # registers of a warp are rounded up to it


def occupancy(arch: str, threads: int, registers: int, shared: int) -> float:
    """Resident warps over the most possible; shared: bytes of a block."""
    limits, turing = LIMITS[arch], arch == "75"
    warps = _ceil(threads, 32) // 32
    warps_by_registers = REGISTERS // PARTITIONS // _ceil(32 * registers, REGISTER_STEP) * PARTITIONS
    taken = _ceil(shared, 256) if turing else _ceil(shared + 1024, 128)  # 1 KiB is the system's
    blocks = min(limits.blocks, limits.warps // warps, warps_by_registers // warps)
    if taken:
        blocks = min(blocks, limits.shared * 1024 // taken)
    return blocks * warps / limits.warps


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step
