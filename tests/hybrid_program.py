"""Nets that teams of ranks share, step by step beside the same nets of one rank.

    mpiexec -n 3 python -m tests.hybrid_program cpu,cpu
    mpiexec -n 2 python -m tests.hybrid_program cuda:0,cuda:1 late    # stand-ins, or early

Every rank also trains the whole net on all pictures alone, and compares. Names each net as it begins.
"""

from __future__ import annotations

import sys
import traceback
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np

from alexnet_raw import parallel
from alexnet_raw.cut_network import CutNetwork
from alexnet_raw.device import parse_devices
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network
from alexnet_raw.parallel import buckets, placing
from alexnet_raw.parallel.hybrid import Hybrid
from tests.test_network import NetText, random_net

STEPS = 3
CLASSES = 7
# Pictures of each rank, by turns; the last batch leaves some, and whole teams, without any.
COUNTS = ((2, 3, 1, 2), (3, 3, 2, 1), (0, 1, 0, 0))


def fc(net: NetText, name: str, inputs: str, outputs: int, more: str = "") -> None:
    starts = ",".join(["0.2"] * len(inputs.split(",")))
    net.weights(name, inputs, f"type=fc outputs={outputs} initW={starts} initB=0.1 {more}")


def towers(half: bool = False) -> NetSpec:
    """Two towers up to the fourth layer; dropped and normalised maps among the shared ones."""
    net = NetText()
    for tower, gpu in (("a", 0), ("b", 1)):
        more = f"filters=4 filterSize=3 padding=1 initW=0.2 neuron=relu gpu={gpu}"
        net.weights(f"conv1{tower}", "data", f"type=conv channels=3 {more}")
        net.add(f"pool1{tower}", f"conv1{tower}", "type=pool pool=max channels=4 sizeX=3 stride=2")
    for tower, gpu in (("a", 0), ("b", 1)):
        fc(net, f"fc2{tower}", "pool1a,pool1b", 9, f"neuron=relu gpu={gpu}")
        net.add(f"drop2{tower}", f"fc2{tower}", "type=hs keep=0.5")
    for tower, gpu in (("a", 0), ("b", 1)):
        fc(net, f"fc3{tower}", "drop2a,drop2b", 8, f"neuron=tanh[1.7,0.6] gpu={gpu}")
    fc(net, "fc4", "fc3a,fc3b", CLASSES, "gpu=1")
    net.add("probs", "fc4", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    if half:
        for name in ("pool1a", "drop2b", "fc3a"):
            net.parameters += f"[{name}]\nquantF=half\nquantB=half\n"
    return net.spec()


def perceptron() -> NetSpec:
    """Nothing is before the fully-connected layers; two of them share weights."""
    net = NetText()
    fc(net, "fc1", "data", 12, "neuron=relu")
    fc(net, "fc2", "fc1", 12, "neuron=relu")
    fc(net, "fc3", "fc2", 12, "neuron=relu weightSource=fc2[0]")
    fc(net, "fc4", "fc3", CLASSES)
    net.add("probs", "fc4", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    return net.spec()


def branches() -> NetSpec:
    """A second cost before the fully-connected layers, told after them; maps with many readers; layers
    behind that learn and are no fully-connected ones, and some that cannot be shared."""
    net = NetText()
    net.weights("conv1", "data", "type=conv channels=3 filters=5 filterSize=3 initW=0.2 neuron=relu")
    net.add("pool1", "conv1", "type=pool pool=avg channels=5 sizeX=3 stride=2")
    fc(net, "fc2", "pool1,data", 10, "neuron=relu gpu=1")
    fc(net, "small", "fc2", 2, "gpu=0")
    net.weights("conv3", "fc2", "type=conv channels=10 filters=6 filterSize=1 initW=0.3 neuron=relu")
    net.weights("local3", "fc2", "type=local channels=10 filters=6 filterSize=1 initW=0.3 gpu=1")
    net.add("sum3", "conv3,local3", "type=eltsum coeffs=1,0.5")
    fc(net, "fc4", "sum3", 11)
    fc(net, "fc5", "fc4,fc4", CLASSES)
    fc(net, "fc6", "fc5,small", CLASSES, "gpu=1")
    net.add("probs", "fc6", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    net.weights("conv7", "pool1", "type=conv channels=5 filters=3 filterSize=3 initW=0.2 gpu=1")
    net.add("size", "conv7", "type=cost.sum2", "coeff=0.01")
    return net.spec()


def uncut_first() -> NetSpec:
    """One output cannot be shared, so neither is the layer that reads the same map, whose gradient all
    members have whole."""
    net = NetText()
    net.weights("conv1", "data", "type=conv channels=3 filters=5 filterSize=3 initW=0.2 neuron=relu")
    fc(net, "one", "conv1", 1)
    fc(net, "fc2", "conv1", 9, "neuron=relu gpu=1")
    fc(net, "fc3", "fc2", CLASSES)
    fc(net, "fc4", "one", CLASSES)
    net.add("sum", "fc3,fc4", "type=eltsum coeffs=1,1")
    net.add("probs", "sum", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    return net.spec()


def targets() -> NetSpec:
    """A cost that is given targets, which come from the other ranks like labels."""
    net = NetText()
    net.weights("conv1", "data", "type=conv channels=3 filters=5 filterSize=3 initW=0.2 neuron=relu")
    fc(net, "fc2", "conv1", CLASSES)
    net.add("out", "fc2", "type=neuron neuron=logistic")
    net.add("cost", "labels,out", "type=cost.crossent2", "coeff=1")
    return net.spec()


def nets() -> Iterator[tuple[str, NetSpec, float]]:
    """With the tolerance of the weights, relative to the largest."""
    yield "towers", towers(), 1e-5
    yield "towers in half precision", towers(half=True), 1e-3
    yield "towers in bfloat16", towers(), 1e-2
    yield "perceptron", perceptron(), 1e-5
    yield "branches", branches(), 1e-5
    yield "uncut first", uncut_first(), 1e-5
    yield "targets", targets(), 1e-5
    for seed in range(8):
        yield f"random net {seed}", random_net(np.random.default_rng(seed)), 1e-5


def check(name: str, spec: NetSpec, tolerance: float, devices: str, ranks: parallel.Ranks, team: int):
    found, shape = parse_devices(placing.devices(devices, ranks)), (3, 9, 9)
    for device in found:
        device.precision = "bf16" if "bfloat16" in name else "fp32"
    whole = Network(spec, found, 16, seed=3, input_shape=shape)
    shared = CutNetwork(Hybrid(ranks, team), spec, found, 4, seed=3, input_shape=shape)
    shared.sum_over(ranks)
    device, rng = shared.input_device, np.random.default_rng(5)
    classes = shared.shapes[spec.outlet][0]
    for step in range(STEPS):
        counts = [COUNTS[step][rank % 4] for rank in range(ranks.size)]
        pictures = rng.standard_normal((*shape, sum(counts))).astype(np.float32)
        answers = rng.integers(0, classes, sum(counts)).astype(np.int32)
        if spec.takes_targets:
            answers = rng.random((classes, sum(counts)), np.float32)
        whole.train_step(device.upload(pictures), device.upload(answers), step, step / STEPS)
        own = slice(sum(counts[: ranks.rank]), sum(counts[: ranks.rank + 1]))
        images = device.upload(pictures[..., own]) if counts[ranks.rank] else None
        read = (shared.costs_later, shared.probabilities)
        results = shared.train_step(
            images,
            device.upload(answers[..., own]),
            step,
            step / STEPS,
            counts,
            lambda read=read: [what() for what in read],
        )
        assert (results is None) == (images is None)
        if results:
            outputs = whole.probabilities()[own]
            np.testing.assert_allclose(results[1], outputs, rtol=0, atol=10 * tolerance)
        for each in found:
            each.synchronize()  # stand-ins cannot go on while a rank waits for others
        costs = ranks.gather(results and (counts[ranks.rank], results[0]()))
        for cost, wanted in whole.costs().items():
            parts = [(count, own[cost].loss) for count, own in filter(None, costs)]
            loss = sum(count * part for count, part in parts) / sum(counts)
            np.testing.assert_allclose(loss, wanted.loss, rtol=10 * tolerance, atol=10 * tolerance)
    for key, parameter in shared.parameters.items():
        if parameter.part is None:
            sums = ranks.gather(zlib.crc32(parameter.value.numpy()))
            assert len(set(sums)) == 1, f"{key} differs between ranks"
    mine, theirs = shared.state(), whole.state()
    assert mine.keys() == theirs.keys()
    for key, array in theirs.items():
        if "bfloat16" in name and not key.rpartition(".")[2].startswith("weights"):
            continue  # a relu that flips is much of a bias, or of the last step
        error = np.abs(mine[key] - array).max() / (np.abs(array).max() or 1)
        assert error <= tolerance, f"{key}: {error}"
    had = sum(p.value.size for p in shared.parameters.values())
    assert had < sum(p.value.size for p in whole.parameters.values())


def main() -> None:
    buckets.BYTES = 1024
    if "cuda" in sys.argv[1]:
        from tests import gpu_stand_in, nccl_stand_in

        sys.modules["cupy.cuda.nccl"] = nccl_stand_in
        gpu_stand_in.Stream.eager = sys.argv[2] == "early"
        gpu_stand_in.install(SimpleNamespace(setattr=setattr))
    ranks = parallel.join()
    teams = [size for size in range(2, ranks.size + 1) if ranks.size % size == 0]
    for name, spec, tolerance in nets():
        for team in teams:
            if ranks.is_first:
                print(f"{name}, teams of {team}", flush=True)
            check(name, spec, tolerance, sys.argv[1], ranks, team)


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # the others must not wait
        traceback.print_exc()
        sys.stderr.flush()
        from mpi4py import MPI

        MPI.COMM_WORLD.Abort(1)
