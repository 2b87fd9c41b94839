"""Arrays of the backward pass share memory, and nobody notices."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.device import ALIGNMENT, Device
from alexnet_raw.memory import Memory, Slot, lifetimes, pack
from alexnet_raw.network import Network
from tests.test_network import NetText, batch, make, pixel_layers, run, sparse_towers, two_towers

PICTURE = (3, 17, 17)


def many_costs() -> layer_file.NetSpec:
    """A layer with five readers, two of them costs, that cannot all add in place; exchanges in half
    precision; scratch of the backward pass only."""
    net = NetText()
    settings = "type=conv channels=3 filters=4 filterSize=3 initW=0.2 neuron=relu"
    net.weights("conv", "data", settings + " gpu=0")
    net.parameters += "quantF=half\nquantB=half\n"
    net.add("norm", "conv", "type=cnorm channels=4 size=3 gpu=1", "scale=1 pow=0.75")
    net.add("turned", "conv", "type=href channels=4 gpu=0")
    net.add("other", "conv", "type=href channels=4 gpu=1")
    net.add("sum", "norm,turned,other", "type=eltsum gpu=1")
    net.add("small", "sum", "type=pool pool=avg channels=4 sizeX=4 stride=4")
    net.weights("fc", "small,conv", "type=fc outputs=5 initW=0.1,0.01 gpu=0")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    net.add("sets", "labels,fc", "type=cost.msm gpu=1", "coeff=0.5 setSize=2")
    net.add("squares", "conv", "type=cost.sum2", "coeff=0.01")
    net.add("windows", "conv", "type=cost.tica channels=4 sizeX=3 gpu=1", "coeff=0.01")
    return net.spec()


def mini() -> layer_file.NetSpec:
    return layer_file.load_packaged("alexnet-mini")


# ---- a net whose dead arrays are overwritten, against one in which nothing is shared


def poison(net: Network, turn: int) -> None:
    """NaN in all shared memory but where the plan says that an earlier turn left what is needed yet."""
    memory = net._memory
    for device, size in memory.arena_sizes.items():
        is_dead = np.ones(size, bool)
        for slot, begin in memory.places.items():
            first, last = memory.lives[slot]
            if slot.device is device and first < turn <= last:
                is_dead[begin : begin + slot.nbytes(net.batch_size)] = False
        values = memory._block(device, device, size).data
        device.do(partial(values.__setitem__, is_dead, 0xFF))  # behind what it was given before


def poison_before_each_turn(net: Network) -> None:
    for number, turn in enumerate(net._turns):

        def backward(site, number=number, run=turn.layer.backward):
            poison(net, number)
            run(site)

        turn.layer.backward = backward


def share_nothing(net: Network) -> None:
    net._memory = Memory(net.batch_size)
    net._sites.clear()


def results(net: Network, shape: tuple[int, ...], classes: int) -> dict[str, bytes]:
    """What three steps with batches of several sizes, and a validation between them, leave."""
    rng, found = np.random.default_rng(1), {}
    for step, images in enumerate((4, 3, 4)):
        pictures, labels = batch(rng, shape, images, classes)
        run(net, pictures, labels, step=step)
        poison(net, len(net._turns))
        for layer in net.spec:
            if len(net.shapes[layer.name]) == 3:
                found[f"{step}.{layer.name}"] = net.activations(layer.name)
        for name, parameter in net.parameters.items():
            found[f"{step}.d{name}"] = parameter.gradient.numpy()
        found[f"{step}.costs"] = np.array([cost.loss for cost in net.costs().values()])
        if net.spec.pictures.name in net.wants_gradient:
            found[f"{step}.pictures"] = net.input_gradient()
        net.update(step / 3)
        run(net, *batch(rng, shape, 2, classes), train=False)
        found[f"{step}.validation"] = net.probabilities()
    return {name: array.tobytes() for name, array in (found | net.state()).items()}


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu", "cpu,cpu,cpu"])
@pytest.mark.parametrize("spec", [two_towers, sparse_towers, pixel_layers, many_costs, mini])
def test_sharing_changes_no_bit(spec, devices):
    shape = spec().input_shape() if spec is mini else PICTURE
    settings = {"batch_size": 4, "input_shape": shape, "input_gradient": True}
    shared, alone = (make(spec(), devices, **settings) for _ in range(2))
    poison_before_each_turn(shared)
    share_nothing(alone)
    got, want = (results(net, shape, 5) for net in (shared, alone))
    assert got.keys() == want.keys()
    for name in want:
        assert got[name] == want[name], name
    assert not any(np.isnan(array).any() for array in alone.state().values())
    apart = sum(slot.nbytes(4) for slot in shared._memory.places)
    assert sum(shared._memory.arena_sizes.values()) < 0.9 * apart  # it did share


# ---- how much memory


def held(net: Network) -> int:
    return sum(block.nbytes for block in net._memory._blocks.values())


def lower_bound(memory: Memory, device: Device) -> int:
    """The most bytes that live in one turn."""
    ends = range(1 + max(last for _, last in memory.lives.values()))
    living = [
        sum(
            slot.nbytes(memory.batch_size)
            for slot, (first, last) in memory.lives.items()
            if slot.device is device and first <= turn <= last
        )
        for turn in ends
    ]
    return max(living)


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "alexnet-mini", "cifar10"])
def test_packaged_nets_need_no_more_than_what_lives_at_once(name, devices):
    spec = layer_file.load_packaged(name)
    shapes = {} if spec.crop else {"input_shape": (3, 32, 32)}
    # No first values, and no pass: on the CPU nothing is touched, so that this costs no memory.
    memory = make(
        spec, devices, batch_size=128, initialise=False, **{"input_shape": None, **shapes}
    )._memory
    for device, size in memory.arena_sizes.items():
        assert lower_bound(memory, device) <= size <= 1.01 * lower_bound(memory, device)


def test_memory_does_not_grow_with_the_number_of_batch_sizes(rng):
    net = make(two_towers(), input_gradient=True)
    run(net, *batch(rng, PICTURE, 5, 5))
    net.update(0.0)
    before = held(net)
    for images in (3, 1, 4, 5):
        run(net, *batch(rng, PICTURE, images, 5))
        run(net, *batch(rng, PICTURE, images, 5), train=False)
    assert held(net) == before


def test_a_net_that_does_not_train_has_no_memory_for_it(rng):
    state = make(two_towers()).state()
    net = make(two_towers(), initialise=False)
    net.load_state(state, velocities=False)
    run(net, *batch(rng, PICTURE, 5, 5), train=False)
    assert not net._memory.arena_sizes.keys() & net._memory._blocks.keys()
    for parameter in net.parameters.values():
        assert not {"gradient", "velocity"} & vars(parameter).keys()
    for name, array in net.state().items():
        wanted = np.zeros_like(array) if name.endswith(".velocity") else state[name]
        assert array.tobytes() == wanted.tobytes(), name


def test_the_gradient_of_the_pictures_is_that_of_the_last_pass(rng):
    net = make(two_towers(), input_gradient=True)
    run(net, *batch(rng, PICTURE, 5, 5), train=False)
    with pytest.raises(RuntimeError, match="input_gradient needs a backward before it"):
        net.input_gradient()


# ---- the plan


def test_what_lives_together_lies_apart(rng):
    device, other = Device("cpu", 0), Device("cpu", 1)
    for _ in range(50):
        lives, sizes = {}, {}
        for i in range(25):
            slot = Slot(i, device if rng.random() < 0.7 else other, (int(rng.integers(1, 40)),))
            first = int(rng.integers(20))
            lives[slot], sizes[slot] = (first, first + int(rng.integers(6))), slot.nbytes(1)
        places = pack(lives, sizes)
        assert places.keys() == lives.keys()
        for a, b in combinations(lives, 2):
            in_time = max(lives[a][0], lives[b][0]) <= min(lives[a][1], lives[b][1])
            begin = max(places[a], places[b])
            if in_time and a.device is b.device:
                assert begin >= min(places[a] + sizes[a], places[b] + sizes[b])


def test_a_chain_takes_turns(cpu):
    """Of a, b, c, d only neighbours live together: two places are enough."""
    a, b, c, d = slots = [Slot(name, cpu, (5,)) for name in "abcd"]
    lives = lifetimes([[a], [a, b], [b, c], [c, d], [d]])
    assert lives == {a: (0, 1), b: (1, 2), c: (2, 3), d: (3, 4)}
    places = pack(lives, dict.fromkeys(slots, 64))
    assert [places[slot] for slot in slots] == [0, 64, 0, 64]


def test_the_tightest_gap_is_taken(cpu):
    sizes = {"wall": 90, "large": 50, "small": 30, "first": 80, "last": 29}
    lives = {"wall": (0, 9), "large": (0, 1), "small": (3, 4), "first": (5, 9), "last": (3, 4)}
    slots = {name: Slot(name, cpu, (size,)) for name, size in sizes.items()}
    places = pack(
        {slots[name]: life for name, life in lives.items()},
        {slots[name]: size for name, size in sizes.items()},
    )
    assert [places[slot] for slot in slots.values()] == [0, 90, 90, 90, 120]


def test_arrays_are_aligned_and_keep_their_dtype(cpu):
    slots = [Slot(i, cpu, (i + 1, 3), dtype) for i, dtype in enumerate(("f4", "f2", "i4"))]
    memory = Memory(5, [slots])
    arrays = [memory.array(slot, 3) for slot in slots]
    for i, (slot, array) in enumerate(zip(slots, arrays, strict=True)):
        assert array.shape == (*slot.shape, 3) and array.dtype == slot.dtype
        assert array.data.ctypes.data % ALIGNMENT == 0
        array.copy_from(np.full(array.shape, i, array.dtype))
    assert [set(array.numpy().flat) for array in arrays] == [{0}, {1}, {2}]
