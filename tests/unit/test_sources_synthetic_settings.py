"""The settings of a synthetic world: what they mean, and the line that refuses them otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from correct_l0.settings.errors import describe_errors
from correct_l0.sources.synthetic.laws import Firing, MagnitudeLaw
from correct_l0.sources.synthetic.settings import Synthetic

CONFIG = Path(__file__).parents[2] / "config"
LOW_RANK = {"kind": "low_rank", "rank": 4, "scale": 0.1}
TREES = {"roots": 2, "branching": 3, "depth": 2}


def refusal(section):
    with pytest.raises(ValidationError) as caught:
        Synthetic.model_validate(section)
    return describe_errors(Synthetic, caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"features": 9, "d_in": 8}, "9 orthonormal features do not fit into d_in 8; lower"),
        ({"features": 1}, "features: 1 is not usable: give at least 2"),
        ({"directions": "spred"}, "directions: 'spred' is not usable"),  # codespell:ignore
        ({"firing": "txt"}, "firing.law: 'txt' is not usable"),
        ({"firing": [0.5, 0.5]}, "firing lists 2 probabilities for 50 features; give one for each"),
        ({"features": 2, "firing": [0.5, 1.0]}, "firing.listed entry 2: 1.0 is not usable"),
        ({"features": 2, "firing": [0.0, 0.5]}, "firing.listed entry 1: 0.0 is not usable"),
        ({"features": 2, "firing": [0.5, float("nan")]}, "nan is not usable"),
        ({"firing": {"law": "constant"}}, "firing: law constant needs p; add it"),
        ({"firing": {"law": "constant", "p": 1.5}}, "firing.p: 1.5 is not usable"),
        (
            {"firing": {"law": "linear", "p_max": 0.3, "p_min": 0.1, "exponent": 1}},
            "exponent does not belong to law linear (it takes p_max, p_min); remove it",
        ),
        ({"firing": {"p": 0.1}}, "p does not belong to law code (it takes nothing); remove it"),
        (
            {"firing": {"law": "zipf", "exponent": 1, "p_max": 0.1, "p_min": 0.3}},
            "p_max 0.1 is below p_min 0.3; swap them",
        ),
        (
            {"firing": {"law": "zipf", "exponent": 0, "p_max": 0.3, "p_min": 0.1}},
            "firing.exponent: 0 is not usable",
        ),
        (
            {"correlation": {"kind": "pairs", "pairs": [[0, 1, 0.9], [1, 2, 0.9], [0, 2, -0.9]]}},
            "correlations are infeasible: their matrix has the eigenvalue -0.8, none may be",
        ),
        ({"correlation": {"kind": "pairs"}}, "kind pairs needs pairs; add it"),
        ({"correlation": {"kind": "pairs", "pairs": [[0, 50, 0.1]]}}, "the last feature is 49"),
        ({"correlation": {"kind": "pairs", "pairs": [[3, 3, 0.1]]}}, "feature 3 with itself"),
        (
            {"correlation": {"kind": "pairs", "pairs": [[0, 1, 0.1], [1, 0, 0.1]]}},
            "the correlation of features 1 and 0 is set twice; keep one",
        ),
        (
            {"correlation": {"kind": "pairs", "pairs": [], "low": 0.1}},
            "low does not belong to kind pairs (it takes pairs); remove it",
        ),
        ({"correlation": {"low": 0.9, "high": 0.1}}, "low 0.9 is above high 0.1; swap them"),
        (
            {"correlation": {"kind": "low_rank", "rank": 25, "scale": 0.2}},
            "rank 25 times scale 0.2 squared is 1, it must stay below 1",
        ),
        (
            {"correlation": {"kind": "low_rank", "rank": 51, "scale": 0.1}},
            "correlation rank 51 is above the 50 features; lower it",
        ),
        (
            {"features": 5000, "directions": "random"},
            "correlation random of 5000 features needs a matrix for at most 4096; set kind:",
        ),
        (
            {"hierarchy": {"roots": 10, "branching": 4, "depth": 2}},
            "hierarchy: 10 roots, branching 4 and depth 2 take 210 features, there are 50",
        ),
        (
            {"firing": {"law": "constant", "p": 0.3}, "hierarchy": {**TREES, "compensated": True}},
            "hierarchy: feature 2 would have to fire with probability 1 under its parent, it must",
        ),
        ({"hierarchy": {**TREES, "exclusive": 1.5}}, "hierarchy.exclusive: 1.5 is not usable"),
        ({"hierarchy": {"roots": 2, "branching": 3}}, "hierarchy.depth: not set"),
        ({"magnitude": {"mean": 0}}, "magnitude: mean 0: a feature that fires must have a"),
        ({"magnitude": {"std": -1}}, "magnitude.std.value: -1 is not usable"),
        ({"magnitude": {"mean": {"law": "linear", "first": 1}}}, "law linear needs last; add it"),
        ({"magnitude": {"mean": {"law": "linear", "first": 1, "last": 0}}}, "mean.last: 0 is not"),
        ({"bias": -1}, "bias: -1 is not usable"),
        ({"held_out_tokens": 10}, "held_out_tokens: 10 is not usable"),
        ({"magnitud": None}, "magnitud: unknown key; did you mean 'magnitude'?"),
    ],
)  # fmt: skip
def test_refused_in_one_line(section, message):
    told = refusal(section)
    assert message in told
    assert "\n" not in told


def test_the_default_is_the_papers():
    paper = Synthetic()
    assert (paper.features, paper.d_in, paper.directions) == (50, 100, "orthonormal")
    assert paper.magnitude.mean == MagnitudeLaw(value=1.0)
    assert paper == Synthetic.model_validate({})
    assert paper.firing.probabilities(50)[[0, 49]] == pytest.approx([0.3881, 0.05])


def test_short_forms_stand_for_sections():
    short = Synthetic(features=2, firing=[0.2, 0.1], magnitude={"mean": 2})
    assert short.firing == Firing(law="listed", listed=(0.2, 0.1))
    assert short.magnitude.mean == MagnitudeLaw(law="constant", value=2.0)
    assert Synthetic(firing="text").firing == Firing(law="text")


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"firing": "text", "correlation": None},
        {"features": 3, "firing": [0.1, 0.2, 0.3], "correlation": LOW_RANK | {"rank": 1}},
        {"correlation": {"kind": "pairs", "pairs": [[0, 1, 0.4]]}, "magnitude": {"std": 0}},
        {"hierarchy": TREES, "magnitude": {"std": {"law": "folded_normal", "mean": 0, "std": 1}}},
    ],
)
@pytest.mark.parametrize("exclude_defaults", [True, False])
def test_settings_come_back_from_their_json(section, exclude_defaults):
    """Jobs read them as canonical JSON."""
    settings = Synthetic.model_validate(section)
    text = settings.model_dump_json(exclude_defaults=exclude_defaults)
    assert Synthetic.model_validate(json.loads(text)) == settings


def test_laws_of_firing():
    zipf = Firing(law="zipf", exponent=0.5, p_max=0.4, p_min=0.1).probabilities(4)
    # 1, 1 / sqrt(2), 1 / sqrt(3), 1 / 2, stretched from [1/2, 1] to [0.1, 0.4].
    assert zipf == pytest.approx(
        [0.4, 0.1 + 0.6 * (2**-0.5 - 0.5), 0.1 + 0.6 * (3**-0.5 - 0.5), 0.1]
    )
    linear = Firing(law="linear", p_max=0.3, p_min=0.1)
    assert linear.probabilities(3) == pytest.approx([0.3, 0.2, 0.1])
    assert Firing(law="constant", p=0.2).probabilities(3) == pytest.approx([0.2, 0.2, 0.2])


def test_laws_of_magnitude():
    generator = np.random.default_rng(0)
    assert MagnitudeLaw(law="linear", first=5, last=4).values(3, generator).tolist() == [5, 4.5, 4]
    drawn = MagnitudeLaw(law="folded_normal", mean=0, std=2).values(40_000, generator)
    # The mean of |N(0, 2)| is 2 sqrt(2 / pi), its standard deviation 2 sqrt(1 - 2 / pi) = 1.206.
    assert drawn.mean() == pytest.approx(2 * np.sqrt(2 / np.pi), abs=4 * 1.206 / 200)
    assert drawn.min() >= 0


def test_the_benchmark_is_parsed_at_once_and_without_torch():
    section = yaml.safe_load((CONFIG / "synthsaebench-16k.yaml").read_text())
    start = time.process_time()
    settings = Synthetic.model_validate(section["synthetic"])
    assert time.process_time() - start < 0.1
    assert settings.own_probabilities(settings.tree()).max() == pytest.approx(0.915, abs=1e-3)
    code = "import sys, correct_l0.sources.synthetic.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_listed_pairs_are_checked_at_once():
    """Only the features that are named make up the matrix."""
    pairs = [[i, i + 1, 0.3] for i in range(0, 200, 2)]
    start = time.process_time()
    Synthetic(
        features=4096, directions="random", firing={"law": "constant", "p": 0.01},
        correlation={"kind": "pairs", "pairs": pairs},
    )  # fmt: skip
    assert time.process_time() - start < 0.1
