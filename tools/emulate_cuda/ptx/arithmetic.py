"""Arithmetic, bits, comparisons."""

from __future__ import annotations

from function import Function
from instruction import Instruction, translates
from statements import SIZES, Unsupported

ROUNDING = {"rz": "FE_TOWARDZERO", "rm": "FE_DOWNWARD", "rp": "FE_UPWARD"}
FLOATS = ("f32", "f64")
UNSIGNED = {"s16": "u16", "s32": "u32", "s64": "u64"}  # wraps around, as C++'s signed types do not
WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64", "s64": "s128", "u64": "u128"}
OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^"}


def plain_type(i: Instruction) -> str:
    """The type of all operands; halves have no arithmetic here."""
    if any("f16" in x for x in i.ptx_types):
        raise Unsupported("arithmetic of halves")
    return i.type


def values(f: Function, i: Instruction, type_: str) -> list[str]:
    return [f.value(x, type_) for x in i.operands[1:]]


def assign_float(f: Function, i: Instruction, expression: str) -> str:
    if i.type == "f32" and "ftz" in i:
        expression = f"flush_to_zero({expression})"
    if i.type == "f32" and "sat" in i:
        expression = f"saturate({expression})"
    return f.assign(i.operands[0], i.type, expression)


def float_arithmetic(f: Function, i: Instruction, operation: str) -> str:
    """`operation` of x, y and z, in the rounding that the instruction names."""
    type_ = plain_type(i)
    x = values(f, i, type_)
    if type_ == "f32" and "ftz" in i:
        x = [f"flush_to_zero({v})" for v in x]
    x += [f"{type_}(0)"] * (3 - len(x))
    call = f"[]({type_} x, {type_} y, {type_} z) {{ return {type_}({operation}); }}"
    if modes := [ROUNDING[m] for m in i.modifiers if m in ROUNDING]:
        return assign_float(f, i, f"with_rounding<{type_}>({modes[0]}, {', '.join(x)}, {call})")
    return assign_float(f, i, f"{call}({', '.join(x)})")


@translates("add", "sub")
def add(f: Function, i: Instruction) -> str:
    if i.type in FLOATS:
        return float_arithmetic(f, i, f"x {OPERATORS[i.name]} y")
    if "sat" in i:
        raise Unsupported("integer saturation")
    type_ = plain_type(i)
    x, y = values(f, i, UNSIGNED.get(type_, type_))
    return f.assign(i.operands[0], type_, f"{type_}({x} {OPERATORS[i.name]} {y})")


@translates("mul", "mad", "fma")
def multiply(f: Function, i: Instruction) -> str:
    type_ = plain_type(i)
    if type_ in FLOATS:
        return float_arithmetic(f, i, "x * y" if i.name == "mul" else "std::fma(x, y, z)")
    if "sat" in i:
        raise Unsupported("integer saturation")
    wide = WIDER[type_]
    product = f"{wide}({f.value(i.operands[1], type_)}) * {wide}({f.value(i.operands[2], type_)})"
    addend = i.operands[3] if i.name == "mad" else None
    if "wide" in i:
        result, expression = wide, f"{wide}({product})"
    elif "hi" in i:
        result, expression = type_, f"{type_}(({product}) >> {8 * SIZES[type_]})"
    else:
        result, expression = type_, f"{type_}({product})"
    if addend:
        unsigned = UNSIGNED.get(result, result)
        expression = f"{result}({unsigned}({expression}) + {f.value(addend, unsigned)})"
    return f.assign(i.operands[0], result, expression)


@translates("div", "rem")
def divide(f: Function, i: Instruction) -> str:
    type_ = plain_type(i)
    if type_ in FLOATS:
        return float_arithmetic(f, i, "x / y")
    function = "quotient" if i.name == "div" else "remainder_of"
    x, y = values(f, i, type_)
    return f.assign(i.operands[0], type_, f"{function}<{type_}>({x}, {y})")


FUNCTIONS = {
    "sqrt": "std::sqrt(x)", "rsqrt": "1 / std::sqrt(x)", "rcp": "1 / x", "sin": "std::sin(x)",
    "cos": "std::cos(x)", "lg2": "std::log2(x)", "ex2": "std::exp2(x)", "tanh": "std::tanh(x)",
}  # fmt: skip


@translates(*FUNCTIONS)
def function(f: Function, i: Instruction) -> str:
    """Approximate ones too have the host's precision."""
    return float_arithmetic(f, i, FUNCTIONS[i.name])


@translates("neg")
def negate(f: Function, i: Instruction) -> str:
    if i.type in FLOATS:
        return float_arithmetic(f, i, "-x")
    type_ = plain_type(i)
    (x,) = values(f, i, UNSIGNED.get(type_, type_))
    return f.assign(i.operands[0], type_, f"{type_}(-{x})")


@translates("abs")
def absolute(f: Function, i: Instruction) -> str:
    if i.type in FLOATS:
        return float_arithmetic(f, i, "std::fabs(x)")
    type_ = plain_type(i)
    (x,) = values(f, i, type_)
    return f.assign(i.operands[0], type_, f"{type_}({x} < 0 ? -{UNSIGNED[type_]}({x}) : {x})")


@translates("min", "max")
def extreme(f: Function, i: Instruction) -> str:
    if i.type in FLOATS:  # of a number and a NaN the number
        return float_arithmetic(f, i, f"std::f{i.name}(x, y)")
    x, y = values(f, i, plain_type(i))
    sign = "<" if i.name == "min" else ">"
    return f.assign(i.operands[0], i.type, f"{x} {sign} {y} ? {x} : {y}")


@translates("copysign")
def copysign(f: Function, i: Instruction) -> str:
    return float_arithmetic(f, i, "std::copysign(y, x)")


@translates("testp")
def test_property(f: Function, i: Instruction) -> str:
    test = {"finite": "isfinite", "infinite": "isinf", "notanumber": "isnan", "normal": "isnormal"}
    (x,) = values(f, i, plain_type(i))
    expression = f"!std::isnan({x})" if "number" in i else f"std::{i.choice(test)}({x})"
    return f.assign(i.operands[0], "bool", expression)


# ---- bits


@translates("and", "or", "xor")
def bitwise(f: Function, i: Instruction) -> str:
    x, y = values(f, i, i.type)
    return f.assign(i.operands[0], i.type, f"{i.type}({x} {OPERATORS[i.name]} {y})")


@translates("not")
def complement(f: Function, i: Instruction) -> str:
    (x,) = values(f, i, i.type)
    return f.assign(i.operands[0], i.type, f"!{x}" if i.type == "bool" else f"{i.type}(~{x})")


@translates("shl", "shr")
def shift(f: Function, i: Instruction) -> str:
    function = "shift_left" if i.name == "shl" else "shift_right"
    x, n = f.value(i.operands[1], i.type), f.value(i.operands[2], "u32")
    return f.assign(i.operands[0], i.type, f"{function}<{i.type}>({x}, {n})")


@translates("shf")
def funnel_shift(f: Function, i: Instruction) -> str:
    low, high, n = values(f, i, "u32")
    n = f"({n} & 31)" if "wrap" in i else f"std::min({n}, 32u)"
    function = "funnel_left" if "l" in i else "funnel_right"
    return f.assign(i.operands[0], "u32", f"{function}({low}, {high}, {n})")


@translates("lop3", "prmt")
def bitwise_function(f: Function, i: Instruction) -> str:
    if len(i.modifiers) > 1:
        raise Unsupported("a mode")
    function = {"lop3": "lop3", "prmt": "permute_bytes"}[i.name]
    return f.assign(i.operands[0], "u32", f"{function}({', '.join(values(f, i, 'u32'))})")


@translates("bfe", "bfi")
def bit_field(f: Function, i: Instruction) -> str:
    *fields, start, count = i.operands[1:]
    arguments = [f.value(x, i.type) for x in fields] + [f.value(x, "u32") for x in (start, count)]
    function = "extract_bits" if i.name == "bfe" else "insert_bits"
    return f.assign(i.operands[0], i.type, f"{function}<{i.type}>({', '.join(arguments)})")


@translates("brev", "popc", "clz")
def count_bits(f: Function, i: Instruction) -> str:
    function = {"brev": "reverse_bits", "popc": "__builtin_popcountll", "clz": "leading_zeros"}[i.name]
    if i.name == "brev" and i.type != "u32":
        raise Unsupported("64 bits")
    return f.assign(i.operands[0], "u32", f"u32({function}({f.value(i.operands[1], i.type)}))")


# ---- comparisons and choices

COMPARISONS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "lo": "<", "ls": "<=", "hi": ">", "hs": ">=",
}  # fmt: skip


@translates("setp")
def set_predicate(f: Function, i: Instruction) -> str:
    plain_type(i)
    comparison = i.modifiers[0]
    x, y = (f.value(v, i.type) for v in i.operands[1:3])
    unordered = f"({x} != {x} || {y} != {y})"
    if comparison in ("num", "nan"):
        result = f"!{unordered}" if comparison == "num" else unordered
    elif comparison in COMPARISONS:
        result = f"({x} {COMPARISONS[comparison]} {y})"
        if comparison == "ne" and i.type in FLOATS:
            result = f"(!{unordered} && {result})"
    else:  # equ, neu, ltu ...: true for NaN
        result = f"({unordered} || {x} {COMPARISONS[comparison[:-1]]} {y})"
    combine = {"and": "&&", "or": "||", "xor": "!="}.get(i.modifiers[1])

    def combined(value: str) -> str:
        return f"({value} {combine} {f.value(i.operands[3], 'bool')})" if combine else value

    both = i.operands[0].split("|")
    text = f"const bool result = {result}; " + f.assign(both[0], "bool", combined("result"))
    return text + (" " + f.assign(both[1], "bool", combined("!result")) if len(both) > 1 else "")


@translates("selp")
def select(f: Function, i: Instruction) -> str:
    x, y = (f.value(v, i.type) for v in i.operands[1:3])
    return f.assign(i.operands[0], i.type, f"{f.value(i.operands[3], 'bool')} ? {x} : {y}")
