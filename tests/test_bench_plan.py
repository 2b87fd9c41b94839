"""What tools/bench_plan.py makes of seconds; nothing is timed here."""

from __future__ import annotations

import bench_plan
import pytest

from alexnet_raw.plan.cluster import Cluster
from alexnet_raw.plan.costs import LayerCost, Line

# Two layers whose gradients, 4 and 8 MiB, are a bucket each.
NET = [
    LayerCost("conv", Line(0, 1.5), Line(0, 2.5), update=0.25, parameters=2**20),
    LayerCost("fc", Line(0, 0.5), Line(0, 1.0), update=0.5, parameters=2**21, after_fc=True, outputs=2),
]


def test_the_network_is_found_in_what_sums_of_two_ranks_take():
    network = Cluster(network=3e9, latency=40e-6)
    team = network.everyone(2)
    found = bench_plan.fitted([network.all_reduce(size, team) for size in bench_plan.SIZES])
    assert found.network == pytest.approx(3e9) and found.latency == pytest.approx(40e-6)


def test_a_round_by_hand():
    """Computed for 11.75 s, and summed for 3; twice that where two ranks share a core."""
    pair = Cluster(network=4 * 2**20, latency=0.0)
    seconds = {"without": 10.0, "beside": 12.0, "after": 99.0}
    found = bench_plan.Round(NET, pair, 2, 1, 2, 1.0, seconds)
    assert (found.measured, found.sums) == (12.0, (2.0, pytest.approx(3)))
    assert found.predicted == pytest.approx(14.75)
    shared = bench_plan.Round(NET, pair, 2, 1, 2, 2.0, seconds)
    assert shared.predicted == pytest.approx(29.5) and shared.sums == (2.0, pytest.approx(6))
    alone = bench_plan.Round(NET, pair, 1, 1, 2, 1.0, {"without": 10.0})
    assert (alone.measured, alone.sums) == (10.0, (0.0, 0.0))
    hybrid = bench_plan.Round(NET, pair, 2, 2, 2, 1.0, {**seconds, "hybrid": 13.0})
    assert (hybrid.measured, hybrid.sums) == (13.0, None)
    assert hybrid.predicted == pytest.approx(11.75 - 0.25 + 1), "half of fc moves, and sums only conv's"


def test_a_row_has_the_median_error_of_the_rounds():
    pair = Cluster(network=4 * 2**20, latency=0.0)
    rounds = [bench_plan.Round(NET, pair, 1, 1, 2, 1.0, {"without": s}) for s in (11.75, 23.5, 10.0)]
    cells = list(bench_plan.cells(rounds))
    assert cells[:5] == ["11,750", "11,750", "+0%", "-50%", "+18%"]
