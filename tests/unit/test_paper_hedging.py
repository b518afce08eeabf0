"""Hedging in closed form: against every other latent, against eigenvectors, against training."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

import made_up
from correct_l0.provenance.manifest import write_json, write_manifest
from correct_l0.reading import RECIPE
from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from paper import language_models
from paper.claims import later
from paper.claims.judgement import NOT, NOT_RUN, PARTLY, REPRODUCED
from paper.hedging import (
    CASES,
    Pair,
    best_latent,
    given,
    latent_of_first,
    least_loss,
    samples,
    signature,
    train,
)

STATES = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], dtype=float)


def test_states_have_the_probabilities_of_the_pair():
    pair = given(0.25, with_it=0.2, without=0.1)
    assert pair == pytest.approx((0.25, 0.125, 0.05))
    assert pair.states == pytest.approx([0.675, 0.2, 0.075, 0.05])
    x = samples(pair, 100_000, torch.Generator().manual_seed(0))
    assert x.mean(0)[:2].tolist() == pytest.approx([0.25, 0.125], abs=0.005)
    assert float((x[:, 0] * x[:, 1]).mean()) == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize("case", CASES)
def test_the_best_latent_is_the_first_eigenvector_of_the_covariance(case):
    pair = CASES[case]
    covariance = np.cov(STATES.T, aweights=pair.states, ddof=0)
    sizes, vectors = np.linalg.eigh(covariance)
    expected = vectors[:, 1] * np.sign(vectors[0, 1])
    assert best_latent(pair) == pytest.approx(expected, abs=1e-9)
    assert least_loss(pair) == pytest.approx(sizes[0], abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_no_other_sae_of_one_latent_is_better_and_the_best_is_reached(case):
    """Any bias, any decoder, and in each state the best activation that is not negative."""
    pair = CASES[case]

    def loss(parameters):
        bias, decoder = parameters[:2], parameters[2:]
        apart = STATES - bias
        active = np.maximum(apart @ decoder / (decoder @ decoder), 0)
        return pair.states @ ((apart - np.outer(active, decoder)) ** 2).sum(1)

    generator = np.random.default_rng(0)
    starts = [*generator.normal(0, 1, (20, 4)), [0, 0, 1, 0.1]]
    found = [
        minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}) for start in starts
    ]
    best = min(found, key=lambda each: each.fun)
    assert best.fun == pytest.approx(least_loss(pair), abs=1e-5)
    direction = best.x[2:] / np.linalg.norm(best.x[2:])
    cosine = abs(direction @ np.array(best_latent(pair)))
    assert cosine == pytest.approx(1, abs=1e-3)


def test_the_sign_is_that_of_the_correlation():
    assert best_latent(Pair(0.3, 0.2, 0.06))[1] == 0
    assert best_latent(Pair(0.3, 0.2, 0.1))[1] > 0 > best_latent(Pair(0.3, 0.2, 0.02))[1]
    # P(2 | 1) - P(2 | not 1) = 0.1 / 0.3 - 0.1 / 0.7
    difference = 1 / 3 - 1 / 7
    expected = difference / (1 + difference**2) ** 0.5
    assert latent_of_first(Pair(0.3, 0.2, 0.1)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("case", "d_sae", "l0", "kind"),
    [("independent", 1, 1.0, "clean"), ("hierarchical", 1, 1.0, "hedging"),
     ("hierarchical", 2, 0.25, "absorption")],
)  # fmt: skip
def test_training_leaves_the_truth_for_what_the_closed_form_says(case, d_sae, l0, kind):
    trainer, loss = train(CASES[case], d_sae, l0, seed=0, steps=400)
    b_dec, W_dec, W_enc, _ = trainer.weights
    (row,) = signature(W_enc, W_dec, torch.eye(2, 10), [(0, 1)]).to_dict("records")
    assert row["kind"] == kind
    if d_sae == 1:
        assert row["decoder"] == pytest.approx(best_latent(CASES[case])[1], abs=0.05)
        assert loss == pytest.approx(least_loss(CASES[case]), rel=0.08)
        assert np.isnan(row["other_decoder"])
    else:
        assert row["other_decoder"] == pytest.approx(0.5**0.5, abs=0.05)
        assert row["encoder"] < -0.3
        assert abs(row["decoder"]) < 0.05
    if case == "independent":
        # The bias has the other feature as often as it fires.
        assert float(b_dec[1]) == pytest.approx(0.2, abs=0.03)


def test_signature_of_pairs_by_hand():
    """The second feature has no latent; the third's carries the first."""
    W_dec = torch.tensor([[0.8, 0.6, 0.0, 0.0], [0.6, 0.0, 0.8, 0.0]])
    W_enc = torch.tensor([[1.0, 0.0], [0.5, 0.0], [-1.0, 1.0], [0.0, 0.0]])
    found = signature(W_enc, W_dec, torch.eye(4)[:3], [(0, 1), (0, 2), (1, 0), (2, 1)])
    assert list(found["feature"]) == [0, 0, 2]
    assert list(found["kind"]) == ["hedging", "absorption", "clean"]
    first, second, third = found.to_dict("records")
    assert (first["decoder"], second["other_decoder"]) == pytest.approx((0.6, 0.6))
    assert first["encoder"] == pytest.approx(0.5 / 1.5)
    assert np.isnan(first["other_decoder"])
    assert third["decoder"] == 0


def one(**changes):
    row = {"study": "gemma-2-2b-layer-12", "outcome": "read", "minimum": 200.0, "elbow": 150.0,
           "seeds": 1, **changes}  # fmt: skip
    return {"language_models": pd.DataFrame([row])}


@pytest.mark.parametrize(("minimum", "verdict"), [
    (160, REPRODUCED), (159, PARTLY), (400, PARTLY), (401, NOT), (np.nan, NOT),
])  # fmt: skip
def test_c_dec_of_a_language_model_is_held_against_the_published_l0(minimum, verdict):
    judged = later.c_dec_at(one(minimum=minimum), "gemma-2-2b-layer-12", "minimum", 200, 200)
    assert judged.verdict == verdict


def test_what_was_not_run_says_what_it_needs():
    judged = later.c_dec_at(one(), "llama-3.2-1b-layer-7", "elbow", 200, 200)
    assert judged.verdict == NOT_RUN
    assert judged.ours == "not run here: needs a GPU (config/llama-3.2-1b-layer-7.yaml)"


@pytest.mark.parametrize(("rates", "verdict"), [
    ([(0.3, 0.2, 0.1)] * 5, REPRODUCED),
    ([(0.3, 0.2, 0.1)] * 2 + [(0.1, 0.2, 0.3)], PARTLY),
    ([(0.1, 0.2, 0.3)], NOT),
])  # fmt: skip
def test_the_rate_has_to_fall_at_most_l0(rates, verdict):
    rows = [
        ("synthetic-width", width, float(l0), 0, rate)
        for l0, its in enumerate(rates)
        for width, rate in zip((25, 50, 100), its, strict=True)
    ]
    widths = pd.DataFrame(rows, columns=["study", "d_sae", "l0", "seed", "rate"])
    assert later.falls_with_width({"widths": widths}, "synthetic-width", "").verdict == verdict


def test_tables_of_language_models_are_read_where_they_are_of_these_settings(tmp_path, monkeypatch):
    """A study as its file has it; one that differs by a seed is not the same."""
    monkeypatch.chdir(tmp_path)
    name = "gemma-2-2b-layer-5"
    raw = made_up.config() | {"study": name}
    (tmp_path / "config").mkdir()
    write_json(tmp_path / "config" / f"{name}.yaml", raw)
    monkeypatch.setattr(language_models, "CONFIGS", {name: "c_dec"})
    (plan,) = map(Plan, parse_study(raw))
    tables = tmp_path / plan.results / "tables"
    reading = {"outcome": "read", "minimum": 900.0, "elbow": None, "seeds": 2}
    write_json(tables / "verdict.json", {"c_dec": reading})
    for file, stage, outputs in (
        ("manifest.json", "gather_tables", []),
        ("verdict.manifest.json", "read_curves", [tables / "verdict.json"]),
    ):
        write_manifest(tables / file, stage=stage, recipe=RECIPE, inputs={},
                       parameters=report_settings(plan), outputs=outputs)  # fmt: skip
    found = language_models.language_model_tables(tmp_path / "config")["language_models"]
    assert found["minimum"].tolist() == [900.0]
    assert found["elbow"].isna().all()
    raw["saes"] |= {"seeds": [0, 1, 2]}
    (tmp_path / "config" / f"{name}.yaml").write_text(json.dumps(raw))
    assert language_models.language_model_tables(tmp_path / "config")["language_models"].empty
