"""The table of a net's layers for `alexnet-raw show`. Needs no device and no extension."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from alexnet_raw.layers import Layer, Shape
from alexnet_raw.net_spec import NetSpec

FLOAT = 4  # bytes
HEADER = (
    "layer",
    "type",
    "inputs",
    "output",
    "settings",
    "parameters",
    "mult-adds",
    "memory",
    "device",
)
ALIGN = "<<<<<>>><"


@dataclass(frozen=True)
class Row:
    """One layer in numbers; mult_adds are of one picture's forward pass, memory is in bytes."""

    layer: Layer
    output: Shape
    parameters: int
    mult_adds: int
    memory: int
    device: int


def rows(spec: NetSpec, batchprod: int, input_shape: Shape | None = None) -> list[Row]:
    """The layers in order. memory: what training uses for a batch, in outputs, gradients, further
    arrays, and three arrays (value, gradient, velocity) for each parameter. Layers share the memory of
    gradients (memory.py), so that all together hold less than the sum."""
    shapes, places, wanted = spec.shapes(input_shape), spec.places(), spec.wants_gradient()
    table = []
    for layer in spec:
        inputs = [shapes[name] for name in layer.inputs]
        parameters = sum(p.size for p in layer.parameters(inputs) if not p.source)
        copies = 2 if layer.name in wanted and not layer.is_cost else 1
        scratch = layer.scratch(inputs) | layer.backward_scratch(inputs)
        held = copies * prod(shapes[layer.name]) + sum(map(prod, scratch.values()))
        memory = FLOAT * (held * batchprod + 3 * parameters)
        place = places[layer.name]
        adds = layer.mult_adds(inputs)
        table.append(Row(layer, shapes[layer.name], parameters, adds, memory, place))
    return table


def table(spec: NetSpec, batchprod: int, devices: list[str], input_shape: Shape | None = None) -> str:
    """The table as text. devices: names such as "cpu", on which the gpu numbers are folded."""
    layers = rows(spec, batchprod, input_shape)
    cells = [HEADER]
    for row in layers:
        cells.append(
            (
                row.layer.name,
                row.layer.type,
                ",".join(row.layer.inputs),
                "x".join(map(str, row.output)) or "-",
                row.layer.describe(),
                f"{row.parameters:,}" if row.parameters else "",
                millions(row.mult_adds) if row.mult_adds else "",
                megabytes(row.memory),
                f"{row.device % len(devices)} {devices[row.device % len(devices)]}",
            )
        )
    parameters = sum(row.parameters for row in layers)
    mult_adds = sum(row.mult_adds for row in layers)
    memory = sum(row.memory for row in layers)
    cells.append(
        ("total", "", "", "", "", f"{parameters:,}", millions(mult_adds), megabytes(memory), "")
    )
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER))]
    lines = [
        "  ".join(f"{cell:{ALIGN[i]}{widths[i]}}" for i, cell in enumerate(line)).rstrip()
        for line in cells
    ]
    rule = "-" * max(map(len, lines))
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    notes = [f"note: {note}" for note in spec.notes]
    explanation = (
        f"output: channels x height x width. mult-adds: forward, one picture. "
        f"memory: training with batches of {batchprod}; "
        "layers share that of gradients, so that a run holds less than the total."
    )
    return "\n".join([f"net {spec.name}", *lines, explanation, *notes])


def millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def megabytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
