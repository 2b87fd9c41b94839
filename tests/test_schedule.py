"""Learning-rate schedules against the figures of the authors' notes, and their notation."""

from __future__ import annotations

import pytest

from alexnet_raw.schedule import Schedule


def test_dexp_gives_the_rates_of_run_170():
    schedule = Schedule.parse("dexp[tgtFactor=250,noiseStdev=0,numSteps=4]")
    progress = [0, 0.2499, 0.25, 0.4999, 0.5, 0.75, 0.999, 1]
    rates = [0.01 * schedule.factor_at(p) for p in progress]
    wanted = [0.01, 0.01, 0.0015874, 0.0015874, 0.00025198, 0.00004, 0.00004, 0.00004]
    assert rates == pytest.approx(wanted, rel=1e-4)
    biases = Schedule.parse("dexp[tgtFactor=10,numSteps=2]")
    assert [0.02 * biases.factor_at(p) for p in (0, 0.49, 0.5, 1)] == [0.02, 0.02, 0.002, 0.002]


def test_linear_and_exp():
    linear, exp = Schedule.parse("linear[tgtFactor=4]"), Schedule.parse("exp[100,0]")
    assert [linear.factor_at(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.625, 0.25])
    assert [exp.factor_at(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.1, 0.01])
    assert exp.factor_at(1.5) == exp.factor_at(1), "a run that goes on keeps the last rate"


def test_default_is_constant():
    assert {Schedule().factor_at(p) for p in (0, 0.3, 1)} == {1.0}
    assert Schedule.parse("default") == Schedule()


def test_jdexp_jumps_halfway_between_stairs():
    schedule = Schedule.parse("jdexp[tgtFactor=100,numSteps=5]")
    progress = [0.1, 0.19, 0.29, 0.31, 0.49, 0.51, 0.89, 0.91]
    exponents = [0, 0, 0.5, 0.25, 1, 0.75, 2, 2]  # five stairs of 0.2
    wanted = [10**-e for e in exponents]
    assert [schedule.factor_at(p) for p in progress] == pytest.approx(wanted)


def test_stairs_are_the_drops_of_run_145():
    weights = Schedule.parse("stairs[25/91:0.1, 51/91:0.01,79/91:0.001]")
    epochs = (0, 24, 25, 50, 51, 78, 79, 90)
    rates = [0.01 * weights.factor_at(epoch * 7 / (91 * 7)) for epoch in epochs]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert Schedule.parse("stairs[0.5:0]").factor_at(0.75) == 0, "frozen from there on"


def test_noise_is_the_same_whenever_a_run_is_repeated():
    quiet, noisy = Schedule.parse("exp[10]"), Schedule.parse("exp[10,0.5]")
    progress = [i / 4096 for i in range(4096)]
    draws = [(noisy.factor_at(p) / quiet.factor_at(p) - 1) / 0.5 for p in progress]
    assert draws == [(noisy.factor_at(p) / quiet.factor_at(p) - 1) / 0.5 for p in progress]
    assert min(draws) >= 0
    assert sum(draws) / len(draws) == pytest.approx((2 / 3.14159) ** 0.5, abs=0.05)  # mean of |g|


@pytest.mark.parametrize(
    "text",
    [
        "default",
        "linear[tgtFactor=4]",
        "dexp[tgtFactor=250,numSteps=4]",
        "jdexp[tgtFactor=4,noiseStdev=0.5,numSteps=3]",
        "stairs[25/91:0.1,1/2:0.01]",
    ],
)
def test_text_round_trips(text):
    assert str(Schedule.parse(text)) == text
    assert Schedule.parse(str(Schedule.parse(text))) == Schedule.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosine", "unknown schedule 'cosine': known are default, linear"),
        ("exp", "no tgtFactor; write exp"),
        ("exp[tgtFactor=0]", "tgtFactor must be above 0"),
        ("dexp[10,0,1]", "numSteps must be a whole number of at least 2"),
        ("dexp[10,0,2.5]", "numSteps must be a whole number"),
        ("exp[10,-0.1]", "noiseStdev must be at least 0"),
        ("exp[ten]", "'ten' is not a number"),
        ("exp[target=10]", "unexpected 'target=10'"),
        ("linear[1,0,3]", "unexpected '3'"),
        ("stairs[]", "must ascend"),
        ("stairs[0.5:0.1,0.5:0.2]", "must ascend"),
        ("stairs[1.5:0.1]", "between 0 and 1"),
        ("stairs[0.1]", "'0.1' is not a part of the run and a factor, such as 25/91:0.1"),
        ("stairs[1/0:1]", "is not a part"),
        ("stairs[0.1:-1]", "factors must be at least 0"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ValueError, match=message):
        Schedule.parse(text)
