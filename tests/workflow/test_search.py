"""A search for the L0 from end to end: its rounds, a kill in the middle, what is said before."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from slurm_runs import Run, job_logs, prepare, wait_until
from test_why import why
from workflow_runs import planned_jobs, run_snakemake, snakemake_command, stale_lines

CONFIG = yaml.safe_load(Path(__file__).with_name("tiny-search.yaml").read_text())
FIRST = [1.3, 2.2, 3.7, 6.2]
"""Gaps of 8^(1/4) = 1.68, from half a one above 1."""
ROUND = "results/tiny-search/rounds/round_{}.json"


def rounds(folder: Path) -> list[dict]:
    """Return the records of a search, without how long its trainings took."""
    paths = sorted((folder / "results" / "tiny-search" / "rounds").glob("round_?.json"))
    records = [json.loads(path.read_text()) for path in paths]
    return [{name: x for name, x in r.items() if name != "training_s"} for r in records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which one command was killed after the first round, and the next one went on."""
    folder = tmp_path_factory.mktemp("search")
    command = snakemake_command(folder, config=CONFIG)
    with open(folder / "killed.txt", "w") as said:
        run = subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, start_new_session=True
        )
        end = time.monotonic() + 900
        while "l0_" not in " ".join(trained_in_second(folder)) and time.monotonic() < end:
            assert run.poll() is None, (folder / "killed.txt").read_text()[-5000:]
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert len(rounds(folder)) == 1
    subprocess.run([*command, "--unlock"], cwd=folder, check=True, capture_output=True)
    (folder / "planned.txt").write_text(json.dumps(planned(folder)))
    (folder / "why.txt").write_text(why(folder, CONFIG))
    again = run_snakemake(folder, config=CONFIG)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-9000:]
    (folder / "again.txt").write_text(again.stdout + again.stderr)
    return folder


def trained_in_second(folder: Path) -> list[str]:
    """Return the folders of SAEs that the first round does not have."""
    saes = folder / "results" / "tiny-search" / "saes"
    first = {f"l0_{x:g}" for x in FIRST} | {"groups"}
    return [path.name for path in saes.glob("*") if path.name not in first]


def planned(folder: Path, config: dict = CONFIG, *arguments: str) -> dict[str, int]:
    return planned_jobs(run_snakemake(folder, "--dry-run", *arguments, config=config))


def test_one_command_goes_from_the_first_round_to_the_report(finished):
    first, second = rounds(finished)
    assert first["trained"] == first["l0"] == FIRST
    assert second["outcome"] == "read"
    assert second["trained"] == first["add_l0"] != []
    assert second["l0"] == sorted([*FIRST, *first["add_l0"]])
    assert (first["trainings"], second["trainings"]) == (8, 12)
    assert second["add_l0"] == []
    assert second["why"] == "the budget of 12 trainings is used"
    # The kill fell into the second round; the run after it read that round and started once more.
    assert (finished / "again.txt").read_text().count("Job stats:") == 2


def test_a_killed_search_goes_on_to_the_same_points(finished):
    """Its second round is what the record of the first one names, which was written before."""
    left = json.loads((finished / "planned.txt").read_text())
    assert left["read_round"] == 1
    assert "make_world" not in left
    assert "write_report" not in left
    said = " ".join((finished / "why.txt").read_text().split())
    added = ", ".join(f"{x:g}" for x in rounds(finished)[0]["add_l0"])
    assert f"Round 2 trains L0 {added} ({rounds(finished)[0]['why']}): 4 trainings, 8" in said
    assert "more trainings follow" not in said


def test_the_report_shows_every_choice(finished):
    results = finished / "results" / "tiny-search"
    page = (results / "report.html").read_text()
    table = page.split('<section id="rounds">')[1].split("</section>")[0]
    assert table.count("<tr>") == 3
    assert "spaced evenly on log L0" in table
    assert rounds(finished)[0]["why"] in table
    assert "It ended because the budget of 12 trainings is used." in table
    read = pd.read_csv(results / "tables" / "rounds.csv")
    assert read["trainings"].tolist() == [8, 12]
    summary = (results / "summary.txt").read_text()
    assert "The search ended after 2 rounds: the budget of 12 trainings is used." in summary
    assert "saes.l0.budget: 24" in summary


def test_nothing_is_left_to_do(finished):
    assert planned(finished) == {}
    assert "nothing would run" in why(finished, CONFIG)


def test_another_end_reads_again_and_trains_nothing(finished):
    config = copy.deepcopy(CONFIG)
    config["saes"]["l0"]["until"] = 100
    run = run_snakemake(finished, "--dry-run", config=config)
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


def test_on_a_cluster_it_goes_the_same_way(finished, slurm, tmp_path):
    slurm.clear()
    folder = prepare(tmp_path / "study", CONFIG)
    run = Run(folder)

    def ended() -> bool:
        assert run.process.poll() is None, run.text() + job_logs(folder)
        return len(rounds(folder)) == 2

    wait_until(ended, "the record of the second round")
    assert rounds(folder) == rounds(finished)
