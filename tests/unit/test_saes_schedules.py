"""The course of L0 along a training: fixed, linear, the paper's rule in both readings, descent."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.saes.l0_schedule import DescentSchedule, L0Schedule, PaperSchedule
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.training.schedules import (
    Descent,
    Fixed,
    Linear,
    Measures,
    PaperRule,
    build_schedule,
)
from correct_l0.saes.training_settings import Training
from correct_l0.settings.canonical import canonical
from saes_toy import BATCH, STEPS, settings, train_toy

NOTHING = Measures(lambda W_dec: 0.0, lambda x, W_dec, b_dec, n: 0.0)


def paper(start=20.0, kind="paper_lower", watched=NOTHING, scale=1.0, highest=50, **constants):
    section = PaperSchedule(kind=kind, **{"n": 1, **constants})
    return PaperRule(section, start, highest, watched, scale)


def descent(start, **constants):
    return Descent(DescentSchedule(kind="descent", **constants), start, 50, NOTHING.c_dec)


def test_the_first_change_is_the_largest_one_down():
    assert paper(delta_max=2).change(0.5) == -2


def test_a_slope_by_hand():
    """m falls by 0.2 over a change of -1: slope 0.2, pushed to 0.22; Adam's first step is lr."""
    rule = paper(lr=0.5, delta_max=1)
    rule.change(0.5)
    assert rule.change(0.3) == pytest.approx(-0.5, abs=1e-6)
    assert rule._mean == pytest.approx(0.1 * 0.22)
    assert rule._square == pytest.approx(0.001 * 0.22**2)


def test_the_two_readings_push_in_opposite_directions():
    found = {}
    for kind in ("paper_lower", "paper"):
        rule = paper(kind=kind)
        rule.change(0.5)
        rule.change(0.3)
        found[kind] = rule._mean / 0.1
    assert found == pytest.approx({"paper_lower": 0.22, "paper": 0.18})


def test_slopes_are_clipped_and_changes_limited():
    rule = paper(lr=100, delta_max=3, clip=1)
    rule.change(0.0)
    assert rule.change(-9.0) == -3
    assert rule._mean == pytest.approx(0.1)
    small = paper(lr=1e-6, delta_min=0.25)
    small.change(0.5)
    assert small.change(0.3) == -0.25


def test_adams_second_step_by_hand():
    rule = paper(lr=0.1, delta_min=1e-6, bias=0)
    rule.change(1.0)
    rule.change(0.8)  # slope 0.2
    slope = (0.9 - 0.8) / rule._delta
    mean = (0.9 * 0.1 * 0.2 + 0.1 * slope) / (1 - 0.9**2)
    square = (0.999 * 0.001 * 0.04 + 0.001 * slope**2) / (1 - 0.999**2)
    assert rule.change(0.9) == pytest.approx(-0.1 * mean / math.sqrt(square), rel=1e-6)


def test_the_metric_is_the_mean_over_the_window_with_unit_rows_in_raw_units():
    """Rows of norm 2 count as unit; s_1 of one sample with two projections is the smaller one.

    The first change is -3, the second, whose slope is negative, +0.3; L0 does not go below 1.
    """
    rule = paper(
        5, watched=measures(), scale=2.0, every_steps=4, window_steps=2, delta_max=3
    )  # fmt: skip
    weights = SimpleNamespace(W_dec=2 * torch.eye(2), b_dec=torch.zeros(2))
    for step, low in enumerate([9.0, 9.0, 1.0, 2.0, 9.0, 9.0, 5.0, 7.0]):
        rule.observe(step, weights, torch.tensor([[10.0, low]]))
    assert [point["s_n_dec"] for point in rule.course] == pytest.approx([0.75, 3.0])
    assert [(point["step"], point["l0"]) for point in rule.course] == [(4, 5), (8, 2)]
    assert [point["c_dec"] for point in rule.course] == [0, 0]
    assert rule.current == pytest.approx(2.3)


def test_l0_stays_between_one_and_the_highest():
    weights, x = SimpleNamespace(W_dec=torch.eye(2), b_dec=torch.zeros(2)), torch.ones(1, 2)
    low, high = (paper(start, highest=8, every_steps=1, window_steps=1) for start in (1.5, 7.5))
    low.observe(0, weights, x)
    high.change = lambda metric: 100.0
    high.observe(0, weights, x)
    assert (low.current, high.current) == (1, 8)


def c_dec_at(l0, true_l0=11.0):
    """A curve as the toy model's: rising below the true L0, flat for a while above it."""
    return 0.002 + 0.013 * max(0.0, true_l0 - l0) + 0.006 * max(0.0, l0 - true_l0 - 2)


def follow(rule, periods, noise=lambda period: 0.0):
    path = []
    for period in range(periods):
        path.append(rule.current)
        change = rule.change(c_dec_at(rule.current) + noise(period))
        rule.current = min(max(rule.current + change, 1.0), 50.0)
    return path


@pytest.mark.parametrize("start", [25, 20, 15, 5, 2])
def test_the_descent_ends_at_the_edge_from_any_start(start):
    path = follow(descent(start, rate=0.02), 200)
    assert path[-1] == pytest.approx(11, abs=0.75)
    assert max(path[-30:]) - min(path[-30:]) < 0.3


def test_the_descent_goes_up_to_its_ceiling_and_waits_there():
    path = follow(descent(5, climb=2, wait_periods=6), 8)
    assert path == [5, 10, 20, 25, 25, 25, 25, pytest.approx(25 * (1 - 0.009))]


def test_a_rise_before_c_dec_has_fallen_is_no_edge():
    """c_dec rises for a while at a high L0, as the SAE still learns: L0 comes down all the same."""
    path = follow(descent(25), 200, noise=lambda period: 0.03 if 20 < period < 40 else 0.0)
    assert path[40] < path[20] * (1 - 0.009) ** 19
    assert path[-1] == pytest.approx(11, abs=0.75)


def test_a_rise_that_stays_when_l0_goes_back_is_no_edge():
    path = follow(descent(25), 250, noise=lambda period: 0.01 if period > 75 else 0.0)
    assert path[90] > path[76]
    assert path[-1] == pytest.approx(11, abs=0.75)


def test_the_descent_acts_at_the_end_of_a_period():
    rule = Descent(DescentSchedule(kind="descent", every_steps=3), 4, 50, lambda W_dec: 0.25)
    weights = SimpleNamespace(W_dec=torch.eye(2))
    for step in range(6):
        rule.observe(step, weights, torch.ones(1, 2))
    assert rule.course == [
        {"step": 3, "l0": 4.0, "c_dec": 0.25},
        {"step": 6, "l0": 5.0, "c_dec": 0.25},
    ]
    assert rule.current == 6.25


@pytest.mark.parametrize("make", [lambda: descent(20), lambda: paper(20)])
def test_state_is_carried_over(make):
    whole, first, second = make(), make(), make()
    expected = follow(whole, 60)
    begun = follow(first, 33)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert begun + follow(second, 27) == expected


def test_schedules_are_built_by_kind():
    sections = (
        None,
        {"kind": "linear", "end_l0": 11, "ramp_steps": 3},
        {"kind": "paper", "n": 18},
        {"kind": "descent"},
    )
    built = [
        build_schedule(parse_settings(settings(5, l0_schedule=section)), NOTHING, 1.0)
        for section in sections
    ]
    assert [type(schedule) for schedule in built] == [Fixed, Linear, PaperRule, Descent]
    assert [schedule.l0(0) for schedule in built] == [5] * 4


def test_a_schedule_leaves_the_strings_of_others_as_they_are():
    plain = Training(training_tokens=10_000)
    assert canonical(plain) == '{"training_tokens":10000}'
    ramp = {"kind": "linear", "end_l0": 11, "ramp_steps": 3}
    text = canonical(Training(training_tokens=10_000, l0_schedule=ramp))
    assert json.loads(text) == {"training_tokens": 10_000, "l0_schedule": ramp}
    again = TypeAdapter(L0Schedule).validate_python({"kind": "descent", "rate": 0.009})
    assert canonical(again) == '{"kind":"descent"}'


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"kind": "linear", "end_l0": 33, "ramp_steps": 9}, "end_l0 33 is above d_sae 32"),
        ({"kind": "linear", "end_l0": 0.001, "ramp_steps": 9}, "selects no latent"),
        ({"kind": "paper", "n": 32}, "n 32 is not below d_sae 32"),
        ({"kind": "descent", "every_steps": 200}, "every_steps 200 is not below the 200 steps"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_in_one_line(schedule, message):
    with pytest.raises(InputError, match=message) as error:
        parse_settings(settings(l0_schedule=schedule))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"kind": "paper", "n": 9, "delta_min": 2}, "delta_min 2 is above delta_max 1; swap them"),
        ({"kind": "paper", "n": 9, "window_steps": 101}, "window_steps 101 is above every_steps"),
        ({"kind": "descent", "rate": 0.001}, "rate_min 0.001 is not below rate 0.001"),
    ],
)
def test_constants_that_contradict_each_other_are_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        TypeAdapter(L0Schedule).validate_python(schedule)


@pytest.mark.parametrize("engine", ["fused", "saelens"])
def test_l0_goes_down_along_a_training(tmp_path, engine):
    """From 12 to 4.5 over 100 steps; saved where it ends, its course beside it."""
    ramp = {"kind": "linear", "end_l0": 4.5, "ramp_steps": 100}
    manifest = train_toy(tmp_path, settings(12, engine=engine, l0_schedule=ramp))
    loss, course = (pd.read_csv(tmp_path / name) for name in ("loss.csv", "l0_course.csv"))
    expected = np.concatenate([12 - 0.075 * np.arange(100), np.full(100, 4.5)])
    assert np.abs(loss["l0_batch"] - expected).max() <= 1 / BATCH
    assert len(course) == 100
    assert course["step"].tolist() == list(range(2, STEPS + 1, 2))
    assert course["l0"].to_numpy() == pytest.approx(expected[1::2])
    assert course["c_dec"].iloc[-1] == pytest.approx(loss["c_dec"].iloc[-1], rel=1e-6)
    assert (manifest["l0"], manifest["l0_end"]) == (12, 4.5)
    assert manifest["l0_measured"] == pytest.approx(4.5, rel=0.02)
    assert "l0_course.csv" in manifest["outputs"]
    details = json.loads((tmp_path / "sae/cfg.json").read_text())["metadata"]
    assert details["training_architecture_details"]["k"] == 4.5


def test_rules_act_along_a_training(tmp_path):
    rule = {"kind": "paper_lower", "n": 9, "every_steps": 10, "window_steps": 3}
    manifest = train_toy(tmp_path, settings(6, l0_schedule=rule))
    course = pd.read_csv(tmp_path / "l0_course.csv")
    assert course["step"].tolist() == list(range(10, STEPS + 1, 10))
    assert course["l0"].iloc[:2].tolist() == [6, 5]
    changes = course["l0"].diff().abs().dropna()
    assert changes.between(0.1 - 1e-9, 1 + 1e-9).all()
    assert (course["s_n_dec"] > 0).all()
    assert manifest["l0_end"] != 6
    assert manifest["l0_measured"] == pytest.approx(manifest["l0_end"], rel=0.02)
