"""The shipped studies of SAEs that exist already, read without a hub."""

from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from correct_l0.costs.estimates import fetching_s
from correct_l0.costs.throughputs import DISK_READ, DOWNLOAD
from correct_l0.study.opened import open_plans

CONFIG = Path(__file__).parents[2] / "config" / "imported"
L0 = {"layer-5-16k": ["18", "34", "68", "143", "309"],
      "layer-12-16k": ["22", "41", "82", "176", "445"],
      "layer-12-65k": ["21", "38", "72", "141", "297"],
      "layer-20-16k": ["22", "38", "71", "139", "294"]}  # fmt: skip


def plans(name, folder):
    with chdir(folder):
        raw = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
        return {plan.study.sweep: plan for plan in open_plans(raw, CONFIG)}


@pytest.mark.parametrize(
    ("name", "sweeps", "points", "d_in", "widths"),
    [
        ("gemma-scope-2b", 6, None, 2304, {16384, 65536}),
        ("saebench-pythia-160m", 7, 6, 768, {4096}),
        ("saebench-gemma-2-2b", 7, 6, 2304, {4096}),
        ("synth-sae-bench", 5, 35, 768, {4096}),
    ],
)
def test_each_is_read_without_a_hub(tmp_path, name, sweeps, points, d_in, widths):
    found = plans(name, tmp_path)
    assert len(found) == sweeps
    assert {plan.study.saes.d_sae for plan in found.values()} == widths
    for sweep, plan in found.items():
        assert plan.study.source.d_in == d_in and plan.study.source.kind == "weights"
        assert points is None or len(plan.points) == points
        if sweep in L0:
            assert plan.labels == L0[sweep]


def test_seeds_are_compared_where_there_are_some(tmp_path):
    found = plans("synth-sae-bench", tmp_path)["batchtopk"]
    assert found.compared["15"] == (0, 1, 2, 3, 4) and len(found.stability_manifests()) == 7


def test_synth_sae_bench_has_its_published_truth(tmp_path):
    found = plans("synth-sae-bench", tmp_path)
    assert {plan.study.told_true_l0 for plan in found.values()} == {34.0}
    assert found["matching-pursuit"].study.saes.family == "matching_pursuit"


def test_topk_families_have_their_k_and_others_a_number(tmp_path):
    found = plans("saebench-pythia-160m", tmp_path)
    assert found["topk"].labels == ["20", "40", "80", "160", "320", "640"]
    assert found["standard"].study.saes.swept == "number"


def test_what_fetching_costs_is_told_before(tmp_path):
    study = plans("gemma-scope-2b", tmp_path)["layer-12-16k"].study
    # Five SAEs: an encoder and a decoder of 2,304 x 16,384 float32 each.
    weights = 5 * 2 * 2304 * 16384 * 4
    told = 3 + weights / DOWNLOAD + weights / DISK_READ
    assert fetching_s(study) == pytest.approx(told, rel=0.01)
