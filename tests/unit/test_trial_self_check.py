"""The self-check: which SAEs generate data, the small studies, what is found, and its words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correct_l0.errors import InputError
from correct_l0.reading.self_check import (
    ALIKE,
    FOUND,
    HIGH,
    LOW,
    LOWEST,
    MISSED,
    NAMED,
    SILENT,
    checked,
    generators_of,
)
from correct_l0.report.build import build_tables, build_verdict
from correct_l0.report.self_check_words import self_check_line, self_check_rows
from correct_l0.study.self_check import check_plan, swept_around
from correct_l0.trial import run_study
from correct_l0.trial.self_check import run_self_check
from semi_synthetic_toy import study

GRID = {4.0: 4.1, 8.0: 8.0, 16.0: 15.5, 32.0: 32.0, 64.0: 66.0}


def said_of(outcome="read", l0=None, low=None, high=None, lowest=None, alike=(), recovery=None):
    return {
        "outcome": outcome,
        "decision": {"l0": l0, "low": low, "high": high},
        "c_dec": None if lowest is None else {"minimum": lowest},
        "stability": alike
        and {
            "points": [x for x, _ in alike],
            "reproduced": {"means": [value for _, value in alike]},
        },
        "recovery": recovery,
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # On a logarithmic scale 22 is nearer to 15.5 (ratio 1.42) than to 32 (1.45).
        (said_of(l0=22.0, low=8.0, high=66.0), {16: NAMED, 8: LOW, 64: HIGH}),
        (said_of(l0=16.0, low=15.5, high=60.0), {16: NAMED, 64: HIGH}),
        (
            said_of("flat", lowest=66.0, alike=[(4.1, 0.9), (8, 0.3), (15.5, 0.4)]),
            {64: LOWEST, 16: ALIKE},
        ),
        # The start of the grid counts where there is nothing else.
        (said_of("flat", lowest=66.0, alike=[(4.1, 0.9)]), {64: LOWEST, 4: ALIKE}),
        # An interval of an answer that is refused is no answer.
        (said_of("not reproducible", l0=8.0, low=4.0, high=16.0, lowest=32.0), {32: LOWEST}),
        (said_of("flat", lowest=None), {}),
    ],
)
def test_the_generating_saes(said, expected):
    assert generators_of(said, GRID) == expected


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (said_of(l0=9.0, low=8.0, high=15.5), FOUND),
        (said_of(l0=25.0, low=15.6, high=32.0), MISSED),
        (said_of("flat", l0=9.0, low=8.0, high=15.5), SILENT),
    ],
)
def test_what_is_found_is_the_l0_of_best_recovery(said, result):
    truth = {"best": 15.5, "points": [8.0, 15.5, 32.0], "recovered": [0, 0.5, 0.1]}
    said = said | {"true_l0": 14.0}
    check = checked(16.0, NAMED, said | {"recovery": truth})
    assert (check.result, check.true_l0, check.best, check.recovered) == (result, 14.0, 15.5, 0.5)
    assert not check.best_at_end
    assert (check.l0 is None) == (result == SILENT)
    at_end = checked(16.0, NAMED, said | {"recovery": truth | {"best": 8.0}})
    assert at_end.best_at_end


def test_its_words():
    truth = {"best": 15.5, "points": [8.0, 15.5, 32.0], "recovered": [0, 0.5, 0]}
    found = said_of(l0=9.0, low=8.0, high=15.5, recovery=truth)
    one = checked(16.0, NAMED, found | {"true_l0": 14.04})
    flat = said_of("flat", recovery=truth | {"best": 32.0})
    other = checked(64.0, HIGH, flat | {"true_l0": 61.0})
    assert self_check_line([one, other]) == (
        "Checked on data that SAEs of this study generate, so that the truth is known: the "
        "interval holds the right L0 where the true one is 14 and none is named where the true one "
        "is 61."
    )
    assert self_check_rows([one, other]) == [
        {
            "generator": "16, the L0 named",
            "true_l0": "14",
            "best": "15.5 (50% of the latents)",
            "said": "L0 9 (8 to 15.5)",
            "result": "found",
        },
        {
            "generator": "64, the interval's upper end",
            "true_l0": "61",
            "best": "32 (0% of the latents; an end of its grid)",
            "said": "flat",
            "result": "no L0 named",
        },
    ]


def test_the_small_study(tmp_path):
    plan = study(tmp_path)
    small = check_plan(plan, 4.0)
    assert small.results == "results/tiny/self_check/l0_4"
    assert small.source == "results/tiny/self_check/l0_4/world/manifest.json"
    source, saes = small.study.semi_synthetic, small.study.saes
    assert (source.sae, source.activations, source.residual, source.held_out_tokens) == (
        "results/tiny/saes/l0_4/seed_3/sae", plan.source, "shuffled", 1500
    )  # fmt: skip
    assert (saes.l0, saes.seeds, saes.d_sae) == ((1, 2, 4, 6, 8), (0, 1), 24)
    for l0, lr in ((4, 1e-3), (6, 3e-3)):
        training = saes.training_of(l0)
        # A quarter of 16,384 tokens, and of 9 steps.
        assert (training.training_tokens, training.lr_warm_up_steps) == (4096, 2)
        assert (training.lr, training.batch_tokens) == (lr, 256)
    assert small.study.n_values() == [12]
    assert small.rooms == ("decoder_metrics", "recovery")
    assert swept_around(4, [2, 4]) == [2, 4]


def test_a_study_is_checked(tmp_path, monkeypatch):
    """What its report says of it: `tests/workflow/test_self_check.py`."""
    monkeypatch.chdir(tmp_path)
    plan = study(tmp_path)
    results = Path(plan.results)
    run_study(plan)
    tables, folder = results / "tables", results / "self_check"
    verdict = tables / "verdict.json"
    build_tables(plan, tables)
    build_verdict(plan, tables, verdict)
    checks = run_self_check(plan, tables, verdict, folder)
    assert 1 <= len(checks) <= 3
    for check in checks:
        small = folder / f"l0_{round(check.generator)}"
        world = json.loads((small / "world/manifest.json").read_text())
        assert check.true_l0 == pytest.approx(world["true_l0"], abs=1e-12)
        assert len(list(small.glob("saes/*/*/manifest.json"))) == 10
    written = json.loads((folder / "self_check.json").read_text())["checks"]
    assert [each["generator"] for each in written] == [check.generator for check in checks]

    # What is there is taken over, and says the same.
    trained = {path: path.stat().st_mtime_ns for path in folder.glob("l0_*/saes/*/*/manifest.json")}
    sources = {path: path.stat().st_mtime_ns for path in folder.rglob("truth.npz")}
    assert run_self_check(plan, tables, verdict, folder) == checks
    for files in (trained, sources):
        assert all(path.stat().st_mtime_ns == then for path, then in files.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activations": None, "synthetic": {}}, "self_check: only where the source is"),
        (
            {"saes": {"d_sae": 24, "l0": [2], "architecture": {"name": "abstopk"},
                      "training": {"training_tokens": 4096, "batch_tokens": 256}}},
            "self_check: latents of an abstopk SAE fire with either sign",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        study(tmp_path, **changes)


def test_too_few_held_out_tokens_are_refused(tmp_path):
    settings = study(tmp_path).study.activations.model_dump(mode="json")
    with pytest.raises(InputError, match="held_out_tokens 999 is below 1000; cache more or remove"):
        study(tmp_path, activations=settings | {"held_out_tokens": 999})
