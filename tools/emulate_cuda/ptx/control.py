"""Branches and calls, barriers, and what a warp does together."""

from __future__ import annotations

import re

from function import Function
from instruction import Instruction, translates
from statements import Unsupported, identifier, list_of


@translates("bra")
def branch(f: Function, i: Instruction) -> str:
    return f"goto l_{identifier(i.operands[0])};"


@translates("brx")
def branch_by_table(f: Function, i: Instruction) -> str:
    index, table = i.operands
    labels = enumerate(f.tables[identifier(table)])
    cases = " ".join(f"case {n}: goto l_{identifier(label)};" for n, label in labels)
    fatal = f'report(t, {f.site()}, "branch", "index out of range"); give_up(t);'
    return f"switch ({f.value(index, 'u32')}) {{ {cases} default: {fatal} }}"


@translates("ret")
def return_(f: Function, i: Instruction) -> str:
    return "return;"


@translates("exit")
def exit_(f: Function, i: Instruction) -> str:
    return "exit_thread(t);"


@translates("trap", "brkpt")
def trap(f: Function, i: Instruction) -> str:
    return f'report(t, {f.site()}, "trap", "the kernel gave up"); give_up(t);'


@translates("call")
def call(f: Function, i: Instruction) -> str:
    m = re.match(r"(?:\(([^)]*)\)\s*,\s*)?([\w$]+)\s*(?:,\s*\(([^)]*)\))?$", i.rest)
    if not m or m[2] not in f.module.functions:
        raise Unsupported("a call of a function that this file does not define before")
    arguments = [f.addresses[x] for x in list_of(m[1] or "") + list_of(m[3] or "")]
    return f"f_{identifier(m[2])}({', '.join(['t', *arguments])});"


@translates("bar", "barrier")
def barrier(f: Function, i: Instruction) -> str:
    if "warp" in i:
        return f"join<SyncWarp>(t, {f.value(i.operands[0], 'u32')}, {f.site()});"
    if "cluster" in i:
        raise Unsupported("clusters of more than one block")
    if "red" in i:
        sum_ = i.choice({"popc": "count", "and": "all", "or": "any"})
        target, which, *threads, predicate = i.operands
        value = f.value(predicate, "bool")
        if which != "0" or threads:
            raise Unsupported("a sum over some threads")
    else:
        sum_, value, target = "none", "false", "_"
        which, *threads = i.operands
        if which != "0" or threads or "arrive" in i:
            count = f.value(threads[0], "u32") if threads else "0"
            waits = str("arrive" not in i).lower()
            number = f.value(which, "u32")
            return f"arrive_at_named_barrier(t, {number}, {count}, {waits}, {f.site()});"
    wait = f"wait_at_barrier(t, BarrierSum::{sum_}, {value}, {f.site()})"
    return f.assign(target, "u32" if sum_ in ("count", "none") else "bool", wait)


# ---- warps


@translates("activemask")
def active_mask(f: Function, i: Instruction) -> str:
    """Each lane on its own, as a GPU may run them."""
    return f.assign(i.operands[0], "u32", "1u << t.lane")


@translates("shfl")
def shuffle(f: Function, i: Instruction) -> str:
    mode = i.choice({m: m for m in ("up", "down", "bfly", "idx")})
    value, distance, bounds, mask = (f.value(x, "u32") for x in i.operands[1:])
    target, *inside = i.operands[0].split("|")
    inputs = f"{{Shuffle::{mode}, {value}, {distance}, {bounds}}}"
    text = f"const auto out = join<Shuffle>(t, {mask}, {f.site()}, {inputs}); "
    sets = [f.assign(target, "u32", "out.value"), *(f.assign(p, "bool", "out.inside") for p in inside)]
    return text + " ".join(sets)


@translates("vote")
def vote(f: Function, i: Instruction) -> str:
    mode = i.choice({m: m for m in ("all", "any", "uni", "ballot")})
    predicate, mask = f.value(i.operands[1], "bool"), f.value(i.operands[2], "u32")
    result = f"join<Vote>(t, {mask}, {f.site()}, {{Vote::{mode}, {predicate}}})"
    return f.assign(i.operands[0], "u32" if mode == "ballot" else "bool", result)


@translates("redux")
def reduce(f: Function, i: Instruction) -> str:
    operation = i.choice({m: m.capitalize() for m in ("add", "min", "max", "and", "or", "xor")})
    value, mask = (f.value(x, "u32") for x in i.operands[1:])
    result = f"join<Reduce<{operation}<{i.type}>>>(t, {mask}, {f.site()}, {value})"
    return f.assign(i.operands[0], "u32", result)


FORMATS = {"m16n8k8.tf32": "Tf32", "m16n8k16.bf16": "Bf16"}


@translates("mma")
def multiply_matrices(f: Function, i: Instruction) -> str:
    shape, (d_type, a_type, b_type, c_type) = i.modifiers[2], i.ptx_types
    layout = ["sync", "aligned", shape, "row", "col", d_type, a_type, b_type, c_type]
    known = a_type == b_type and d_type == c_type == "f32" and i.modifiers == layout
    if not known or f"{shape}.{a_type}" not in FORMATS:
        raise Unsupported("this product")
    d, a, b, c = map(f.vector, i.operands)
    halves = [", ".join(f.value(x, "u32") for x in matrix) for matrix in (a, b)]
    sums = ", ".join(f.value(x, "f32") for x in c)
    format_ = FORMATS[f"{shape}.{a_type}"]
    inputs = f"{{{{{halves[0]}}}, {{{halves[1]}}}, {{{sums}}}}}"
    text = f"const auto out = join<Multiply<{format_}>>(t, ~0u, {f.site()}, {inputs}); "
    return text + " ".join(f.assign(x, "f32", f"out.d[{n}]") for n, x in enumerate(d))


@translates("ldmatrix")
def load_matrix(f: Function, i: Instruction) -> str:
    if "m8n8" not in i or "b16" not in i or i.space() != "shared":
        raise Unsupported("this matrix")
    count = i.choice({"x1": 1, "x2": 2, "x4": 4})
    operation = f"LoadMatrix<{count}, {'true' if 'trans' in i else 'false'}>"
    address = f.address(i.operands[1])
    text = f"const auto out = join<{operation}>(t, ~0u, {f.site()}, {address}); "
    targets = enumerate(f.vector(i.operands[0]))
    return text + " ".join(f.assign(x, "u32", f"out.matrices[{n}]") for n, x in targets)
