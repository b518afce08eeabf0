"""The benchmark of the whole study: the rival's stages, and what both studies are compared by."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAMP = {"machine": "a machine", "cores": "2", "date": "2026-01-02", "commit": "abc"}
RIVALS = ("torch", "sae-lens", "sae-probes")
AGAIN = "python benchmarks/rival_study.py"


@pytest.fixture(autouse=True)
def benchmarks_folder(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def default_study():
    path = BENCHMARKS.parent / "config" / "config.yaml"
    return module("correct_l0.study.config").parse_config(yaml.safe_load(path.read_text()))


def test_a_reduced_rival_study_keeps_its_ends_and_is_scaled_by_its_work():
    rival = module("rival_study")
    full = default_study()
    study = rival.reduced(full, points=2, seeds=1, tasks=5, tokens=2**16)
    assert study.saes.l0 == (min(full.saes.l0), max(full.saes.l0))
    assert len(study.points()) == 2
    tokens = full.activations.training_tokens / 2**16
    saes = len(full.points()) / 2
    assert rival.scale_of("saes", full, study) == pytest.approx(saes * tokens)
    assert rival.scale_of("probing", full, study) == pytest.approx(saes * 5)
    assert rival.scale_of("text", full, study) == 1
    assert rival.reduced(full, 99, 99, 99, 10**12).points() == full.points()


def rival_rows(study, **facts: str) -> list[dict[str, str]]:
    """Return a whole table of the rival's stages, made up."""
    versions = "; ".join(f"{name} {module('collect').version(name)}" for name in RIVALS)
    return [
        {
            "stage": stage,
            "seconds": "2.0",
            "seconds_full": "2.0",
            **module("rival_study").sizes(study),
            **STAMP,
            "versions": versions,
            **facts,
        }
        for stage in module("rival_stages").STAGES
    ]


def test_the_rivals_table_is_taken_where_it_is_whole_and_of_this_study():
    study, check = default_study(), module("study").check_rival
    check(rival_rows(study), study, STAMP, AGAIN)
    # Of a part of the study, extrapolated.
    check(rival_rows(study, points="2", seconds_full="9.0"), study, STAMP, AGAIN)
    # The committed one, as the machine that it is from would take it.
    tables = module("result_tables")
    committed = tables.read(tables.RESULTS / module("rival_study").TABLE)
    check(committed, study, committed[0], AGAIN)


def refused(rows, study) -> str:
    with pytest.raises(SystemExit) as stopped:
        module("study").check_rival(rows, study, STAMP, AGAIN)
    words = str(stopped.value)
    assert "\n" not in words
    assert words.startswith("rival_study.csv: ")
    assert words.endswith(f"; run {AGAIN}")
    return words


def test_the_rivals_table_is_refused_where_stages_are_missing_or_double():
    study = default_study()
    rows = rival_rows(study)
    assert "no row of saes, probing;" in refused(
        [row for row in rows if row["stage"] not in ("saes", "probing")], study
    )
    assert "no row of text, " in refused([], study)
    assert "two stages: saes;" in refused([*rows, rows[3]], study)
    assert "two stages: tea;" in refused([*rows, {**rows[0], "stage": "tea"}], study)


def test_the_rivals_table_is_refused_from_elsewhere_or_of_another_study():
    study = default_study()
    rows = rival_rows(study)

    def with_last(**facts: str) -> str:
        return refused([*rows[:-1], {**rows[-1], **facts}], study)

    assert "probing was measured with machine other, here: a machine;" in with_last(machine="other")
    assert "probing was measured with cores 4, here: 2;" in with_last(cores="4")
    assert "not measured with sae-lens" in with_last(versions="torch 2; sae-lens 1")
    assert "probing is of another study than text;" in with_last(seeds="1")
    assert "points is 2, in the study 10;" in refused(rival_rows(study, points="2"), study)
    more = rival_rows(study, training_tokens="9999999", seconds_full="9.0")
    assert "training_tokens is 9999999, in the study 1048576;" in refused(more, study)


def test_a_pilot_takes_as_many_batches_however_many_there_are():
    spread = module("rival_stages").spread
    for count in (12, 13, 23, 24, 129, 258):
        taken = spread(range(count), 12)
        assert len(set(taken)) == 12
        assert (taken[0], taken[-1]) == (0, count - 1)
        steps = [b - a for a, b in itertools.pairwise(taken)]
        assert max(steps) - min(steps) <= 1
    assert spread(range(5), 12) == [0, 1, 2, 3, 4]


def test_metrics_of_both_studies_are_held_against_the_spread_over_seeds(tmp_path):
    metrics = module("study_metrics")
    ours, rival = tmp_path / "ours", tmp_path / "rival"
    # c_dec of ours 1, 2, 3 and of theirs 2, 3, 4: one standard deviation apart. s_n^dec: 10 times.
    for seed in range(3):
        folder = ours / "decoder_metrics" / "l0_32" / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "c_dec.csv").write_text(f"c_dec,d_sae\n{seed + 1},9\n")
        (folder / "s_n_dec.csv").write_text(
            "n,statistic,value\n"
            f"8,batch_mean,{10 * (seed + 1)}\n8,pooled,77\n16,batch_mean,{seed + 3}\n"
        )
        theirs = {"l0": "32", "seed": seed, "c_dec": seed + 2.0}
        theirs["s_n_dec"] = {"8": 10 * (seed + 2.0), "16": seed + 1.0}
        path = rival / "saes" / f"l0_32_seed_{seed}" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(theirs))
    c_dec, s_n_dec = metrics.metric_rows(ours, rival)
    assert c_dec[1] == {"l0": "32", "seed": "1", "ours": "2.000000", "rival": "3.000000"}
    assert [row["n"] for row in s_n_dec] == ["8"] * 3 + ["16"] * 3
    assert metrics.apart(c_dec, ("l0",))[("32",)].spreads == pytest.approx(-1)
    found = metrics.apart(s_n_dec, ("l0", "n"))
    assert {key: point.spreads for key, point in found.items()} == {
        ("32", "8"): pytest.approx(-1),
        ("32", "16"): pytest.approx(2),
    }
    # Student's t of 4 degrees of freedom: 2.776.
    assert metrics.apart(c_dec, ("l0",))[("32",)].limit == pytest.approx(
        2.776 * (2 / 3) ** 0.5, 1e-3
    )
    lines = metrics.section(c_dec, s_n_dec)
    assert lines[2] == (
        "| 32 | 2.00000 ± 1.00000 | 3.00000 ± 1.00000 | -1.0 | +0.5 (-1.0 to +2.0) |"
    )
    assert "c_dec is at 0 of 1, the median of s_n^dec at 0 of 1" in lines[-1]
    assert metrics.section([], []) == []
    assert "no spread" in metrics.section(c_dec[:1], s_n_dec[:1])[-1]
