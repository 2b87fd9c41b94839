"""The model of a step on many ranks: against a ring of events, hand computations and its limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from alexnet_raw import layer_file, ops
from alexnet_raw.cli import main
from alexnet_raw.device import Device
from alexnet_raw.layers.conv import Conv
from alexnet_raw.layers.fc import Fc
from alexnet_raw.network import Network
from alexnet_raw.parallel import Ranks
from alexnet_raw.parallel.buckets import Buckets
from alexnet_raw.plan import costs, measure
from alexnet_raw.plan.cluster import Cluster, Team
from alexnet_raw.plan.costs import LayerCost, Line
from alexnet_raw.plan.step import best_hybrid, step
from alexnet_raw.plan.table import Plan, Row, plan, table, verdicts
from tests import tiny_run

MIB = 2**20
INFINITE = Cluster(network=float("inf"), latency=0.0)


# ---- sums and exchanges


def ring_of_events(ranks: int, size: float, bandwidth: float, latency: float) -> float:
    """When the last rank of a ring has the sum of all ranks' arrays: each message is an event.

    Rank r passes part r - t to rank r + 1 in message t, which begins once the part has arrived and the
    message before has left. The sums are made, so that a message too few would show.
    """
    parts = np.arange(ranks * ranks, dtype=float).reshape(ranks, ranks) ** 2  # of each rank
    wanted = parts.sum(axis=0)
    ready = np.zeros(ranks)  # when each rank has what its next message holds
    for message in range(2 * (ranks - 1)):
        adds = message < ranks - 1
        arrived, received = ready.copy(), parts.copy()
        for rank in range(ranks):
            to, part = (rank + 1) % ranks, (rank - message) % ranks
            received[to, part] = parts[rank, part] + (parts[to, part] if adds else 0)
            arrived[to] = max(ready[rank], ready[to]) + latency + size / ranks / bandwidth
        ready, parts = arrived, received
    np.testing.assert_allclose(parts, np.tile(wanted, (ranks, 1)))
    return ready.max()


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize(("size", "latency"), [(4e6, 5e-6), (10.0, 1e-3), (8e8, 0.0)])
def test_a_sum_takes_as_long_as_a_ring_of_events(ranks, size, latency):
    cluster = Cluster(network=2e9, latency=latency)
    seconds = ring_of_events(ranks, size, 2e9, latency)
    assert cluster.all_reduce(size, cluster.everyone(ranks)) == pytest.approx(seconds)
    one_node = Cluster(1.0, 1.0, per_node=16, link=2e9, link_latency=latency)
    assert one_node.all_reduce(size, one_node.everyone(ranks)) == pytest.approx(seconds)


def test_a_sum_over_nodes_by_hand():
    """Two nodes of four: 3/4 of 8 MB on the link; half of each quarter, all four through a cable."""
    cluster = Cluster(network=1e9, latency=50e-6, per_node=4, link=4e9, link_latency=1e-6)
    half = (1.5e-3 + 3e-6) + (4 * 1e-3 + 50e-6)
    assert cluster.all_reduce(8e6, cluster.everyone(8)) == pytest.approx(2 * half)
    halving = replace(cluster, algorithm="halving")
    assert halving.half(8e6, halving.everyone(8)) == pytest.approx(half - 1e-6)  # 2 messages, not 3
    assert halving.half(0.0, Team(64, 4)) == pytest.approx(2 * 1e-6 + 4 * 50e-6), "16 nodes"
    assert cluster.broadcast(8e6, Team(8, 4)) == pytest.approx(2e-3 + 3e-6 + 8e-3 + 50e-6)
    assert cluster.broadcast(8e6, Team(2, 2)) == pytest.approx(2e-3 + 1e-6), "within a node"
    assert cluster.broadcast(8e6, Team(2, 1)) == pytest.approx(4 * 8e-3 + 50e-6), "4 share the cable"
    far = cluster.counterparts(8, 4)  # one of each node, who share the cable with three other pairs
    assert far == Team(2, 1) and cluster.half(2e6, far) == pytest.approx(4 * 1e-3 + 50e-6)


def test_groups_fill_a_node_or_nodes():
    cluster = Cluster(1e9, 1e-6, per_node=8, link=1e9)
    assert cluster.groups(24) == [1, 2, 4, 8, 24]
    assert cluster.groups(6) == [1, 2, 3, 6]
    assert cluster.counterparts(32, 2) == Team(16, 4) and cluster.counterparts(32, 16) == Team(2, 1)
    with pytest.raises(ValueError, match="12 ranks do not fill nodes of 8"):
        cluster.groups(12)


# ---- a step

# Two layers: of 4 and 8 MiB of gradients, a bucket each.
CONV = LayerCost("conv", Line(0, 1.5), Line(0, 2.5), update=0.25, parameters=MIB, to_fc=MIB // 2)
FC = LayerCost("fc", Line(0, 0.5), Line(0, 1), 0.5, 2 * MIB, after_fc=True, outputs=MIB // 4)
NET = [CONV, FC]


@pytest.mark.parametrize(
    ("mib_per_second", "overlap", "seconds"),
    [
        # Two images: forward to 4, fc backward to 6, conv backward to 11. The sum of fc is on its way
        # from 6 to 8, of conv from 11 to 12; fc moves to 11.5, conv from 12.
        (4, True, 12.25),
        # From 6 to 14, where fc moves, and on to 18, where conv does.
        (1, True, 18.25),
        # Computed for 11.75, and summed for 3.
        (4, False, 14.75),
    ],
)
def test_a_data_parallel_step_by_hand(mib_per_second, overlap, seconds):
    cluster = Cluster(mib_per_second * MIB, 0.0)
    found = step(NET, cluster, 2, images=2, overlap=overlap)
    assert found.seconds == pytest.approx(seconds)
    assert found.compute == pytest.approx(11.75)
    assert found.exposed == pytest.approx(seconds - 11.75)


@pytest.mark.parametrize(("overlap", "phase"), [(True, 5.75), (False, 7.5)])
def test_a_hybrid_step_by_hand(overlap, phase):
    """conv forward to 3; then two turns of fc, each 1 s of traffic to all, 1.5 s of work, 0.25 s in
    which half of the outputs arrives, and 1 s of traffic back: one turn's traffic, one turn's work and
    the longer of both are not hidden. Half of fc moves in 0.25 s, and needs no sum."""
    found = step(NET, Cluster(4 * MIB, 0.0), 2, images=2, group=2, overlap=overlap)
    assert found.seconds == pytest.approx(3 + phase + 0.25 + 5 + 1 + 0.25)
    assert found.compute == pytest.approx(3 + 3 + 0.25 + 5 + 0.25)


def test_groups_sum_their_parts_by_hand():
    """Four ranks in groups of two: 4 MiB of fc's gradients with the other group, 4 of conv with all."""
    cluster = Cluster(4 * MIB, 0.0)
    found = step(NET, cluster, 4, images=2, group=2, overlap=False)
    assert found.exposed == pytest.approx(4.5 + 1 + 1.5)


@pytest.mark.parametrize(("size", "hidden"), [(MIB // 2, 0.5), (MIB // 8, 0.25)])
def test_sums_between_fully_connected_layers_by_hand(size, hidden):
    """A layer between two fully-connected ones is computed in both turns. Its gradient is summed, each
    time for size * 8 bytes / 4 MiB/s, while half of the backward passes, 0.5 s of a turn, go on."""
    between = LayerCost("drop", Line(0, 0.125), Line(0, 0.125), to_fc=size, after_fc=True)
    last = replace(FC, backward=Line(), outputs=0)
    cluster = Cluster(4 * MIB, 0.0)
    without = step([CONV, FC, replace(between, to_fc=0), last], cluster, 2, images=2, group=2)
    assert without.compute == pytest.approx(3 + 3 + 2 * 0.5 + 2 * 1 + 0.75 + 5 + 0.25)
    found = step([CONV, FC, between, last], cluster, 2, images=2, group=2)
    assert found.seconds - without.seconds == pytest.approx(2 * (size * 8 / (4 * MIB) - hidden))


def test_traffic_of_activations_counts_bytes_and_turns():
    """At 2 bytes a number a half less; each of G turns has its messages, there and back."""
    cluster = Cluster(4 * MIB, 0.125)
    found = step(NET, cluster, 4, images=2, group=4, number=2, overlap=False)
    activations = 4 * (2 * (2 / 4 + 3 * 0.125) + 0.75 * 1 / 4 + 3 * 0.125)
    convolution = 2 * (0.75 * 4 / 4 + 3 * 0.125)
    assert found.exposed == pytest.approx(activations + convolution)


@pytest.fixture(scope="module")
def alexnet() -> list[LayerCost]:
    return costs.from_rate(layer_file.load_packaged("alexnet"), 30_000, 128, 4, 180)


@pytest.mark.parametrize("ranks", [1, 2, 64, 1024])
def test_a_network_that_costs_nothing_scales_perfectly(alexnet, ranks):
    one = costs.step_on_one(alexnet, 128)
    assert one == pytest.approx(128 / 30_000)
    found = step(alexnet, INFINITE, ranks, 128)
    assert found.seconds == pytest.approx(one) and found.exposed == 0
    for row in plan(alexnet, INFINITE, [ranks], 128, is_fixed=False).rows:
        assert row.data.seconds == pytest.approx(one)
    if ranks > 1:  # no fixed costs, nothing that all compute: a share takes a share of the time
        split = [lay for lay in alexnet if lay.outputs or not lay.after_fc]
        per_image = [replace(lay, forward=Line(0, 1), backward=Line(0, 2), update=0.0) for lay in split]
        found = plan(per_image, INFINITE, [1, ranks], 2048, is_fixed=True)
        assert found.efficiency(found.rows[1], found.rows[1].data) == pytest.approx(1)
        assert found.efficiency(found.rows[1], found.rows[1].hybrid) == pytest.approx(1)


def test_one_rank_takes_the_step_of_one_device(alexnet):
    cluster = Cluster(1.0, 1.0, 8, 1.0, 1.0)
    assert step(alexnet, cluster, 1, 128).seconds == pytest.approx(128 / 30_000)
    assert best_hybrid(alexnet, cluster, 1, 128) is None
    assert step(alexnet, cluster, 1, 128, overlap=False).exposed == 0


def test_more_of_the_network_never_hurts(alexnet):
    base = Cluster(1e9, 1e-5, 4, 1e10, 1e-6)
    better = [{"network": 2e9}, {"latency": 5e-6}, {"link": 3e10}, {"link_latency": 1e-7}]
    for group in (1, 2, 8, 16):
        slow = step(alexnet, base, 16, 128, group)
        for change in better:
            assert step(alexnet, replace(base, **change), 16, 128, group).seconds <= slow.seconds
        assert slow.seconds < step(alexnet, base, 16, 128, group, overlap=False).seconds
    times = [step(alexnet, base, ranks, 128).seconds for ranks in (1, 2, 4, 8, 16, 32, 64)]
    assert times == sorted(times)
    halving = replace(base, algorithm="halving")
    assert step(alexnet, halving, 64, 128).seconds < times[-1]


def test_the_best_hybrid_is_the_fastest_group(alexnet):
    cluster = Cluster(5e10, 5e-6, 8, 2e11, 2e-6)
    best = best_hybrid(alexnet, cluster, 64, 128)
    assert best.group in (2, 4, 8, 16, 32, 64)
    for group in (2, 4, 8, 16, 32, 64):
        assert best.seconds <= step(alexnet, cluster, 64, 128, group).seconds


class NoRanks(Ranks):
    size = 2

    def collectives(self, device):
        return None


@dataclass(frozen=True)
class Sizes(Cluster):
    """A cluster that remembers what was summed."""

    seen: tuple[list[float]] = ([],)

    def all_reduce(self, size: float, team: Team) -> float:
        self.seen[0].append(size)
        return 0.0


def test_buckets_are_those_of_training(alexnet):
    net = Network(layer_file.load_packaged("alexnet"), [Device("cpu")], 1, initialise=False)
    ranks = NoRanks()
    turns = [(net._finished[turn.layer.name], ranks) for turn in net._turns]
    buckets = [b for whole in Buckets(turns)._whole for b in whole]
    real = [sum(p.value.nbytes for p in bucket.parameters) for bucket in buckets]
    cluster = Sizes(1.0, 0.0, seen=([],))
    step(alexnet, cluster, 2, 128)
    assert cluster.seen[0] == real and len(real) > 5


# ---- what layers cost


def test_the_papers_net_in_numbers(alexnet):
    """58.6 of 61.0 million parameters are fully-connected (§3.5), behind 6x6x256 numbers and 4096."""
    assert sum(layer.parameters for layer in alexnet) == 60_965_224
    assert sum(layer.parameters for layer in alexnet if layer.after_fc) == 58_631_144
    assert sum(layer.to_fc for layer in alexnet) == 6 * 6 * 256 + 4096 + 4096
    assert not any(layer.after_fc for layer in alexnet if layer.name.startswith(("conv", "pool")))


def test_a_rate_is_shared_by_multiply_adds_and_bytes(tmp_path):
    spec = layer_file.load(*map(str, tiny_run.write_net(tmp_path)))
    layers = {layer.name: layer for layer in costs.from_rate(spec, 500.0, 10, 4, 8.0)}
    assert costs.step_on_one(layers.values(), 10) == pytest.approx(10 / 500)
    conv, shapes = layers["conv1a"], spec.shapes()
    channels, height, width = shapes["conv1a"]
    picture, weights = shapes["data"][0], shapes["data"][0] * 9 * channels
    multiplied = 2 * weights * height * width / 8  # in the time of a byte
    moved = 4 * (channels * height * width + picture * 12 * 12)
    parameters = weights + channels
    unit = conv.forward.per_image / (multiplied + moved)
    assert conv.backward.per_image == pytest.approx(unit * (multiplied + 2 * moved)), "no data gradient"
    assert conv.forward.fixed == pytest.approx(unit * 4 * parameters)
    assert conv.backward.fixed == pytest.approx(unit * 8 * parameters)
    assert conv.update == pytest.approx(unit * 20 * parameters)
    fc = next(layer for layer in layers.values() if layer.after_fc and layer.parameters)
    features = sum(np.prod(shapes[name]) for name in spec[fc.name].inputs)
    outputs = np.prod(shapes[fc.name])
    multiplied, moved = 2 * features * outputs / 8, 4 * (features + outputs)
    assert fc.forward.per_image == pytest.approx(unit * (multiplied + moved))
    assert fc.backward.per_image == pytest.approx(unit * 2 * (multiplied + moved))


def test_a_line_through_two_measurements():
    line = Line.through(128, 10.0, 32, 4.0)
    assert line(128) == pytest.approx(10) and line(32) == pytest.approx(4)
    assert line.fixed == pytest.approx(2)
    assert Line.through(128, 10.0, 32, 1.0).fixed == 0, "no less than nothing"
    assert Line.through(128, 10.0, 32, 12.0) == Line(10.0, 0.0), "noise: more took less"
    assert Line.through(1, 10.0, 1, 10.0)(3) == pytest.approx(30)


class Clock:
    """Stands where only what is told to takes time does."""

    now, pace = 0.0, 1.0

    def perf_counter(self) -> float:
        return self.now

    def slow(self, run, seconds):
        """`run`, which takes seconds(its last argument)."""

        def wrapped(*arguments, **keywords):
            self.now += self.pace * seconds(arguments[-1])
            return run(*arguments, **keywords)

        return wrapped


def test_measuring_finds_what_each_layer_takes(tmp_path, monkeypatch):
    """Undisturbed steps take twice as long as their parts: the parts are scaled to them."""
    spec = layer_file.load(*map(str, tiny_run.write_net(tmp_path)))
    clock, ticks, train_step = Clock(), [], Network.train_step

    def undisturbed(*arguments):
        clock.pace = 2.0
        train_step(*arguments)
        clock.pace = 1.0

    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(Network, "train_step", undisturbed)
    forward = clock.slow(Conv.forward, lambda site: 3 + 5 * site.images)
    monkeypatch.setattr(Conv, "forward", forward)
    monkeypatch.setattr(Fc, "backward", clock.slow(Fc.backward, lambda site: 7 * site.images))
    monkeypatch.setattr(ops, "sgd_step", clock.slow(ops.sgd_step, lambda _: 11))
    layers = measure.measure(spec, [Device("cpu")], 12, lambda: ticks.append(1))
    assert len(ticks) == measure.PASSES
    for layer in layers:
        is_conv, is_fc = isinstance(spec[layer.name], Conv), isinstance(spec[layer.name], Fc)
        assert layer.forward.fixed == pytest.approx(6 * is_conv), layer.name
        assert layer.forward.per_image == pytest.approx(10 * is_conv), layer.name
        assert layer.backward == Line(pytest.approx(0), pytest.approx(14 * is_fc)), layer.name
        assert (layer.update > 0) == (layer.parameters > 0)
    assert sum(layer.update for layer in layers) == pytest.approx(22)
    assert not any("forward" in vars(layer) for layer in spec), "clocks are taken away"


# ---- the table


def test_verdicts_name_the_last_ranks_that_pay(alexnet):
    cluster = Cluster(5e10, 5e-6, 8, 2e11, 2e-6)
    weak = plan(alexnet, cluster, [1, 8, 16, 1024], 128, is_fixed=False)
    efficiency = weak.efficiency(weak.rows[2], weak.rows[2].data)
    assert efficiency == pytest.approx(16 * 128 / weak.rows[2].data.seconds / 16 / 30_000)
    assert efficiency < 0.5 < weak.efficiency(weak.rows[1], weak.rows[1].data)
    assert verdicts(weak)[0].startswith("data parallel: pays to 8 ranks; on 16 the efficiency is")
    slow = plan(alexnet, Cluster(1e9, 5e-6), [1, 2], 128, is_fixed=False)
    assert verdicts(slow)[0].startswith("data parallel: does not pay; on 2 the efficiency is")
    near = plan(alexnet, cluster, [1, 2], 128, is_fixed=False)
    assert "pays to 2 ranks, the most asked for" in verdicts(near)[1]


def test_a_fixed_batch_stops_paying_where_steps_stop_getting_shorter():
    """Efficiency alone would let it pass: two ranks make it no faster than one at 50 %."""
    steps = [replace(step(NET, INFINITE, 1, 2), seconds=seconds) for seconds in (8.0, 5.0, 5.0)]
    rows = [Row(r, 4, s, None) for r, s in zip((1, 2, 3), steps, strict=True)]
    found = Plan(tuple(rows), per_image=2.0, is_fixed=True)
    assert verdicts(found) == [
        "data parallel: pays to 2 ranks; on 3 a step takes 5,000.00 ms, no less than on fewer"
    ]
    assert "*" not in table(found) and len(table(found).splitlines()) == 5


# ---- the command

RATE = ["plan", "--images-per-second", "30000", "--per-node", "8", "--link", "200", "--network", "50"]


def test_plan_prints_both_tables(capsys, alexnet):
    assert main([*RATE, "--ranks", "16,1,8"]) == 0
    out = capsys.readouterr().out
    assert "30,000 images/s in steps of 128 (not measured)" in out and "model: all that follows" in out
    lines = out.splitlines()
    rows = [line.split() for line in lines if line[:5].strip().isdigit()]
    assert [row[:2] for row in rows[:3]] == [["1", "128"], ["8", "1,024"], ["16", "2,048"]]
    assert [row[:2] for row in rows[3:]] == [["1", "128"], ["8", "128"], ["16", "128"]]
    cluster = Cluster(50e9, 5e-6, 8, 200e9, 2e-6)
    assert float(rows[2][2]) == pytest.approx(step(alexnet, cluster, 16, 128).seconds * 1e3, abs=0.01)
    assert float(rows[5][2]) == pytest.approx(step(alexnet, cluster, 16, 8).seconds * 1e3, abs=0.01)
    best = best_hybrid(alexnet, cluster, 16, 128)
    assert rows[2][6:8] == [str(best.group), f"{best.seconds * 1e3:.2f}"]


def test_plan_measures_saves_and_reads(capsys, tmp_path):
    common = ["plan", "--net", "alexnet-mini", "--batch-size", "8", "--ranks", "1,2"]
    common += ["--scaling", "weak"]
    assert main([*common, "--threads", "1", "--save-times", str(tmp_path / "times.json")]) == 0
    first = capsys.readouterr().out.splitlines()
    assert "measured on cpu of" in first[0] and "a step of 8 pictures takes" in first[0]
    assert main([*common, "--times", str(tmp_path / "times.json")]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[1:] == first[1:] and "measured on cpu of" in again[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--per-node", "8"], "--per-node 8 needs --link"),
        ([*RATE[1:], "--ranks", "12"], "12 ranks do not fill nodes of 8"),
        (["--ranks", "1,two"], "'two' is not a whole number of at least 1"),
        (["--network", "0"], "'0' is not a number above 0"),
        ([*RATE[1:], "--times", "x"], "both say how fast a rank is"),
        ([*RATE[1:], "--save-times", "x"], "--save-times writes what is measured"),
        (["--times", "nowhere.json"], "nowhere.json: No such file"),
        (["--times", __file__], "holds no times of layers"),
        (["--net", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys):
    try:
        assert main(["plan", *arguments]) == 2
    except SystemExit as exit:
        assert exit.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
