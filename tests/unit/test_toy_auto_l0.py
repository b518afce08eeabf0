"""The rules that find L0 during the training, on metrics made up for them."""

from __future__ import annotations

import math

import pytest
import torch

from correct_l0.toy_model.auto_l0 import AutoL0, DescentAutoL0, PaperAutoL0
from correct_l0.toy_model.auto_l0_settings import DescentRule, PaperRule
from correct_l0.toy_model.experiment_settings import AutoL0 as AutoL0Settings
from correct_l0.toy_model.experiments.auto_l0 import build_rule
from correct_l0.toy_model.sae import ToySae, weights_at

SHARED = {"n": 1, "every_steps": 100, "window_steps": 10, "highest": 50}


def paper(start=20.0, lower=True, **constants) -> PaperAutoL0:
    return PaperAutoL0(PaperRule(**constants), lower, start=start, **SHARED)


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
    for lower in (True, False):
        rule = paper(lower=lower)
        rule.change(0.5)
        rule.change(0.3)
        found[lower] = rule._mean / 0.1
    assert found == pytest.approx({True: 0.22, False: 0.18})


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
    delta = rule._delta
    slope = (0.9 - 0.8) / delta
    mean = (0.9 * 0.1 * 0.2 + 0.1 * slope) / (1 - 0.9**2)
    square = (0.999 * 0.001 * 0.04 + 0.001 * slope**2) / (1 - 0.999**2)
    assert rule.change(0.9) == pytest.approx(-0.1 * mean / math.sqrt(square), rel=1e-6)


class Recorder(AutoL0):
    """Keeps what it is told, and asks for the same change each time."""

    def __init__(self, change, **shared):
        super().__init__(**shared)
        self.wish, self.seen = change, []

    def change(self, metric):
        self.seen.append(metric)
        return self.wish


def test_the_metric_is_the_mean_over_the_window_with_unit_rows():
    """Rows of norm 2 count as unit; s_1 of one sample with two projections is the smaller one."""
    rule = Recorder(-3, start=5, n=1, every_steps=4, window_steps=2, highest=8)
    sae = ToySae(weights_at(2 * torch.eye(2)), 1e-3, rule)
    for step, low in enumerate([9.0, 9.0, 1.0, 2.0, 9.0, 9.0, 5.0, 7.0]):
        rule.observe(step, sae, torch.tensor([[10.0, low]]))
    assert rule.seen == pytest.approx([1.5, 6.0])
    assert [point["l0"] for point in rule.trajectory] == [5, 2]
    assert [point["step"] for point in rule.trajectory] == [4, 8]
    assert rule.current == 1


def test_l0_stays_between_one_and_the_highest():
    rule = Recorder(100, start=5, n=1, every_steps=1, window_steps=1, highest=8)
    sae = ToySae(weights_at(torch.eye(2)), 1e-3, rule)
    rule.observe(0, sae, torch.tensor([[1.0, 2.0]]))
    assert rule.current == 8


def c_dec_at(l0: float, true_l0: float = 11.0) -> float:
    """A curve as the toy model's: rising below the true L0, flat for a while above it."""
    return 0.002 + 0.013 * max(0.0, true_l0 - l0) + 0.006 * max(0.0, l0 - true_l0 - 2)


def follow(rule: DescentAutoL0, periods: int, noise=lambda period: 0.0) -> list[float]:
    path = []
    for period in range(periods):
        path.append(rule.current)
        rule.trajectory.append({"c_dec": c_dec_at(rule.current) + noise(period)})
        rule.current = min(max(rule.current + rule.change(0.0), 1.0), rule.highest)
    return path


@pytest.mark.parametrize("start", [25, 20, 15, 5, 2])
def test_the_descent_ends_at_the_edge_from_any_start(start):
    rule = DescentAutoL0(DescentRule(rate=0.02), start=start, **SHARED)
    path = follow(rule, 200)
    assert path[-1] == pytest.approx(11, abs=0.75)
    assert max(path[-30:]) - min(path[-30:]) < 0.3


def test_the_descent_goes_up_to_its_ceiling_and_waits_there():
    rule = DescentAutoL0(DescentRule(climb=2, wait_periods=6), start=5, **SHARED)
    assert follow(rule, 8) == [5, 10, 20, 25, 25, 25, 25, pytest.approx(25 * (1 - 0.009))]


def test_a_rise_before_c_dec_has_fallen_is_no_edge():
    """c_dec rises for a while at a high L0, as the SAE still learns: L0 comes down all the same."""
    rule = DescentAutoL0(DescentRule(), start=25, **SHARED)
    path = follow(rule, 200, noise=lambda period: 0.03 if 20 < period < 40 else 0.0)
    assert path[40] < path[20] * (1 - 0.009) ** 19
    assert path[-1] == pytest.approx(11, abs=0.75)


def test_a_rise_that_stays_when_l0_goes_back_is_no_edge():
    rule = DescentAutoL0(DescentRule(), start=25, **SHARED)
    path = follow(rule, 250, noise=lambda period: 0.01 if period > 75 else 0.0)
    assert path[90] > path[76]
    assert path[-1] == pytest.approx(11, abs=0.75)


def test_state_is_carried_over():
    whole, first = (DescentAutoL0(DescentRule(), start=20, **SHARED) for _ in range(2))
    expected = follow(whole, 60)
    begun = follow(first, 33)
    second = DescentAutoL0(DescentRule(), start=20, **SHARED)
    second.load_state_dict(first.state_dict())
    assert begun + follow(second, 27) == expected
    paper_state = paper()
    paper_state.change(0.5)
    other = paper()
    other.load_state_dict(paper_state.state_dict())
    other.current = paper_state.current
    assert other.change(0.3) == paper_state.change(0.3)


def test_rules_are_built_by_name():
    settings = AutoL0Settings(start_l0=(5,))
    rules = [build_rule(name, 5, settings, 50) for name in settings.rules]
    assert [type(rule) for rule in rules] == [PaperAutoL0, PaperAutoL0, DescentAutoL0]
    assert [rule._sign for rule in rules[:2]] == [-1, 1]
