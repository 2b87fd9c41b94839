"""One kernel or device function of PTX as a C++ function."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from instruction import TRANSLATIONS, Instruction
from statements import C_TYPES, SIZES, Statement, Unsupported, Variable, identifier, list_of, variable

if TYPE_CHECKING:
    from translate import Module

HEAD = re.compile(r".*?\.(entry|func) (?:\((.*?)\) ?)?([\w$]+) ?(?:\((.*?)\))?(.*)$")
GAP = 64  # bytes around each shared variable, so that an access beside one is noticed

SPECIAL_REGISTERS = {
    "%tid.x": "t.x", "%tid.y": "t.y", "%tid.z": "t.z",
    "%clusterid.x": "t.block->index.x", "%clusterid.y": "t.block->index.y",
    "%clusterid.z": "t.block->index.z", "%cluster_ctarank": "0u", "%cluster_nctarank": "1u",
    "%cluster_ctaid.x": "0u", "%cluster_ctaid.y": "0u", "%cluster_ctaid.z": "0u",
    "%ntid.x": "t.block->size.x", "%ntid.y": "t.block->size.y", "%ntid.z": "t.block->size.z",
    "%ctaid.x": "t.block->index.x", "%ctaid.y": "t.block->index.y", "%ctaid.z": "t.block->index.z",
    "%nctaid.x": "t.block->grid.x", "%nctaid.y": "t.block->grid.y", "%nctaid.z": "t.block->grid.z",
    "%laneid": "t.lane", "WARP_SZ": "kWarpSize", "%dynamic_smem_size": "t.block->dynamic_shared_bytes",
    "%lanemask_eq": "(1u << t.lane)", "%lanemask_lt": "((1u << t.lane) - 1)",
    "%lanemask_le": "((2u << t.lane) - 1)", "%lanemask_gt": "(~((2u << t.lane) - 1))",
    "%lanemask_ge": "(~((1u << t.lane) - 1))",
}  # fmt: skip


def up_to(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


class Function:
    def __init__(self, module: Module, head: str):
        kind, results, self.name, parameters, self.attributes = HEAD.match(head).groups()
        self.module = module
        self.is_kernel = kind == "entry"
        self.lines: list[str] = []
        self.declarations: list[str] = []
        self.scope_starts: list[int] = []  # of lines
        self.scopes_closed = 0
        self.scopes: list[dict[str, tuple[str, str]]] = []  # registers: C++ name and type
        self.registers: list[tuple[str, str]] = []  # of all scopes
        self.addresses: dict[str, str] = {}  # of parameters and local variables, in C++
        self.shared: dict[str, Variable] = {}
        self.local_bytes = 0
        self.tables: dict[str, list[str]] = {}  # the labels that a brx.idx may go to

        self.results = [variable(text) for text in list_of(results or "")]
        self.parameters = [variable(text) for text in list_of(parameters or "")]
        self.offsets: list[int] = []
        self.parameter_bytes = 0
        for p in self.parameters:
            offset = up_to(self.parameter_bytes, p.alignment)
            self.offsets.append(offset)
            self.parameter_bytes = offset + p.size
        for p in [*self.results, *self.parameters]:
            self.addresses[p.name] = f"p_{identifier(p.name)}"
        if self.is_kernel:
            for p, offset in zip(self.parameters, self.offsets, strict=True):
                self.addresses[p.name] = f"(t.parameters + {offset})"

    # ---- statements

    def add(self, statement: Statement) -> None:
        text = statement.text
        if statement.kind == "open":
            self.scopes.append({})
            self.scope_starts.append(len(self.lines))
        elif statement.kind == "close":
            self.scopes.pop()
            self.close_labels(self.scope_starts.pop())
        elif statement.kind == "label":
            self.lines.append(f"l_{identifier(text)}:;")
        elif text.startswith(".reg"):
            self.declare_registers(text)
        elif text.startswith(".branchtargets"):
            # Its label is the name of the table, and not of a place.
            self.tables[self.lines.pop()[2:-2]] = list_of(text.removeprefix(".branchtargets"))
        elif text.startswith("."):
            if not text.startswith(".pragma"):
                self.declare(variable(text))
        else:
            self.lines.append(self.instruction(text, statement.line))

    def close_labels(self, start: int) -> None:
        """Gives the labels of an inner scope names that no other scope has."""
        inner = self.lines[start:] if self.scopes else []
        labels = [line[:-2] for line in inner if re.match(r"l_\w+:;$", line)]
        if not labels:
            return
        self.scopes_closed += 1
        name = re.compile(rf"\b({'|'.join(labels)})\b")
        self.lines[start:] = [name.sub(rf"\1_in_{self.scopes_closed}", line) for line in inner]

    def declare_registers(self, text: str) -> None:
        type_, names = re.match(r"\.reg (?:\.v[24] )?\.(\w+) (.*)$", text).groups()
        for name in list_of(names):
            numbered = re.match(r"(.*)<(\d+)>$", name)
            expanded = [f"{numbered[1]}{i}" for i in range(int(numbered[2]))] if numbered else [name]
            for register in expanded:
                cpp_name = f"r{len(self.registers)}_{identifier(register)}"
                self.registers.append((cpp_name, C_TYPES[type_]))
                self.scopes[-1][register] = self.registers[-1]

    def declare(self, v: Variable) -> None:
        if v.space == "shared":
            self.shared[v.name] = v
        elif v.space == "local":
            offset = up_to(self.local_bytes, v.alignment)
            self.addresses[v.name] = str(offset)
            self.local_bytes = offset + v.size
        elif v.space == "param":  # the caller's side of a call
            cpp_name = f"p{len(self.declarations)}_{identifier(v.name)}"
            self.declarations.append(f"alignas(16) u8 {cpp_name}[{v.size}];")
            self.addresses[v.name] = cpp_name
        else:
            raise Unsupported(f"a variable in {v.space} memory of a function")

    def instruction(self, text: str, line: int) -> str:
        self.text, self.line, self.own_site = text, line, None
        guard = re.match(r"@(!?)([%\w$]+)\s+(.*)$", text)
        condition = f"if ({guard[1]}{self.value(guard[2], 'bool')}) " if guard else ""
        i = Instruction(guard[3] if guard else text)
        if i.name not in TRANSLATIONS:
            raise Unsupported("an instruction")
        return f"{condition}{{ {TRANSLATIONS[i.name](self, i)} }}"

    # ---- operands

    def site(self) -> int:
        """The number of this statement, for reports."""
        if self.own_site is None:
            self.own_site = self.module.site(self.text, self.line)
        return self.own_site

    def register(self, name: str) -> tuple[str, str] | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def symbol(self, name: str) -> str | None:
        """The address of a variable in its space."""
        if name in self.shared or name in self.module.shared:
            return f"u64(shared_{identifier(name)})"
        if name in self.module.variables:
            return f"u64(variable_{identifier(name)})"
        return f"u64({self.addresses[name]})" if name in self.addresses else None

    def value(self, operand: str, type_: str) -> str:
        """A register, number or address as an expression of a C++ type."""
        if operand.startswith("!"):
            return f"(!{self.value(operand[1:], 'bool')})"
        if operand == "_":
            return f"{type_}{{}}"
        if register := self.register(operand):
            name, own_type = register
            if tag := self.tag(operand):
                name = f"settled(t, {name}, {tag}, {self.site()})"
            return name if own_type == type_ else f"bits_as<{type_}>({name})"
        if operand in SPECIAL_REGISTERS:
            return f"bits_as<{type_}>({SPECIAL_REGISTERS[operand]})"
        if m := re.match(r"0([fFdD])([0-9a-fA-F]{8,16})$", operand):
            bits = f"u32(0x{m[2]})" if m[1] in "fF" else f"u64(0x{m[2]})"
            return f"bits_as<{type_}>({bits})"
        if re.match(r"-?(?:0[xX][0-9a-fA-F]+|\d+)U?$", operand):
            number = int(operand.rstrip("U"), 0)
            if type_ == "bool":
                return "true" if number else "false"
            if type_ in ("f32", "f64"):
                return f"{type_}({number})"
            return f"{type_}(0x{number & 2**64 - 1:x}ull)"
        if (m := re.match(r"([\w$]+)\s*(?:([+-]\s*\d+))?$", operand)) and (at := self.symbol(m[1])):
            return f"{type_}({at}{m[2] or ''})"
        raise Unsupported(f"operand {operand}")

    def assign(self, target: str, type_: str, expression: str) -> str:
        """Sets a register, which may be wider than the type: then integers are extended."""
        if target == "_":
            return f"(void)({expression});"
        register = self.register(target)
        if not register:
            raise Unsupported(f"target {target}")
        name, own_type = register
        note = f" written(t, {tag}, {self.site()});" if (tag := self.tag(target)) else ""
        if own_type == type_:
            return f"{name} = {expression};{note}"
        value = f"{type_}({expression})"
        if type_[0] in "us" and SIZES[own_type] > SIZES[type_]:
            value = f"{type_[0]}{8 * SIZES[own_type]}({value})"
        return f"{name} = bits_as<{own_type}>({value});{note}"

    # ---- registers of products, which have tags (wgmma.h)

    def tag(self, operand: str) -> str | None:
        register = self.register(operand) if operand in self.module.tagged else None
        return f"tag_{register[0]}" if register and SIZES[register[1]] == 4 else None

    def register_with_tag(self, operand: str) -> str:
        name, _ = self.register(operand)
        return f"{{bits_as<u32>({name}), {self.tag(operand)}}}"

    def move_with_tag(self, target: str, source: str, type_: str) -> str:
        """A move of a register, or of a constant."""
        name, own_type = self.register(target)
        if self.tag(source):
            value, tag = f"bits_as<{own_type}>({self.register(source)[0]})", self.tag(source)
        elif self.register(source) or source in SPECIAL_REGISTERS:
            return self.assign(target, type_, self.value(source, type_))
        else:
            value, tag = self.value(source, own_type), "0"
        return f"moved(t, {self.tag(target)}, {tag}, {self.site()}); {name} = {value};"

    def address(self, operand: str) -> str:
        """What [register + offset] or [variable + offset] means."""
        m = re.match(r"\[\s*(%?[\w$]+)\s*(?:\+\s*(-?\w+))?\s*\]$", operand)
        if not m:
            raise Unsupported(f"address {operand}")
        base, offset = m.groups()
        register = self.register(base)
        if register and SIZES[register[1]] == 4:
            sum_ = f"u32({register[0]})" + (f" + u32({offset})" if offset else "")
            return f"u64(u32({sum_}))"
        start = f"u64({register[0]})" if register else self.symbol(base) or self.value(base, "u64")
        return f"({start} + s64({offset}))" if offset else start

    def vector(self, operand: str) -> list[str]:
        return list_of(operand.strip()[1:-1])

    # ---- the function as a whole

    def shared_layout(self, body: str) -> tuple[dict[str, int], list[tuple[str, int, int]], int]:
        """Where shared variables lie; those of a fixed size as (name, offset, size); bytes in all."""
        used = dict(self.shared)
        for name, v in self.module.shared.items():
            if re.search(rf"\bshared_{identifier(name)}\b", body):
                used[name] = v
        offsets, fixed, end = {}, [], 0
        for name, v in used.items():
            if not v.dynamic:
                offsets[name] = up_to(end + GAP, max(v.alignment, 16))
                fixed.append((name, offsets[name], v.size))
                end = offsets[name] + v.size
        end = up_to(end + GAP, max([128, *(v.alignment for v in used.values() if v.dynamic)]))
        offsets |= {name: end for name, v in used.items() if v.dynamic}
        return offsets, fixed, end

    def definition(self) -> str:
        """The C++ function, and for a kernel its entry."""
        body = "\n    ".join(self.lines)
        used = set(re.findall(r"\br\d+_\w+\b", body))
        declared = [f"{type_} {name}{{}};" for name, type_ in self.registers if name in used]
        declared += [f"u32 {tag}{{}};" for tag in sorted(set(re.findall(r"\btag_r\d+_\w+\b", body)))]
        inner = "\n    ".join([*declared, *self.declarations, body])
        name = identifier(self.name)
        if not self.is_kernel:
            parameters = [f"u8* p_{identifier(p.name)}" for p in [*self.results, *self.parameters]]
            return f"void f_{name}({', '.join(['Thread& t', *parameters])}) {{\n    {inner}\n}}\n"
        offsets, fixed, shared_bytes = self.shared_layout(body)
        constants = [f"constexpr u32 shared_{identifier(v)} = {at};" for v, at in offsets.items()]
        cluster = re.search(r"\.reqnctapercluster (\d+(?:, ?\d+)*)", self.attributes)
        if cluster and math.prod(map(int, cluster[1].split(","))) > 1:
            raise Unsupported("clusters of more than one block")
        limit = re.search(r"\.(?:maxntid|reqntid) (\d+(?:, ?\d+)*)", self.attributes)
        most = math.prod(map(int, limit[1].split(","))) if limit else 0
        pairs = zip(self.offsets, self.parameters, strict=True)
        parameters = ", ".join(f"{{{offset}, {p.size}}}" for offset, p in pairs)
        variables = ", ".join(f'{{"{v}", {at}, {size}}}' for v, at, size in fixed)
        return (
            f"void k_{name}(Thread& t) {{\n    " + "\n    ".join([*constants, inner]) + "\n}\n"
            f'const Kernel kernel_{name} = {{"{self.name}", k_{name}, {most}, {self.parameter_bytes}, '
            f"{self.local_bytes}, {shared_bytes}, {{{parameters}}}, {{{variables}}}, sites}};\n"
            f"const KernelEntry entry_{name}(kernel_{name});\n"
        )
