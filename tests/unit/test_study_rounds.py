"""The records of a search's rounds: which are followed, and where the search stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from correct_l0.provenance.manifest import write_json, write_manifest
from correct_l0.reading import RECIPE
from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan
from correct_l0.study.report import plan_of, report_settings, round_settings
from correct_l0.study.rounds import (
    follow,
    has_ended,
    manifest_of,
    open_rounds,
    recorded_rounds,
)

SEARCH = {"from": 1, "to": 8, "first": 4, "until": 1.5}
RAW = {
    "study": "s",
    "synthetic": {"features": 20, "d_in": 20, "held_out_tokens": 8192},
    "saes": {"d_sae": 20, "l0": SEARCH, "training": {"training_tokens": 8192}},
    "decoder_metrics": {"n": [10], "batch_tokens": 1024},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_with(**changes) -> Plan:
    """Return the plan as the configuration alone has it, some settings of the search changed."""
    raw = {**RAW, "saes": {**RAW["saes"], "l0": {**SEARCH, **changes}}}
    return Plan(parse_study(raw)[0])


def record(
    plan: Plan, number: int, add_l0: list[float], recipe: int = RECIPE, factor: int = 1
) -> None:
    """Write the record of a round."""
    path = plan.round_file(number)
    write_json(path, {"add_l0": add_l0, "add_factor": factor, "why": "made up"})
    settings = round_settings(plan.at_round(number))
    facts = {"stage": "read_round", "recipe": recipe, "parameters": settings, "inputs": {}}
    write_manifest(manifest_of(path), outputs=[path], **facts)


def test_a_new_search_has_its_first_points_and_a_record_to_write():
    plan = plan_with()
    assert follow(plan) == plan
    assert plan.labels == ["1.3", "2.2", "3.7", "6.2"]
    assert open_rounds(plan) == ["results/s/rounds/round_1.json"]


def test_recorded_rounds_are_followed_to_the_end():
    plan = plan_with()
    record(plan, 1, [2.8, 5.7])
    second = follow(plan)
    assert second.labels == ["1.3", "2.2", "2.8", "3.7", "5.7", "6.2"]
    assert second.study.saes.rounds == ((1.3, 2.2, 3.7, 6.2), (2.8, 5.7))
    assert open_rounds(second) == ["results/s/rounds/round_2.json"]
    assert second.at_round(1) == plan
    assert recorded_rounds(second) == ["results/s/rounds/round_1.json"]
    record(second, 2, [])
    assert follow(plan) == second == follow(second)
    assert has_ended(second)
    assert open_rounds(second) == []


def test_a_longer_round_begins_anew_beside_the_shorter_ones():
    """First points 1.3 2.2 3.7 6.2; 2.8 after them; then 1.3 and 2.2 on four times the tokens."""
    plan = plan_with()
    record(plan, 1, [2.8])
    record(follow(plan), 2, [1.3, 2.2], factor=4)
    longer = follow(plan)
    saes = longer.study.saes
    assert (saes.l0, saes.factors, saes.factor) == ((1.3, 2.2), (1, 1, 4), 4)
    assert saes.training.training_tokens == 4 * 8192
    assert saes.spent == 4 + 1 + 4 * 2
    assert longer.point_folder("saes", "2.2", 0) == "results/s/saes/longer_4/l0_2.2/seed_0"
    assert longer.round_file(3) == "results/s/rounds/round_3.json"
    second = longer.at_round(2)
    assert second.labels == ["1.3", "2.2", "2.8", "3.7", "6.2"]
    assert second.study.saes.training.training_tokens == 8192
    assert second.point_folder("saes", "2.2", 0) == "results/s/saes/l0_2.2/seed_0"
    assert plan_of(report_settings(longer)).study.saes == saes
    record(longer, 3, [1.7], factor=4)
    assert follow(plan).labels == ["1.3", "1.7", "2.2"]
    assert follow(longer) == follow(plan)


@pytest.mark.parametrize("changes", [{"until": 1.2}, {"budget": 9}, {"to": 7}, {"longer": 2}])
def test_a_record_of_another_search_is_not_followed(changes):
    record(plan_with(), 1, [2.8])
    plan = plan_with(**changes)
    assert follow(plan) == plan
    assert not has_ended(plan)


def test_a_record_of_another_recipe_or_damaged_is_not_followed():
    plan = plan_with()
    record(plan, 1, [2.8], recipe=RECIPE - 1)
    assert follow(plan) == plan
    record(plan, 1, [2.8])
    Path(plan.round_file(1)).write_text("[]")
    assert follow(plan) == plan


def test_a_title_and_the_device_change_no_round():
    record(plan_with(), 1, [2.8])
    raw = {**RAW, "title": "Another", "device": "cuda"}
    assert follow(Plan(parse_study(raw)[0])).rounds == 2


def test_a_list_has_no_rounds():
    raw = {**RAW, "saes": {**RAW["saes"], "l0": [1, 2, 4]}}
    plan = Plan(parse_study(raw)[0])
    assert (follow(plan), recorded_rounds(plan), has_ended(plan)) == (plan, [], True)


def test_a_plan_that_follows_rounds_keeps_its_places_and_remarks():
    kept = replace(plan_with(), root=Path("elsewhere"), doubts=("a remark",))
    followed = kept.at_round(1)
    assert (followed.places, followed.root, followed.doubts) == (
        kept.places,
        Path("elsewhere"),
        ("a remark",),
    )
