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


@pytest.mark.parametrize("text", ["default", "linear[tgtFactor=4]", "dexp[tgtFactor=250,numSteps=4]"])
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
        ("exp[10,0.1]", "noisy rates are not supported"),
        ("exp[ten]", "'ten' is not a number"),
        ("exp[target=10]", "unexpected 'target=10'"),
        ("linear[1,0,3]", "unexpected '3'"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ValueError, match=message):
        Schedule.parse(text)
