"""What came with Hopper: mbarriers, bulk copies, asynchronous products of warpgroups."""

from __future__ import annotations

import re

from function import Function
from instruction import Instruction, translates
from statements import Unsupported, list_of

NO_CLUSTERS = "clusters of more than one block"


@translates("mbarrier")
def mbarrier(f: Function, i: Instruction) -> str:
    if unknown := {"relaxed", "noComplete", "arrive_drop", "pending_count"}.intersection(i.modifiers):
        raise Unsupported(f".{min(unknown)}")
    site = f.site()
    if "init" in i:
        at, count = i.operands
        return f"init_mbarrier(t, {f.address(at)}, {f.value(count, 'u32')}, {site});"
    if "inval" in i:
        return f"invalidate_mbarrier(t, {f.address(i.operands[0])}, {site});"
    if "test_wait" in i or "try_wait" in i:
        target, at, phase, *_ = i.operands  # and perhaps for how long to wait
        is_parity = "parity" in i
        phase = f"u64({f.value(phase, 'u32' if is_parity else 'u64')})"
        call = f"test_mbarrier(t, {f.address(at)}, {phase}, {str(is_parity).lower()}, {site})"
        return f.assign(target, "bool", call)
    target, at, *count = i.operands if "arrive" in i else ("_", *i.operands)
    text, arrivals = f"const u64 at = {f.address(at)}; ", "1u"
    if "expect_tx" in i:
        text += f"expect_transactions(t, at, {f.value(count[0], 'u32')}, {site}); "
    elif count:
        arrivals = f.value(count[0], "u32")
    if "arrive" in i:
        text += f.assign(target, "u64", f"arrive_at_mbarrier(t, at, {arrivals}, {site})")
    return text


@translates("fence")
def fence(f: Function, i: Instruction) -> str:
    """Threads take turns: what one has written, the next one sees. Other proxies do not."""
    if "mbarrier_init" in i:
        return "fence_proxy(t, true);"
    if "proxy" in i and "async" in i and "global" not in i:
        return "fence_proxy(t, false);"
    return ";"


def copy_bulk(f: Function, i: Instruction) -> str:
    """cp.async.bulk to shared memory, of bytes in a row or a box of a tensor."""
    if any(m.startswith("multicast") for m in i.modifiers):
        raise Unsupported(NO_CLUSTERS)
    spaces = [m for m in i.modifiers if m.startswith("shared") or m == "global"]
    ending = "mbarrier::complete_tx::bytes"
    unknown = {"reduce", "im2col", "im2col_no_offs", "cp_mask"}.intersection(i.modifiers)
    if unknown or len(spaces) != 2 or spaces[1] != "global" or ending not in i:
        raise Unsupported("a bulk copy but from global to shared memory")
    if "tensor" not in i:
        to, source, size, at, *_ = i.operands  # and perhaps a policy of the cache
        arguments = [f.address(to), f.address(source), f.value(size, "u32"), f.address(at)]
        return f"copy_bulk(t, {', '.join(arguments)}, {f.site()});"
    to, box, at, *_ = i.operands
    map_, coordinates = list_of(box[1:-1])
    numbers = [f.value(x, "s32") for x in f.vector(coordinates)]
    rank = int(next(m for m in i.modifiers if re.match(r"\dd$", m))[0])
    if rank != len(numbers):
        raise Unsupported(f"{len(numbers)} coordinates")
    return (
        f"const s32 at[] = {{{', '.join(numbers)}}}; copy_tensor(t, {f.address(to)}, "
        f"{f.address(f'[{map_}]')}, {rank}, at, {f.address(at)}, {f.site()});"
    )


@translates("wgmma")
def product(f: Function, i: Instruction) -> str:
    if "fence" in i:
        return f"fence_registers(t, {f.site()});"
    if "commit_group" in i:
        return f"commit_products(t, {f.site()});"
    if "wait_group" in i:
        return f"wait_for_products(t, {f.value(i.operands[0], 'u32')}, {f.site()});"
    shape = re.match(r"m64n(\d+)k16$", i.modifiers[3]) if len(i.modifiers) == 7 else None
    if i.ptx_types != ["f32", "bf16", "bf16"] or "mma_async" not in i or not shape:
        raise Unsupported("this product")
    d, a, b, add, sign_a, sign_b, *transposed = i.operands
    registers = f.vector(d)
    columns = int(shape[1])
    if columns % 8 or columns > 256 or 2 * len(registers) != columns:
        raise Unsupported("the shape of this product")
    of_a = f.vector(a) if a.startswith("{") else []
    if of_a:
        transposed.insert(0, "0")
    flags = [str(bool(of_a)).lower(), f.value(add, "bool"), *(f.value(x, "bool") for x in transposed)]
    descriptors = ["0" if of_a else f.value(a, "u64"), f.value(b, "u64"), str(columns)]
    fields = [*descriptors, *flags, f"s32({sign_a}) * s32({sign_b})", str(f.site()), "0"]
    inputs = [", ".join(f.register_with_tag(x) for x in vector) for vector in (registers, of_a)]
    text = f"const Register d[] = {{{inputs[0]}}}, a[4] = {{{inputs[1]}}}; "
    text += f"const ProductInput input = {{{{{', '.join(fields)}}}, d, a}}; "
    text += f"const u32 first = issue_product(t, input, {f.site()}); "
    return text + " ".join(f"{f.tag(x)} = kLate + first + {n};" for n, x in enumerate(registers))


@translates("setmaxnreg")
def limit_registers(f: Function, i: Instruction) -> str:
    count = int(i.operands[0])
    if count % 8 or not 24 <= count <= 256:
        raise Unsupported("a number of registers that is no multiple of 8 from 24 to 256")
    return f"limit_registers(t, {count}, {f.site()});"


@translates("elect")
def elect(f: Function, i: Instruction) -> str:
    target, is_elected = i.operands[0].split("|")
    text = f"const u32 leader = join<Elect>(t, {f.value(i.operands[1], 'u32')}, {f.site()}); "
    sets = [f.assign(target, "u32", "leader"), f.assign(is_elected, "bool", "leader == t.lane")]
    return text + " ".join(sets)


@translates("griddepcontrol")
def grid_dependency(f: Function, i: Instruction) -> str:
    """A launch begins when the one before it has finished."""
    return ";"


@translates("mapa", "getctarank", "multimem", "clusterlaunchcontrol")
def of_clusters(f: Function, i: Instruction) -> str:
    raise Unsupported(NO_CLUSTERS)
