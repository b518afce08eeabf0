"""A search over a made-up world whose seeds agree only where they are trained longer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import made_up
from correct_l0.provenance.manifest import write_json, write_manifest
from correct_l0.reading import RECIPE
from correct_l0.reading.search import Said, next_points
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.report.build import build_tables
from correct_l0.report.gather import load_tables
from correct_l0.report.rounds import build_round, next_of_search
from correct_l0.report.rounds_words import LONGER, _rows
from correct_l0.standing.chain import examine_rounds, measured_keys
from correct_l0.standing.stale import find
from correct_l0.study.plan import Plan
from correct_l0.study.report import round_settings
from correct_l0.study.rounds import follow, has_ended, manifest_of
from correct_l0.why.search import search_in_words

FIRST = [5.7, 12.0, 24.0, 50.0, 100.0, 210.0]
TOKENS = 2_097_152


def made_up_plan(**search) -> Plan:
    return made_up.world_plan(l0={"from": 4, "to": 300, "first": 6, "until": 4, **search})


def made(plan: Plan, shared: tuple[float, ...]) -> None:
    """Write what is trained and measured in a round, and read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_up, "SHARED", shared)
        made_up.write_study(plan)
    build_round(plan, plan.rounds)


def said(plan: Plan) -> str:
    return " ".join(" ".join(search_in_words([plan], {})).split())


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """The folder of a search whose first SAEs share nothing, and those of 4 times the tokens do."""
    folder = tmp_path_factory.mktemp("longer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = made_up_plan()
        (folder / "first.txt").write_text(said(plan))
        made(plan, (0.02,) * 8)
        plan = follow(plan)
        (folder / "second.txt").write_text(said(plan))
        made(plan, made_up.PEAKED)
        build_tables(follow(plan), Path(plan.results) / "tables")
    return folder


@pytest.fixture
def plan(searched, monkeypatch) -> Plan:
    monkeypatch.chdir(searched)
    return follow(made_up_plan())


def test_it_goes_on_to_longer_trainings_and_keeps_the_shorter_ones(plan, searched):
    assert (plan.rounds, has_ended(plan), plan.study.saes.factors) == (2, True, (1, 4))
    first, second = (json.loads(Path(plan.round_file(n)).read_text()) for n in (1, 2))
    assert (first["outcome"], second["outcome"]) == ("not reproducible", "read")
    assert first["add_l0"] == second["trained"] == second["l0"] == FIRST
    assert (first["add_factor"], second["setting"]) == (4, "until")
    assert (first["tokens"], second["tokens"]) == (TOKENS, 4 * TOKENS)
    # 12 trainings, then 12 that count four times.
    assert (first["trainings"], second["trainings"]) == (12, 60)
    assert second["training_s"] == pytest.approx(2 * first["training_s"])
    assert len(list(Path(plan.results, "saes").glob("l0_*/seed_*/manifest.json"))) == 12
    assert len(list(Path(plan.results, "saes/longer_4").glob("l0_*/seed_*/manifest.json"))) == 12


def test_what_each_round_does_and_costs_is_said_before(searched):
    first, second = ((searched / f"{name}.txt").read_text() for name in ("first", "second"))
    assert "it begins anew on up to 4 times the training_tokens: 12 trainings that count 4" in first
    assert (
        "Round 2 trains L0 5.7, 12, 24, 50, 100, 210 (two seeds do not find the same latents: the "
        "first points again, on 4 times the training_tokens): 12 trainings that count 4 times "
        "each, 12 before it; about"
    ) in second
    assert "begins anew" not in second


def test_longer_trainings_that_do_not_fit_in_the_budget_are_not_promised():
    assert "begins anew" not in said(made_up_plan(longer=1))
    # 12 trainings, and 12 that count twice.
    assert "on up to 2 times the" in said(made_up_plan(budget=36))
    assert "begins anew" not in said(made_up_plan(budget=35))


def test_the_records_stand_without_the_shorter_saes(plan, tmp_path, monkeypatch):
    shutil.copytree(Path.cwd() / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    assert find(plan) == []
    for room in ("saes", "decoder_metrics", "stability", "recovery"):
        for folder in Path(plan.results, room).glob("l0_*"):
            shutil.rmtree(folder)
    assert find(plan) == []
    assert follow(made_up_plan()) == plan
    # What the last round was read from is looked at.
    found = examine_rounds(plan, dict.fromkeys(measured_keys(plan), "another"))
    assert found["rounds/round_1"].wrong is None
    assert "made from another saes/l0_5.7/seed_0, " in found["rounds/round_2"].wrong.words


def test_the_report_shows_the_tokens_of_each_round(plan):
    tables = load_tables(Path(plan.results) / "tables")
    rows = _rows(tables["rounds"])
    assert [row["tokens"] for row in rows] == ["2,097,152", "8,388,608"]
    assert rows[1]["why"].startswith("two seeds do not find the same latents: the first points ag")
    assert [row["trainings"] for row in rows] == ["12", "60"]
    assert "count as often" in LONGER


@pytest.mark.parametrize(
    ("given", "line"),
    [
        # 12 spent; 12 that count four times need 60.
        ({"budget": 20}, "saes.l0.budget: 60"),
        ({"budget": 59}, "saes.l0.budget: 118"),
        ({"longer": 1}, "saes.l0.longer: 2"),
    ],
)
def test_the_end_says_with_what_it_goes_on(tmp_path, monkeypatch, given, line):
    monkeypatch.chdir(tmp_path)
    plan = made_up_plan(**given)
    write_end(plan)
    verdict = {"decision": {"add_l0": []}, "next": {"sentence": "", "line": None}}
    told = next_of_search(plan, verdict | {"is_hint": False})
    assert told["line"] == line
    assert told["sentence"].startswith("The search ended after 1 round: two seeds do not find")


def test_a_search_of_one_seed_ends_with_a_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = made_up_plan(budget=20)
    saes = plan.study.saes.model_copy(update={"seeds": (0,)})
    plan = replace(plan, study=plan.study.model_copy(update={"saes": saes}))
    write_end(plan)
    seed = {"sentence": "Train a second seed.", "line": "saes.seeds: [0, 1]"}
    told = next_of_search(plan, {"decision": {"add_l0": []}, "next": seed, "is_hint": True})
    assert told["line"] == seed["line"]
    assert told["sentence"].endswith(
        "Train a second seed. Its SAEs count: raise saes.l0.budget to 40."
    )


def write_end(plan):
    """Write the record of a first round after which a search has ended."""
    saes = plan.study.saes
    end = next_points(saes.search, Said(NOT_REPRODUCIBLE), saes.l0, 2)
    path = plan.round_file(1)
    write_json(path, {**vars(end), "add_factor": end.factor, "outcome": NOT_REPRODUCIBLE})
    facts = {"stage": "read_round", "recipe": RECIPE, "parameters": round_settings(plan)}
    write_manifest(manifest_of(path), inputs={}, outputs=[path], **facts)
