"""Several logical CPU devices at work side by side."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

from alexnet_raw import _cpu, ops
from alexnet_raw.cpu_stream import CpuStream, side_by_side
from alexnet_raw.device import parse_devices
from tests import gpu_stand_in
from tests.test_network import batch, make, two_towers


@pytest.fixture
def threads():
    """Sets the threads that all devices share."""
    before = _cpu.threads()
    yield _cpu.set_threads
    _cpu.set_threads(before)


def test_devices_work_side_by_side():
    devices = parse_devices("cpu,cpu,cpu")
    meeting = threading.Barrier(3, timeout=30)  # broken if one has to end before another begins
    with side_by_side(devices):
        for device in devices:
            device.do(meeting.wait)
    assert not any(device.is_queued for device in devices)


@pytest.mark.parametrize(("total", "shares"), [(1, [1, 1, 1]), (3, [1, 1, 1]), (8, [2, 3, 3])])
def test_each_has_its_share_of_the_cores(threads, total, shares):
    devices = parse_devices("cpu,cpu,cpu")
    seen = [[] for _ in devices]
    for cores, wanted in ((total, shares), (6, [2, 2, 2])):
        threads(cores)
        with side_by_side(devices):
            for device, found in zip(devices, seen, strict=True):
                device.do(lambda found=found: found.append(_cpu.threads()))
        assert [found.pop() for found in seen] == wanted
        assert _cpu.threads() == cores


def test_one_device_works_at_once():
    [device] = parse_devices("cpu")
    done = []
    with side_by_side([device]):
        device.do(lambda: done.append(True))
        assert done


def test_work_is_in_order_and_the_host_waits_for_what_it_reads():
    a, b = parse_devices("cpu,cpu")
    source, target = a.upload(np.zeros(4, np.float32)), b.zeros(4)
    ones = a.upload(np.ones(4, np.float32))
    with side_by_side([a, b]):
        for count in range(1, 20):
            a.do(lambda: time.sleep(0.001))
            ops.add(source, ones)
            copied = target.begin_copy_from(source)
            a.wait(copied)
            b.wait(copied)
            np.testing.assert_array_equal(target.numpy(), count)
        ops.add(source, ones)
        np.testing.assert_array_equal(source.numpy(), 20)


def test_an_error_of_an_op_is_raised_when_all_is_done():
    devices = parse_devices("cpu,cpu")
    a, b = (device.zeros((4, 3)) for device in devices)
    wrong = devices[0].zeros((2, 3))
    done = []
    with pytest.raises(ValueError, match="softmax_forward"), side_by_side(devices):
        ops.softmax_forward(a, wrong)
        devices[0].do(lambda: done.append("after the error"))
        devices[1].do(lambda: done.append("elsewhere"))
    assert done == ["elsewhere"]
    with side_by_side(devices):  # and work goes on
        ops.softmax_forward(a, devices[0].zeros((4, 3)))
        ops.softmax_forward(b, devices[1].zeros((4, 3)))
    np.testing.assert_array_equal(a.numpy(), np.float32(0.25))
    np.testing.assert_array_equal(b.numpy(), np.float32(0.25))


def test_an_interrupt_leaves_out_what_has_not_begun():
    devices = parse_devices("cpu,cpu")
    begun, go, done = threading.Event(), threading.Event(), []
    with pytest.raises(KeyboardInterrupt), side_by_side(devices):
        devices[0].do(lambda: (begun.set(), go.wait(30), done.append("first")))
        devices[0].do(lambda: done.append("second"))
        begun.wait(30)
        threading.Timer(0.05, go.set).start()
        raise KeyboardInterrupt
    assert done == ["first"]
    assert not any(device.is_queued for device in devices)


def test_a_stream_ends_its_thread():
    before = set(threading.enumerate())
    stream = CpuStream()
    [thread] = set(threading.enumerate()) - before
    del stream
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_towers_by_turns_and_side_by_side_give_the_same_bits(rng):
    states = []
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    for concurrent in (False, *[True] * 8):
        net = make(two_towers(), "cpu,cpu")
        net.is_concurrent = concurrent
        images, answers = map(net.input_device.upload, (pictures, labels))
        for step in range(3):
            net.train_step(images, answers, step, 0.0)
        states.append(net.state())
    for state in states[1:]:
        for name, array in states[0].items():
            np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_a_pass_uses_a_thread_for_each_tower(rng, monkeypatch):
    net = make(two_towers(), "cpu,cpu")
    used = set()
    forward = _cpu.conv_forward
    watched = lambda **arguments: (used.add(threading.get_ident()), forward(**arguments))  # noqa: E731
    monkeypatch.setattr(_cpu, "conv_forward", watched)
    images, answers = map(net.input_device.upload, batch(rng, (3, 17, 17), 5, 5))
    net.forward(images, answers, train=True)
    assert len(used) == 2 and threading.get_ident() not in used


def test_a_gpu_copies_what_a_queued_cpu_has_yet_to_compute(monkeypatch):
    gpu_stand_in.install(monkeypatch)
    a, b, gpu = parse_devices("cpu,cpu,cuda:0")
    source, target = a.upload(np.zeros(4, np.float32)), gpu.zeros(4)

    def work() -> None:
        time.sleep(0.05)
        source.data.fill(1)

    with side_by_side([a, b, gpu]):
        a.do(work)
        target.copy_from(source)
    np.testing.assert_array_equal(target.numpy(), np.ones(4))
