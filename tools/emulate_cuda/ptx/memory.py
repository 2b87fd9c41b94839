"""Loads, stores, atomics, and copies to shared memory."""

from __future__ import annotations

from function import Function
from hopper import copy_bulk
from instruction import Instruction, translates
from statements import SIZES, Unsupported

LANES = {"v2": 2, "v4": 4, "v8": 8}


def cpp_space(i: Instruction) -> str:
    return "Space::" + {"const": "constant"}.get(i.space(), i.space())


@translates("ld", "ldu", "st")
def load_or_store(f: Function, i: Instruction) -> str:
    stores = i.name == "st"
    address, data = i.operands if stores else reversed(i.operands)
    lanes = next((LANES[m] for m in i.modifiers if m in LANES), 1)
    registers = f.vector(data) if lanes > 1 else [data]
    type_, size = i.type, SIZES[i.type]
    at = [f"at + {size * n}" for n in range(lanes)]
    if i.space() == "param":
        text = f"u8* at = (u8*)({f.address(address)}); "
        if stores:
            sets = [
                f"store_parameter<{type_}>({a}, {f.value(x, type_)});"
                for a, x in zip(at, registers, strict=True)
            ]
        else:
            sets = [
                f.assign(x, type_, f"load_parameter<{type_}>({a})")
                for a, x in zip(at, registers, strict=True)
            ]
        return text + " ".join(sets)
    access, site = f"<{type_}, {cpp_space(i)}>", f.site()
    text = f"const u64 at = {f.address(address)}; "
    if lanes > 1:
        text += f"check_alignment(t, at, {lanes * size}, {site}); "
    if stores:
        values = [f.value(x, type_) for x in registers]
        sets = [f"store{access}(t, {a}, {v}, {site});" for a, v in zip(at, values, strict=True)]
    else:
        loads = [f"load{access}(t, {a}, {site})" for a in at]
        sets = [f.assign(x, type_, load) for x, load in zip(registers, loads, strict=True)]
    return text + " ".join(sets)


ATOMICS = {
    "add": "old + x", "min": "old < x ? old : x", "max": "old > x ? old : x",
    "and": "old & x", "or": "old | x", "xor": "old ^ x", "exch": "x", "cas": "old == x ? y : old",
    "inc": "old >= x ? 0 : old + 1", "dec": "old == 0 || old > x ? x : old - 1",
}  # fmt: skip


@translates("atom", "red")
def atomic(f: Function, i: Instruction) -> str:
    target, *operands = i.operands if i.name == "atom" else ("_", *i.operands)
    address, type_ = f.address(operands[0]), i.type
    if SIZES[type_] < 4 or any("f16" in x for x in i.ptx_types) or len(i.ptx_types) > 1:
        raise Unsupported("an atomic of this type")
    names = zip("xy", operands[1:], strict=False)
    text = " ".join(f"const {type_} {n} = {f.value(v, type_)};" for n, v in names)
    change = f"[&]({type_} old) -> {type_} {{ return {i.choice(ATOMICS)}; }}"
    call = f"atomic<{type_}, {cpp_space(i)}>(t, {address}, {f.site()}, {change})"
    return f"{text} {f.assign(target, type_, call)}"


@translates("cp")
def copy(f: Function, i: Instruction) -> str:
    """cp.async: the source may have fewer bytes, in a register, or be ignored, by a predicate."""
    if "bulk" in i and "async" in i:
        return copy_bulk(f, i)
    if "async" not in i or "mbarrier" in i or "L2::cache_hint" in i:
        raise Unsupported("this copy")
    if "commit_group" in i:
        return "commit_copies(t);"
    if "wait_group" in i:
        return f"wait_for_copies(t, {f.value(i.operands[0], 'u32')});"
    if "wait_all" in i:
        return "commit_copies(t); wait_for_copies(t, 0);"
    to, source, size, *rest = i.operands
    bytes_ = f.value(size, "u32")
    source_bytes = bytes_
    if rest:
        register = f.register(rest[0])
        if register and register[1] == "bool":
            source_bytes = f"({register[0]} ? 0u : {bytes_})"
        else:
            source_bytes = f.value(rest[0], "u32")
    arguments = f"{f.address(to)} & ~kWindowMask, {f.address(source)}, {bytes_}, {source_bytes}"
    return f"copy_async(t, {arguments}, {f.site()});"


@translates("membar", "prefetch", "prefetchu", "discard", "applypriority", "nanosleep")
def nothing(f: Function, i: Instruction) -> str:
    """Threads take turns: what one has written, the next one sees."""
    return ";"
