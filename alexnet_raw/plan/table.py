"""A plan as text: steps by ranks, and where more of them stop paying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alexnet_raw.plan.cluster import Cluster
from alexnet_raw.plan.costs import FLOAT, LayerCost, step_on_one
from alexnet_raw.plan.step import Step, best_hybrid, step

LEAST = 0.5  # efficiency below which ranks do not pay
COLUMNS = {"ms": 10, "waiting": 9, "images/s": 11, "efficiency": 12}  # and their widths


@dataclass(frozen=True)
class Row:
    """One number of ranks: `data` parallel and the best `hybrid`, if there is one."""

    ranks: int
    batch: int
    data: Step
    hybrid: Step | None


@dataclass(frozen=True)
class Plan:
    """Rows by ranks, and the seconds that one rank needs for one image of the first batch.

    is_fixed: the batch is that of a step, or else that of each rank.
    """

    rows: tuple[Row, ...]
    per_image: float
    is_fixed: bool

    def rate(self, row: Row, step: Step) -> float:
        """Images per second."""
        return row.batch / step.seconds

    def efficiency(self, row: Row, step: Step) -> float:
        """Images per second of each rank beside those of one alone."""
        return self.rate(row, step) * self.per_image / row.ranks


def plan(
    layers: Sequence[LayerCost],
    cluster: Cluster,
    ranks: Sequence[int],
    batch: int,
    is_fixed: bool,
    number: int = FLOAT,
    overlap: bool = True,
) -> Plan:
    """Steps of a batch of so many images, or with so many for each rank; the rest is as for `step`."""
    rows, how = [], {"number": number, "overlap": overlap}
    for count in ranks:
        images = -(-batch // count) if is_fixed else batch
        data = step(layers, cluster, count, images, **how)
        hybrid = best_hybrid(layers, cluster, count, images, **how)
        rows.append(Row(count, batch if is_fixed else batch * count, data, hybrid))
    return Plan(tuple(rows), step_on_one(layers, batch) / batch, is_fixed)


def table(plan: Plan) -> str:
    """The rows; * marks the faster side."""
    titles = "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    width = len(titles)
    lines = [
        f"{'':14}{'data parallel':>{width}}   {'hybrid, the best group':>{width + 6}}",
        f"{'ranks':>5}{'batch':>9}{titles}   {'group':>6}{titles}",
    ]
    for row in plan.rows:
        hybrid = row.hybrid
        is_better = hybrid is not None and hybrid.seconds < row.data.seconds
        line = f"{row.ranks:>5}{row.batch:>9,}" + _cells(plan, row, row.data, hybrid and not is_better)
        if hybrid:
            line += f"  {hybrid.group:>6}" + _cells(plan, row, hybrid, is_better)
        lines.append(line.rstrip())
    return "\n".join(lines)


def _cells(plan: Plan, row: Row, of_row: Step, mark: object) -> str:
    texts = (
        f"{of_row.seconds * 1e3:,.2f}",
        f"{of_row.exposed * 1e3:,.2f}",
        f"{plan.rate(row, of_row):,.0f}",
        f"{plan.efficiency(row, of_row):.1%}",
    )
    cells = (f"{text:>{width}}" for text, width in zip(texts, COLUMNS.values(), strict=True))
    return "".join(cells) + ("*" if mark else " ")


def verdicts(plan: Plan) -> list[str]:
    """A sentence for each side: to how many ranks it pays."""
    sides = {"data parallel": "data", "hybrid": "hybrid"}
    return [
        f"{name}: {_verdict(plan, steps)}"
        for name, side in sides.items()
        if (steps := [(row, getattr(row, side)) for row in plan.rows if getattr(row, side)])
    ]


def _verdict(plan: Plan, steps: Sequence[tuple[Row, Step]]) -> str:
    """More ranks stop paying where the efficiency falls below LEAST, or where a step of the same batch
    takes no less time than on fewer."""
    last, fastest = 0, float("inf")
    for row, of_row in steps:
        efficiency = plan.efficiency(row, of_row)
        pays = f"pays to {last} ranks" if last > 1 else "does not pay"
        after = f"{pays}; on {row.ranks}"
        if plan.is_fixed and of_row.seconds >= fastest:
            return f"{after} a step takes {of_row.seconds * 1e3:,.2f} ms, no less than on fewer"
        if efficiency < LEAST:
            return f"{after} the efficiency is {efficiency:.1%}, below {LEAST:.0%}"
        last, fastest = row.ranks, of_row.seconds
    return f"pays to {last} ranks, the most asked for, with an efficiency of {efficiency:.1%}"
