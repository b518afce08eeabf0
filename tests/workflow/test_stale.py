"""Results that are lost or damaged, or that Snakemake has no record of: manifests decide."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from workflow_runs import planned_jobs, run_snakemake, stale_lines, tiny_config

from correct_l0.errors import InputError
from correct_l0.sources.language_model.reader import open_store

RESULTS = Path("results/tiny")
REPORT = {"gather_tables": 1, "read_curves": 1, "plot_figures": 1, "write_report": 1}


@pytest.fixture
def study(tiny_study, tmp_path) -> Path:
    """A copy of the finished study that a test may damage."""
    return Path(shutil.copytree(tiny_study, tmp_path / "study"))


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-10])


def forget(study: Path) -> None:
    shutil.rmtree(study / ".snakemake" / "metadata")


def test_without_a_record_exactly_what_changed_is_made_again(study):
    forget(study)
    assert planned_jobs(run_snakemake(study, "--dry-run")) == {}
    config = tiny_config()
    config["saes"]["overrides"][32]["lr"] = 2e-3
    run = run_snakemake(study, "--dry-run", config=config)
    points = {"train_points": 2, "measure_points": 2, "probe_points": 2, "compare_seeds": 1}
    assert planned_jobs(run) == {**points, **REPORT}
    assert stale_lines(run) == [
        "saes l0 32 seed 0, l0 32 seed 1: lr 0.001 -> 0.002",
        "tables: saes.overrides.32.0.lr 0.001 -> 0.002",
    ]
    # Of a file asked for by name, only what leads to it.
    for wanted, found in (
        ("measured/seed_0/l0_32.json", {"train_points": 1, "measure_points": 1}),
        ("probing/groups/seed_1/l0_4-32.json", {"train_points": 1, "probe_points": 1}),
        ("measured/seed_0/l0_4-10.5.json", {"measure_points": 1}),
        ("saes/groups/seed_0/l0_4-32.json", {"train_points": 1}),
    ):
        run = run_snakemake(study, "--dry-run", f"{RESULTS}/{wanted}", config=config)
        assert planned_jobs(run) == found


def test_damaged_results_of_points_are_made_again_with_what_follows(study):
    saes = study / RESULTS / "saes"
    truncate(saes / "l0_4/seed_0/sae/sae_weights.safetensors")
    change_a_byte(saes / "l0_4/seed_1/sae/sae_weights.safetensors")
    (saes / "l0_10.5/seed_0/loss.csv").unlink()
    shutil.rmtree(saes / "l0_10.5/seed_1")
    (study / RESULTS / "decoder_metrics/l0_32/seed_0/manifest.json").unlink()
    change_a_byte(study / RESULTS / "probing/l0_32/seed_1/scores.csv")
    (study / RESULTS / "probing/baselines/scores.csv").unlink()
    run = run_snakemake(study, "--dry-run")
    assert planned_jobs(run) == {
        "train_points": 4, "measure_points": 5, "probe_points": 5, "compare_seeds": 1,
        "probe_baselines": 1, **REPORT,
    }  # fmt: skip
    changed = "bytes differ from its manifest's checksum"
    lost = "not there (interrupted, failed or deleted)"
    said = [re.sub(r"\d+ bytes, not \d+", "too short", line) for line in stale_lines(run)]
    assert said == sorted(
        [
            "saes l0 4 seed 0: sae/sae_weights.safetensors too short",
            f"saes l0 4 seed 1: sae/sae_weights.safetensors {changed}",
            "saes l0 10.5 seed 0: loss.csv missing",
            f"saes l0 10.5 seed 1: {lost}",
            f"decoder_metrics l0 32 seed 0: {lost}",
            f"probing l0 32 seed 1: scores.csv {changed}",
            "probing baselines: scores.csv missing",
        ]
    )


@pytest.mark.parametrize(
    ("damage", "file", "expected"),
    [
        (change_a_byte, "tables/points.parquet", list(REPORT)),
        (Path.unlink, "tables/manifest.json", list(REPORT)),
        (truncate, "tables/verdict.json", list(REPORT)[1:]),
        (truncate, "figures/f1.svg", list(REPORT)[2:]),
        (change_a_byte, "report.html", list(REPORT)[3:]),
    ],
)
def test_a_damaged_part_of_a_report_is_made_again_with_the_rest(study, damage, file, expected):
    damage(study / RESULTS / file)
    assert planned_jobs(run_snakemake(study, "--dry-run")) == dict.fromkeys(expected, 1)


def test_another_recipe_without_a_record(study):
    """A result of another recipe, as an older version of the code would have left it."""
    forget(study)
    for path, wanted in (
        (RESULTS / "probing/baselines/manifest.json", {"probe_baselines": 1, **REPORT}),
        (Path("results/activations/tiny/text/manifest.json"), {"stage_text": 1}),
    ):
        manifest = study / path
        text = manifest.read_text()
        manifest.write_text(re.sub(r'"recipe": \d+', '"recipe": 0', text))
        found = planned_jobs(run_snakemake(study, "--dry-run"))
        assert wanted.items() <= found.items()
    assert (found["train_points"], found["cache_activations"]) == (6, 2)


@pytest.mark.parametrize("damage", [change_a_byte, truncate, Path.unlink])
def test_a_damaged_shard_is_refused_and_no_reason_to_cache_again(study, damage):
    cache = study / "results/activations/tiny"
    damage(cache / "store/training/acts/c/1/0")
    assert planned_jobs(run_snakemake(study, "--dry-run")) == {}
    with pytest.raises(InputError, match=r"acts/c/1/0: .*(delete|again)"):
        store = open_store(cache / "manifest.json")
        store.rows("training", 0, store.n_training)


def test_where_the_activations_were_deleted_nothing_is_made_until_they_are_needed(study):
    """Then every SAE is held against the new ones, in a job that trains it if they are others."""
    shutil.rmtree(study / "results/activations")
    assert planned_jobs(run_snakemake(study, "--dry-run")) == {}
    config = tiny_config()
    config["title"] = "Another title"
    planned = planned_jobs(run_snakemake(study, "--dry-run", config=config))
    assert (planned["seal_activations"], planned["train_points"]) == (1, 6)
    assert "measure_points" not in planned


def test_what_was_made_again_stands(study):
    """An SAE whose file is damaged and whose record is lost: the same numbers, then nothing."""
    weights = study / RESULTS / "saes/l0_4/seed_0/sae/sae_weights.safetensors"
    s_n_dec = study / RESULTS / "decoder_metrics/l0_4/seed_0/s_n_dec.csv"
    compared = study / RESULTS / "stability/l0_4/stability.csv"
    bits = {path: path.read_bytes() for path in (weights, s_n_dec, compared)}
    numbers = numbers_of_points(study)
    forget(study)
    truncate(weights)
    s_n_dec.unlink()
    compared.with_name("manifest.json").unlink()
    tables = f"{RESULTS}/tables/manifest.json"
    run = run_snakemake(study, tables)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert {path: path.read_bytes() for path in bits} == bits
    pd.testing.assert_frame_equal(numbers_of_points(study), numbers, check_exact=True)
    assert planned_jobs(run_snakemake(study, "--dry-run", tables)) == {}
    # The report follows, of whose tables the times differ.
    assert planned_jobs(run_snakemake(study, "--dry-run")) == dict.fromkeys([*REPORT][1:], 1)


def numbers_of_points(study: Path) -> pd.DataFrame:
    """Return the table of points without how long they took."""
    points = pd.read_csv(study / RESULTS / "tables" / "points.csv")
    return points.drop(columns=["tokens_per_s", "data_wait_fraction", "wall_s"])
