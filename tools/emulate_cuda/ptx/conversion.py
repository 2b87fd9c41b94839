"""Moves and conversions."""

from __future__ import annotations

from arithmetic import ROUNDING
from function import Function
from instruction import Instruction, translates
from statements import SIZES, Unsupported

TO_INTEGRAL = {"rni": "std::rint", "rzi": "std::trunc", "rmi": "std::floor", "rpi": "std::ceil"}
UNSIGNED_OF_SIZE = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
WINDOWS = {"shared": "kSharedWindow", "local": "kLocalWindow"}


@translates("mov")
def move(f: Function, i: Instruction) -> str:
    target, source = i.operands
    if f.tag(target) and not source.startswith("{"):
        return f.move_with_tag(target, source, i.type)
    whole = UNSIGNED_OF_SIZE[SIZES[i.type]]
    if target.startswith("{"):  # cut into parts
        parts = f.vector(target)
        part = UNSIGNED_OF_SIZE[SIZES[whole] // len(parts)]
        shifts = [(x, 8 * SIZES[part] * n) for n, x in enumerate(parts)]
        sets = [f.assign(x, part, f"{part}(whole >> {shift})") for x, shift in shifts]
        return f"const {whole} whole = {f.value(source, whole)}; {' '.join(sets)}"
    if source.startswith("{"):
        parts = f.vector(source)
        part = UNSIGNED_OF_SIZE[SIZES[whole] // len(parts)]
        shifted = [f"{whole}({f.value(x, part)}) << {8 * SIZES[part] * n}" for n, x in enumerate(parts)]
        return f.assign(target, whole, f"{whole}({' | '.join(shifted)})")
    return f.assign(target, i.type, f.value(source, i.type))


def to_half(f: Function, i: Instruction) -> str:
    """float32 to bfloat16, alone or as a pair whose first operand becomes the upper half."""
    if i.ptx_types[-1] != "f32":
        raise Unsupported("this conversion")
    function = i.choice({"rn": "bf16_rn", "rz": "bf16_rz"})
    halves = [f"{function}({f.value(x, 'f32')})" for x in i.operands[1:]]
    if len(halves) == 1:
        return f.assign(i.operands[0], "u16", halves[0])
    high, low = halves
    return f.assign(i.operands[0], "u32", f"u32({low}) | u32({high}) << 16")


@translates("cvt")
def convert(f: Function, i: Instruction) -> str:
    target = i.operands[0]
    to, of = i.ptx_types
    if to in ("bf16", "bf16x2"):
        return to_half(f, i)
    if to == "tf32":
        function = i.choice({"rna": "tf32_rna", "rn": "tf32_rn"})
        return f.assign(target, "u32", f"{function}({f.value(i.operands[1], 'f32')})")
    if of == "bf16" and to == "f32":
        return f.assign(target, "f32", f"from_bf16({f.value(i.operands[1], 'u16')})")
    if "f16" in (to, of) or "bf16" in (to, of):
        raise Unsupported("this conversion")

    (to, of), x = i.types, f.value(i.operands[1], i.type)
    integral = [TO_INTEGRAL[m] for m in i.modifiers if m in TO_INTEGRAL]
    modes = [ROUNDING[m] for m in i.modifiers if m in ROUNDING]
    if of[0] == "f" and to[0] != "f":
        return f.assign(target, to, f"to_integer<{to}>({integral[0]}({x}))")
    if "sat" in i and to != "f32":
        raise Unsupported("integer saturation")
    if to[0] != "f":
        return f.assign(target, to, f"{to}({x})")
    value = f"{integral[0]}({x})" if integral else f"{to}({x})"
    if modes:
        value = f"convert_rounding<{to}>({modes[0]}, {x})"
    if "ftz" in i:
        value = f"flush_to_zero({value})"
    return f.assign(target, to, f"saturate({value})" if "sat" in i else value)


@translates("cvta")
def convert_address(f: Function, i: Instruction) -> str:
    """Between a space's own addresses and generic ones."""
    x, window = f.value(i.operands[1], i.type), WINDOWS.get(i.space())
    if window:
        x = f"({x} & ~kWindowMask)" if "to" in i else f"({x} | {window})"
    return f.assign(i.operands[0], i.type, x)


@translates("isspacep")
def is_in_space(f: Function, i: Instruction) -> str:
    window = f"({f.value(i.operands[1], 'u64')} & kWindowMask)"
    if i.space() in WINDOWS:
        test = f"{window} == {WINDOWS[i.space()]}"
    else:
        test = f"{window} != kSharedWindow && {window} != kLocalWindow"
    return f.assign(i.operands[0], "bool", test)
