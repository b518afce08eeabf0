"""The configuration of a toy study: what it accepts, and the line it answers with otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from correct_l0.errors import InputError
from correct_l0.toy_model.plan import ToyPlan
from correct_l0.toy_model.settings import ToyModel, parse_toy_study
from toy_study import study

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"saes": {"d_sae": 8, "l0": [9], "training": {}}}, "l0 9 is above d_sae 8; lower it"),
        ({"toy_model": {"features": 9, "d_in": 8}}, "9 orthonormal features do not fit into d_in"),
        ({"toy_model": {"firing": [0.5, 0.5]}}, "firing lists 2 probabilities for 50 features"),
        ({"toy_model": {"features": 2, "firing": [0.5, 1.0]}}, "1.0 is not usable"),
        ({"toy_model": {"features": 2, "firing": [0.0, 0.5]}}, "0.0 is not usable"),
        (
            {"toy_model": {"correlation": {"pairs": [[0, 1, 0.9], [1, 2, 0.9], [0, 2, -0.9]]}}},
            "correlations are infeasible: their matrix has the eigenvalue -0.8, none may be",
        ),
        ({"toy_model": {"correlation": {"pairs": [[0, 50, 0.1]]}}}, "the last feature is 49"),
        ({"toy_model": {"correlation": {"pairs": [[3, 3, 0.1]]}}}, "feature 3 with itself"),
        ({"toy_model": {"correlation": {"pairs": [[0, 1, 0.1], [1, 0, 0.1]]}}}, "is set twice"),
        ({"toy_model": {"correlation": {"pairs": [], "low": 0.1}}}, "pairs and low exclude one"),
        ({"toy_model": {"correlation": {"low": 0.9, "high": 0.1}}}, "low 0.9 is above high 0.1"),
        ({"decoder_metrics": {"n": [8]}}, "n 8 is not below d_sae 8"),
        ({"experiments": {"small_model": {"correlation": [0.6]}}}, "correlations are infeasible"),
        ({"experiments": {"small_model": {"d_in": 4}}}, "5 orthonormal features do not fit"),
        ({"experiments": {"superposition": {"d_in": 8, "l0": [1]}}}, "d_in 8 is not below the 8"),
        ({"experiments": {"auto_l0": {"start_l0": [9]}}}, "auto_l0: l0 9 is above d_sae 8"),
        ({"experiments": {"auto_l0": {"n": 8, "start_l0": [2]}}}, "auto_l0: n 8 is not below"),
        ({"experiments": {"transition": {}}}, "unknown key; did you mean 'transitions'?"),
        ({"saes": {"d_sae": 8, "l0": [1], "training": {"samples": 5}}}, "not one step"),
        ({"activations": {}}, "activations: unknown key"),
        (
            {"saes": {"d_sae": 8, "l0": [0.01], "training": {"samples": 64, "batch_size": 64}}},
            "l0 0.01 keeps no activation of a batch of 64 samples",
        ),
        (
            {"saes": {"d_sae": 8, "l0": [2.5, 2.5000000000001], "training": {}}},
            "l0 lists 2.5 more than once",
        ),
        ({"decoder_metrics": {"n": [4], "samples": 1}}, "samples: 1 is not usable"),
        ({"decoder_metrics": {"n": [4], "samples": 10**12}}, "samples: 1000000000000 is not"),
        ({"toy_model": {"features": 2, "firing": [1e-12, 0.5]}}, "1e-12 is not usable"),
        ({"experiments": {"small_model": {"correlation": [float("nan")]}}}, "nan is not usable"),
        ({"experiments": {"small_model": {"low_l0": 3}}}, "low_l0 3 is not below the true L0 of 2"),
        (
            {"experiments": {"transitions": {"start_l0": [2.5], "end_l0": 2.5, "schedules": [
                {"run": "a", "batch_size": 8, "ramp_steps": 1, "steps": 2}]}}},
            "start_l0 lists end_l0 2.5",
        ),
        (
            {"experiments": {"auto_l0": {"start_l0": [2], "n": 4, "every_steps": 15_000}}},
            "every_steps 15000 is not below the 14648 steps of training",
        ),
        (
            {"experiments": {"auto_l0": {"start_l0": [2], "n": 4, "paper": {"delta_min": 2}}}},
            "delta_min 2 is above delta_max 1",
        ),
        (
            {"experiments": {"auto_l0": {"start_l0": [2], "n": 4, "descent": {"rate_min": 0.5}}}},
            "rate_min 0.5 is not below rate 0.009",
        ),
        (
            {"experiments": {"auto_l0": {"start_l0": [2], "n": 4, "rules": ["paper", "paper"]}}},
            "rules lists a rule more than once",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_limit_and_remedy(sections, message):
    with pytest.raises(InputError) as error:
        parse_toy_study(study(**sections))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_star_correlations_are_feasible_up_to_one_half_for_five_features():
    """Eigenvalues of a star with four arms: 1 and 1 +- 2 rho."""
    parse_toy_study(study(experiments={"small_model": {"mixing_correlation": [-0.5, 0.5]}}))
    with pytest.raises(InputError, match=r"eigenvalue -0\.02"):
        parse_toy_study(study(experiments={"small_model": {"mixing_correlation": [0.51]}}))


def test_the_two_published_firing_formulas():
    """The code: 0.345 (49 - i) / 50 + 0.05, in all 0.345 * 24.5 + 2.5; the text: 50 * 0.1975."""
    code, text = ToyModel(), ToyModel(firing="text")
    assert code.true_l0 == pytest.approx(10.9525)
    assert (code.probabilities()[0], code.probabilities()[49]) == pytest.approx((0.3881, 0.05))
    assert text.true_l0 == pytest.approx(9.875)
    assert (text.probabilities()[0], text.probabilities()[49]) == pytest.approx((0.345, 0.05))


@pytest.mark.parametrize("name", ["toy-model", "toy-model-quick"])
def test_the_shipped_studies_are_valid_and_run_every_experiment(name):
    plan = ToyPlan.from_config(yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
    assert plan.study.study == name
    assert plan.study.experiments.names() == [
        "transitions", "small_model", "superposition", "jumprelu", "auto_l0",
    ]  # fmt: skip


def test_the_full_study_is_the_papers():
    study = ToyPlan.from_config(yaml.safe_load((CONFIG / "toy-model.yaml").read_text())).study
    assert study.saes.l0 == tuple(range(1, 26))
    assert len(study.saes.seeds) == 5
    assert study.saes.training.steps == 14_648
    assert study.decoder_metrics.n == tuple(range(12, 26))
    assert study.toy_model == ToyModel()


def test_parts_hold_neighbouring_points_and_settings_do_not_depend_on_them():
    raw = study()
    raw["saes"] = {**raw["saes"], "l0": [4, 1, 2], "points_per_job": 2}
    plan = ToyPlan.from_config(raw)
    assert plan.part_l0 == [[1, 2], [4]]
    assert len(plan.parts("saes")) == 2
    other = ToyPlan.from_config({**raw, "saes": {**raw["saes"], "points_per_job": 3}})
    assert plan.settings_saes() == other.settings_saes()
    assert "seeds" not in plan.settings_saes()


def test_settings_survive_a_round_trip():
    raw = yaml.safe_load((CONFIG / "toy-model.yaml").read_text())
    plan = ToyPlan.from_config(raw)
    again = ToyPlan.from_config(json.loads(plan.as_json()))
    assert again == plan
    tables = ToyPlan.from_config(json.loads(plan.settings_tables()))
    assert tables.settings_saes() == plan.settings_saes()
    assert tables.parts("saes") == plan.parts("saes")
