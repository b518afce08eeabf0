"""The whole DAG, once, with the real model and real text."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from workflow_runs import TINY_L0, TINY_SEEDS, run_snakemake

RESULTS = "results/tiny"


def test_everything_promised_is_there(tiny_study):
    results = tiny_study / RESULTS
    for name in ("report.html", "summary.txt", "tables/verdict.json"):
        assert (results / name).stat().st_size > 0
    for table in ("points", "s_n_dec", "c_dec", "probing"):
        csv = pd.read_csv(results / "tables" / f"{table}.csv")
        parquet = pd.read_parquet(results / "tables" / f"{table}.parquet")
        assert len(csv) == len(parquet) > 0
        assert {"l0", "l0_measured", "seed"} <= set(csv.columns) & set(parquet.columns)


def test_a_run_ends_with_the_answer_and_where_the_report_is(tiny_study):
    """So does one that finds nothing to do; one of a single file, or a dry one, does not."""
    answer = (tiny_study / RESULTS / "summary.txt").read_text().rstrip()
    assert f"Report: {RESULTS}/report.html" in answer
    assert (tiny_study / "screen.txt").read_text().rstrip().endswith(answer)
    again = run_snakemake(tiny_study)
    assert "Nothing to be done" in again.stderr
    assert again.stdout.strip() == answer
    for arguments in (["--quiet", "all"], ["--dry-run"], [f"{RESULTS}/tables/verdict.json"]):
        assert answer not in run_snakemake(tiny_study, *arguments).stdout


def test_one_row_per_observation(tiny_study):
    tables = tiny_study / RESULTS / "tables"
    points = pd.read_csv(tables / "points.csv")
    assert sorted(zip(points.l0, points.seed, strict=True)) == [
        (l0, seed) for l0 in TINY_L0 for seed in TINY_SEEDS
    ]
    s_n_dec = pd.read_csv(tables / "s_n_dec.csv")
    assert not s_n_dec.duplicated(["l0", "seed", "n", "statistic"]).any()
    assert len(s_n_dec) == len(points) * 8 * 2
    probing = pd.read_csv(tables / "probing.csv")
    assert len(probing) == len(points) * 2 * 2


def test_measured_l0_meets_its_target(tiny_study):
    points = pd.read_csv(tiny_study / RESULTS / "tables" / "points.csv")
    assert (points.l0_measured / points.l0 - 1).abs().max() < 0.02


def test_metrics_agree_with_the_saved_saes(tiny_study):
    """s_n^dec and c_dec by sorting and by the full cosine matrix, from the saved files."""
    from sae_lens import SAE

    from correct_l0.sources.language_model.reader import open_store

    folder = tiny_study / RESULTS
    store = open_store(tiny_study / "results/activations/tiny/manifest.json")
    sae = SAE.load_from_disk(str(folder / "saes/l0_10.5/seed_1/sae"), device="cpu")
    decoder = sae.W_dec.detach().double().numpy()
    assert np.linalg.norm(decoder, axis=1) == pytest.approx(np.ones(128), abs=1e-5)

    cosines = np.abs(decoder @ decoder.T)[np.triu_indices(128, 1)]
    table = pd.read_csv(folder / "decoder_metrics/l0_10.5/seed_1/c_dec.csv")
    assert table.c_dec.item() == pytest.approx(cosines.mean(), rel=1e-5)

    scale = math.sqrt(384) / store.mean_norm
    centred = store.held_out(0, 32_768).double().numpy() - sae.b_dec.detach().numpy()
    projections = centred @ decoder.T
    pooled = np.sort(projections.ravel())[::-1] * scale
    table = pd.read_csv(folder / "decoder_metrics/l0_10.5/seed_1/s_n_dec.csv").set_index("n")
    table = table[table.statistic == "pooled"]
    for n in (40, 64):
        assert table.value[n] == pytest.approx(pooled[n * 32_768], rel=1e-4, abs=1e-5)


def test_manifests_say_what_was_used(tiny_study):
    manifest = json.loads((tiny_study / RESULTS / "saes/l0_32/seed_0/manifest.json").read_text())
    assert json.loads(manifest["parameters"])["training"]["lr"] == 1e-3
    other = json.loads((tiny_study / RESULTS / "saes/l0_4/seed_0/manifest.json").read_text())
    assert json.loads(other["parameters"])["training"]["lr"] == 3e-3
    for key in ("recipe", "packages", "inputs", "outputs", "seed", "device", "wall_s"):
        assert manifest[key] is not None


def test_no_temporary_file_is_left(tiny_study):
    results = tiny_study / "results"
    left = [p for p in results.rglob("*") if p.name.startswith(".") or p.suffix == ".partial"]
    assert left == []
    records = ("saes/groups", "measured", "probing/groups", "stability/compared.json")
    assert [name for name in records if (results / "tiny" / name).exists()] == []
