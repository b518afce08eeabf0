"""A search for the L0 from end to end: its rounds, a kill in the middle, what is said before."""

from __future__ import annotations

import copy
import json

import pandas as pd
from search_runs import CONFIG, FIRST, planned, rounds
from workflow_runs import planned_jobs, run_snakemake, stale_lines, why


def test_one_command_goes_from_the_first_round_to_the_report(finished_search):
    first, second = rounds(finished_search)
    assert first["trained"] == first["l0"] == FIRST
    assert second["outcome"] == "read"
    assert second["trained"] == first["add_l0"] != []
    assert second["l0"] == sorted([*FIRST, *first["add_l0"]])
    assert (first["trainings"], second["trainings"]) == (8, 12)
    assert second["add_l0"] == []
    assert second["why"] == "the budget of 12 trainings is used"
    # The kill fell into the second round; the run after it read that round and started once more.
    assert (finished_search / "again.txt").read_text().count("Job stats:") == 2


def test_a_killed_search_goes_on_to_the_same_points(finished_search):
    """Its second round is what the record of the first one names, which was written before."""
    left = json.loads((finished_search / "planned.txt").read_text())
    assert left["read_round"] == 1
    assert "make_world" not in left
    assert "write_report" not in left
    said = " ".join((finished_search / "why.txt").read_text().split())
    added = ", ".join(f"{x:g}" for x in rounds(finished_search)[0]["add_l0"])
    assert (
        f"Round 2 trains L0 {added} ({rounds(finished_search)[0]['why']}): 4 trainings, 8" in said
    )
    assert "more trainings follow" not in said


def test_the_report_shows_every_choice(finished_search):
    results = finished_search / "results" / "tiny-search"
    page = (results / "report.html").read_text()
    table = page.split('<section id="rounds">')[1].split("</section>")[0]
    assert table.count("<tr>") == 3
    assert "spaced evenly on log L0" in table
    assert rounds(finished_search)[0]["why"] in table
    assert "It ended because the budget of 12 trainings is used." in table
    read = pd.read_csv(results / "tables" / "rounds.csv")
    assert read["trainings"].tolist() == [8, 12]
    summary = (results / "summary.txt").read_text()
    assert "The search ended after 2 rounds: the budget of 12 trainings is used." in summary
    assert "saes.l0.budget: 24" in summary


def test_nothing_is_left_to_do(finished_search):
    assert planned(finished_search) == {}
    assert "nothing would run" in why(finished_search, CONFIG)


def test_another_end_reads_again_and_trains_nothing(finished_search):
    config = copy.deepcopy(CONFIG)
    config["saes"]["l0"]["until"] = 100
    run = run_snakemake(finished_search, "--dry-run", config=config)
    assert planned_jobs(run) == {"read_round": 1}
    (line,) = [line for line in stale_lines(run) if line.startswith("rounds: ")]
    assert "until" in line
    assert "100" in line


def test_a_new_search_says_what_its_first_round_does_and_costs(tmp_path):
    said = " ".join(why(tmp_path, CONFIG).split())
    assert (
        "Round 1 trains L0 1.3, 2.2, 3.7, 6.2 (spaced evenly on log L0): 8 trainings, 0 before"
        in said
    )
    assert "At most 4 more trainings follow (budget 12)" in said
    assert "reading of the round: not made yet" in said


def test_where_training_is_too_short_the_same_command_goes_on_to_a_longer_one(tmp_path):
    """Five steps leave the decoder where it started, and so do ten."""
    config = copy.deepcopy(CONFIG)
    config["saes"] |= {"l0": {"from": 1, "to": 8, "first": 3, "until": 2, "longer": 2}}
    config["saes"] |= {"seeds": [0]}
    config["saes"]["training"]["training_tokens"] = 5 * 256
    run = run_snakemake(tmp_path, "--until", "read_round", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    first, second = rounds(tmp_path)
    assert first["outcome"] == second["outcome"] == "not trained enough"
    assert first["trained"] == first["add_l0"] == second["trained"] == [1.4, 2.8, 5.7]
    assert (first["tokens"], second["tokens"]) == (1280, 2560)
    assert (first["trainings"], second["trainings"]) == (3, 9)
    assert (second["add_l0"], second["setting"]) == ([], "longer")
    saes = tmp_path / "results" / "tiny-search" / "saes"
    for folder in (saes, saes / "longer_2"):
        assert len(list(folder.glob("l0_*/seed_0/manifest.json"))) == 3
    # Neither length is trained, measured or read again.
    left = planned(tmp_path, config)
    assert {"gather_tables", "write_report"} <= left.keys()
    assert not {"train_points", "measure_points", "read_round"} & left.keys()
