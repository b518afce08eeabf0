"""Whole studies of SAEs that are wider and narrower than their world: what is gathered of them."""

from __future__ import annotations

import pytest

from correct_l0.report.rounds import verdict_of
from correct_l0.sources.synthetic.make import make
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan
from correct_l0.trial import run_study

FEATURES = 50


@pytest.mark.parametrize(("d_sae", "n"), [(100, 50), (20, 10)])
def test_ranks_are_of_latents_and_recovery_is_of_features(d_sae, n, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "study": "widths",
        "device": "cpu",
        "synthetic": {"features": FEATURES, "d_in": FEATURES, "held_out_tokens": 4096},
        "saes": {
            "d_sae": d_sae, "l0": [4, 8], "seeds": [0, 1],
            "training": {"training_tokens": 10_240, "batch_tokens": 256, "lr": 3e-3},
        },
        "decoder_metrics": {"n": [n], "batch_tokens": 512},
    }  # fmt: skip
    plan = Plan(parse_config(config))
    make(plan.source_folder, plan.settings_source())
    tables = run_study(plan)
    assert tables["gaps"].empty
    assert {*tables["s_n_dec"]["n"]} == {n}
    assert tables["s_n_dec"].groupby(["l0", "seed"]).ngroups == 4
    recovery = tables["recovery"]
    assert {*recovery["features"]} == {FEATURES} and {*recovery["d_sae"]} == {d_sae}
    # Features without a latent of their own count as 0 among all, and not among the matched ones.
    without = max(0, FEATURES - d_sae)
    assert (recovery["features_recovered"] <= FEATURES - without).all()
    assert ((recovery["worst_best_cosine"] == 0) == (without > 0)).all()
    means = recovery["mcc"] * (FEATURES - without) / FEATURES
    assert recovery["mean_best_cosine"].tolist() == pytest.approx(means.tolist())
    assert len(verdict_of(plan, tables)["recovery"]["points"]) == 2
