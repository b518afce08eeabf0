"""A study of SAEs that exist already: from their folders to the report, without a source."""

from __future__ import annotations

import copy
import json
import shutil
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from workflow_runs import planned_jobs, run_snakemake, stale_lines, tiny_config

import imported_toy as toy
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine

L0 = {2: 1.2, 4: 0.6, 8: 0.0, 16: 0.3, 32: 0.5}
"""How much of one common direction the decoders have, by L0: least at 8."""
CONFIG = {
    "study": "tiny",
    "device": "cpu",
    "saes": {
        "import": {
            "folders": ["mine"],
            "d_in": 16,
            "d_sae": 48,
            "true_l0": 9,
            "scores": "theirs",
        },
    },
}
ALL = {
    "fetch_weights": 1, "train_points": 1, "measure_points": 1, "gather_tables": 1,
    "read_curves": 1, "plot_figures": 1, "write_report": 1,
}  # fmt: skip


def weights(l0: int) -> dict[str, torch.Tensor]:
    return toy.overlapping(L0[l0], seed=l0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("imports")
    for l0 in L0:
        name = f"layer_3/average_l0_{l0}"
        toy.write_gemma_2(folder / f"mine/{name}", weights(l0))
        toy.write_scores(folder / "theirs", "r", name, scr=l0 / 100, absorption=0.5)
    assert planned_jobs(run_snakemake(folder, "--dry-run", config=CONFIG)) == ALL
    made = run_snakemake(folder, config=CONFIG)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-9000:]
    return folder


def test_the_report_says_which_of_them_is_right(finished):
    results = finished / "results/tiny"
    c_dec = pd.read_parquet(results / "tables/c_dec.parquet").set_index("l0")["value"]
    for l0 in L0:
        assert c_dec[l0] == pytest.approx(mean_absolute_cosine(weights(l0)["W_dec"]), abs=1e-6)
    summary = (results / "summary.txt").read_text()
    assert "c_dec is lowest at L0 8" in summary
    assert "There is no second seed" in summary and "only weights were read" in summary
    assert "a term that keeps decoder rows apart (orthogonality) is unknown" in summary
    told = "The true L0 is 9, as saes.import.true_l0 tells. No L0 is named that could be held"
    page = (results / "report.html").read_text()
    assert told in summary and "<dt>True L0</dt><dd>9</dd>" in page
    assert "the weights alone" in page and "Training tokens" not in page
    points = pd.read_parquet(results / "tables/points.parquet").set_index("l0")
    assert points["published_scr"].to_dict() == {l0: l0 / 100 for l0 in L0}
    assert "Scores that others published" in page and "SCR, 20 latents" in page
    assert planned_jobs(run_snakemake(finished, "--dry-run", config=CONFIG)) == {}


def test_another_sae_in_a_folder_is_imported_again(finished, tmp_path):
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    toy.write_gemma_2(study / "mine/layer_3/average_l0_4", weights(8))
    dry = run_snakemake(study, "--dry-run", config=CONFIG)
    assert planned_jobs(dry) == ALL
    assert any(line.startswith("weights: ") for line in stale_lines(dry))


def test_another_published_score_makes_the_report_again_and_nothing_before(finished):
    write = partial(toy.write_scores, finished / "theirs", "r", "layer_3/average_l0_4")
    write(scr=0.9)
    planned = planned_jobs(run_snakemake(finished, "--dry-run", config=CONFIG))
    write(scr=0.04)
    assert set(ALL) - set(planned) == {"fetch_weights", "train_points", "measure_points"}


def test_a_mixed_selection_is_refused_in_one_line(finished):
    config = copy.deepcopy(CONFIG)
    toy.write_gemma_2(finished / "other/layer_4/average_l0_4", weights(8))
    config["saes"]["import"]["folders"] = ["mine", "other"]
    dry = run_snakemake(finished, "--dry-run", config=config)
    errors = [line for line in dry.stderr.splitlines() if line.startswith("error: ")]
    assert dry.returncode != 0 and len(errors) == 1
    assert 'layer 4 48 latents of 16 (1): select: "other/layer_4/average_l0_4' in errors[0]


def test_with_activations_they_are_measured_and_probed_like_those_trained_on_them(
    tiny_study, tmp_path
):
    """The tiny study's own SAEs, imported from its folder beside its cache."""
    study = Path(shutil.copytree(tiny_study, tmp_path / "study"))
    config = {**tiny_config(), "study": "again"}
    picked = {"folders": ["results/tiny/saes"], "select": "saes/l0_{4,32}/seed_0/sae"}
    config["saes"] = {"import": picked}
    run = run_snakemake(study, "--until", "measure_points", "probe_points", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    for l0 in (4, 32):
        for file in ("decoder_metrics/{}/s_n_dec.csv", "probing/{}/scores.csv"):
            name = file.format(f"l0_{l0}/seed_0")
            first, again = (
                pd.read_csv(study / "results" / each / name) for each in ("tiny", "again")
            )
            columns = ["n", "value"] if "n" in first else ["task", "probe_k", "f1"]
            # Folded norms and saved thresholds are rounded once more.
            pd.testing.assert_frame_equal(first[columns], again[columns], rtol=0, atol=1e-4)


SINGLE = {
    "study": "one",
    "device": "cpu",
    "synthetic": {
        "features": 16, "d_in": 16, "firing": {"law": "constant", "p": 0.2},
        "held_out_tokens": 4096, "seed": 3,
    },
    "saes": {"import": {"folders": ["mine"]}},
    "decoder_metrics": {"n": [0.4], "batch_tokens": 1000},
    "train_on": {
        "training_tokens": 3200, "batch_tokens": 64, "lr": 0.003, "factors": [0.5, 1.0, 2.0],
    },
}  # fmt: skip


def test_a_single_sae_is_trained_on_and_told_whether_its_l0_is_too_low(tmp_path):
    sae = toy.unit(toy.parts(1, d_in=16, d_sae=48))
    toy.write_sae_lens(tmp_path / "mine", "topk", sae, k=6)
    jobs = {**ALL, "make_world": 1, "train_on": 1}
    assert planned_jobs(run_snakemake(tmp_path, "--dry-run", config=SINGLE)) == jobs
    made = run_snakemake(tmp_path, config=SINGLE)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-9000:]
    results = tmp_path / "results/one"
    table = pd.read_parquet(results / "train_on/trained_on.parquet")
    assert sorted(table["l0"]) == [3, 3, 6, 6, 12, 12]
    own = table["own_l0"].iloc[0]
    assert table["factor"].tolist() == pytest.approx((table["l0"] / own).tolist())
    assert table["own_c_dec"].tolist() == pytest.approx(
        6 * [mean_absolute_cosine(sae["W_dec"])], abs=1e-6
    )
    # Random latents of a world of 16 features: each training turns them towards these.
    assert (table["turned"] > 1).all()
    verdict = json.loads((results / "tables/verdict.json").read_text())
    assert verdict["outcome"] == verdict["single"]["outcome"]
    assert verdict["headline"] in (results / "summary.txt").read_text()
    assert (results / "figures/trained_on.svg").exists()
    assert planned_jobs(run_snakemake(tmp_path, "--dry-run", config=SINGLE)) == {}
    longer = copy.deepcopy(SINGLE)
    longer["train_on"]["training_tokens"] = 6400
    again = planned_jobs(run_snakemake(tmp_path, "--dry-run", config=longer))
    assert again["train_on"] == again["read_curves"] == 1 and "train_points" not in again
    (results / "train_on/trained_on.parquet").write_text("")
    dry = run_snakemake(tmp_path, "--dry-run", config=SINGLE)
    assert any(line.startswith("train_on: trained_on.parquet") for line in stale_lines(dry))
