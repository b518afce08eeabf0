"""Trainings written to Weights & Biases, offline."""

import json
import struct

import pytest

from correct_l0.errors import InputError
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training.tracking import Untracked, WandbTracker, build_tracker
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from made_up import config as made_up_config
from saes_toy import BATCH, STEPS, settings, train_toy


def chunks(content):
    """Yield the records of a .wandb file: LevelDB's log format after a header of seven bytes."""
    place, held = 7, b""
    while place + 7 <= len(content):
        rest = 32_768 - place % 32_768
        if rest < 7:
            place += rest
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        held += content[place + 7 : place + 7 + length]
        place += 7 + length
        # 1: a whole record; 2, 3: its first and middle pieces; 4: its last.
        if kind in (1, 4):
            yield held
            held = b""


def records(folder):
    """Return history, summary and description of every offline run, by its id."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    # Its process writes the end of the files when it ends.
    wandb.teardown()
    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        rows, summary, run = [], {}, None
        for data in chunks(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                run = record.run
            if record.HasField("history"):
                rows.append({_name(x): json.loads(x.value_json) for x in record.history.item})
            for item in record.summary.update:
                summary[_name(item)] = json.loads(item.value_json)
        before = found.get(run.run_id, ([], {}, None))[0]
        found[run.run_id] = (before + rows, summary, run)
    return found


def _name(item):
    return item.key or ".".join(item.nested_key)


def test_a_training_is_followed_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    facts = train_toy(tmp_path / "sae", tracker=WandbTracker("offline", "mine", tmp_path))
    ((rows, summary, run),) = records(tmp_path).values()
    assert (run.project, run.run_group, run.display_name) == (
        "correct-l0", "mine", "mine, l0 4.5, seed 0",
    )  # fmt: skip
    steps = [row["_step"] for row in rows]
    # Looked at every 50 steps, and where c_dec is measured: at every tenth of 200.
    assert steps == sorted({*range(20, STEPS + 1, 20)})
    assert rows[-1]["tokens"] == STEPS * BATCH
    loss = (tmp_path / "sae" / "loss.csv").read_text().splitlines()
    names, last = loss[0].split(","), loss[-1].split(",")
    for name in ("loss", "l0_batch", "c_dec"):
        assert rows[-1][name] == pytest.approx(float(last[names.index(name)]), rel=1e-5)
    assert summary["l0_measured"] == facts["l0_measured"]
    assert summary["dead_latents"] == facts["dead_latents"]


def test_the_training_is_the_same_with_and_without(tmp_path):
    for name, tracker in (("with", WandbTracker("offline", "mine", tmp_path)), ("without", None)):
        train_toy(tmp_path / name, tracker=tracker)
    for file in ("sae/sae_weights.safetensors", "sae/cfg.json", "loss.csv"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()


def test_it_is_off_by_default():
    config = parse_config(made_up_config())
    assert config.tracking == "none"
    assert isinstance(build_tracker("none", "mine", "results/mine"), Untracked)


def test_turning_it_on_makes_no_report_again():
    reports = [
        report_settings(Plan(parse_config({**made_up_config(), "tracking": tracking})))
        for tracking in ("none", "wandb-offline")
    ]
    assert reports[0] == reports[1]


def test_a_service_that_refuses_is_one_line(tmp_path, monkeypatch):
    import wandb

    def refuse(**arguments):
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", refuse)
    tracker = WandbTracker("online", "mine", tmp_path)
    job = PointJob(tmp_path, settings(), 0)
    with pytest.raises(InputError, match=r"refuses \(No API key configured.\); log in with"):
        tracker._open(job, "l0 4.5, seed 0")
