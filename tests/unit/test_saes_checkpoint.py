"""Interrupted training goes on to the same bits; a checkpoint that is not right is not used."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import saes_toy
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import sha256_of
from correct_l0.saes.training import checkpoint, points
from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from saes_toy import STEPS, settings, stop_at, train_toy

IDENTITY = {"settings": "a", "seed": 0}


def weights_of(folder):
    return (folder / "sae" / "sae_weights.safetensors").read_bytes()


def snapshots_of(folder):
    return (folder / "snapshots.safetensors").read_bytes()


def losses_of(folder):
    return (folder / "loss.csv").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_toy(folder, snapshots=True)
    return folder


def start(folder, checkpoint_s):
    """Start training in a process of its own, and return it once 20 steps are done."""
    command = [sys.executable, saes_toy.__file__, str(folder), settings(), str(checkpoint_s)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    for line in process.stdout:
        if line == "step 20\n":
            return process
    raise AssertionError(f"ended with {process.wait()} before step 20")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_training_goes_on_to_the_same_bits(tmp_path, uninterrupted, number):
    """On SIGTERM a checkpoint is written; SIGKILL leaves that of the timer."""
    process = start(tmp_path, checkpoint_s=3600 if number == signal.SIGTERM else 0)
    process.send_signal(number)
    code = process.wait(timeout=600)
    assert code == (128 + number if number == signal.SIGTERM else -number)
    step = json.loads((tmp_path / "checkpoint" / "index.json").read_text())["step"]
    assert 19 <= step < STEPS
    assert not (tmp_path / "manifest.json").exists()
    manifest = train_toy(tmp_path, snapshots=True)
    assert manifest["resumed_from_step"] == step
    assert weights_of(tmp_path) == weights_of(uninterrupted)
    assert losses_of(tmp_path) == losses_of(uninterrupted)
    assert snapshots_of(tmp_path) == snapshots_of(uninterrupted)
    assert not (tmp_path / "checkpoint").exists()


def test_stopped_twice_with_dead_latents_gives_the_same_bits(tmp_path):
    for engine in ("saelens", "fused"):
        text = settings(
            l0=0.5, engine=engine, dead_feature_window=5, lr_warm_up_steps=30, lr_decay_fraction=0.2
        )
        train_toy(tmp_path / engine / "whole", text, snapshots=True)
        stop_at(tmp_path / engine / "parts", text, 60, snapshots=True)
        stop_at(tmp_path / engine / "parts", text, 180, snapshots=True)
        manifest = train_toy(tmp_path / engine / "parts", text, snapshots=True)
        assert manifest["resumed_from_step"] == 181
        whole, parts = (tmp_path / engine / name for name in ("whole", "parts"))
        assert weights_of(parts) == weights_of(whole)
        assert losses_of(parts) == losses_of(whole)
        assert snapshots_of(parts) == snapshots_of(whole)
        aux_losses = [float(line.split(",")[3]) for line in losses_of(whole).decode().split()[1:]]
        assert max(aux_losses) > 0


def test_a_training_that_nothing_stops_writes_no_state(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "save", lambda *_: pytest.fail("a state was written"))
    train_toy(tmp_path)


@pytest.mark.parametrize("error", [InputError("damaged rows"), RuntimeError("out of memory")])
def test_what_fails_at_the_end_goes_on_from_the_end(tmp_path, uninterrupted, monkeypatch, error):
    def fail(*_arguments, **_options):
        raise error

    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(points, "write_point", fail)
        train_toy(tmp_path)
    manifest = train_toy(tmp_path)
    assert manifest["resumed_from_step"] == STEPS
    assert weights_of(tmp_path) == weights_of(uninterrupted)
    assert losses_of(tmp_path) == losses_of(uninterrupted)
    assert not (tmp_path / "checkpoint").exists()


def test_stopped_while_it_is_measured_a_training_goes_on_from_the_end(
    tmp_path, uninterrupted, monkeypatch
):
    class Stopping(saes_toy.ToyStore):
        def held_out(self, start, stop):
            os.kill(os.getpid(), signal.SIGTERM)
            return super().held_out(start, stop)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(saes_toy, "ToyStore", Stopping)
        train_toy(tmp_path)
    assert train_toy(tmp_path)["resumed_from_step"] == STEPS
    assert weights_of(tmp_path) == weights_of(uninterrupted)


@pytest.mark.parametrize("damage", ["state", "truncated", "index", "missing"])
def test_a_damaged_checkpoint_is_discarded(tmp_path, uninterrupted, damage, capsys):
    stop_at(tmp_path, settings(), 30)
    index = tmp_path / "checkpoint" / "index.json"
    (state,) = index.parent.glob("step_31.*.pt")
    content = state.read_bytes()
    if damage == "state":
        state.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "truncated":
        state.write_bytes(content[:-100])
    elif damage == "index":
        index.write_text(index.read_text()[:40])
    else:
        state.unlink()
    manifest = train_toy(tmp_path)
    assert "training starts anew" in capsys.readouterr().out
    assert manifest["resumed_from_step"] is None
    assert weights_of(tmp_path) == weights_of(uninterrupted)


def lose_moments(state):
    del state["trainer"]["means"]


def lose_history(state):
    del state["history"]


def shrink_a_tensor(state):
    """`copy_` would repeat it."""
    state["trainer"]["since_fired"] = state["trainer"]["since_fired"][:1]


def pass_the_end(state):
    state["trainer"]["n_steps"] = STEPS + 1


def change_a_type(state):
    state["trainer"]["squares"] = None


@pytest.mark.parametrize(
    "damage", [lose_moments, lose_history, shrink_a_tensor, pass_the_end, change_a_type, None]
)
def test_a_state_of_another_form_is_discarded_though_its_checksum_fits(
    tmp_path, uninterrupted, damage, capsys
):
    """The trainer that took up a part of it begins anew; None: bytes that are no state."""
    stop_at(tmp_path, settings(), 30)
    index = tmp_path / "checkpoint" / "index.json"
    (path,) = index.parent.glob("step_31.*.pt")
    if damage is None:
        path.write_bytes(b"torn")
    else:
        state = torch.load(path, weights_only=True)
        damage(state)
        torch.save(state, path)
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"sha256": sha256_of(path)}))
    manifest = train_toy(tmp_path)
    assert "training starts anew" in capsys.readouterr().out
    assert manifest["resumed_from_step"] is None
    assert weights_of(tmp_path) == weights_of(uninterrupted)
    assert losses_of(tmp_path) == losses_of(uninterrupted)


@pytest.mark.parametrize("change", [{"lr": 0.02}, {"engine": "saelens"}])
def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, change, capsys):
    stop_at(tmp_path, settings(), 30)
    manifest = train_toy(tmp_path, settings(**change))
    assert "made with other settings, seed, activations or code" in capsys.readouterr().out
    assert manifest["resumed_from_step"] is None


def test_of_another_seed_or_store_is_not_used(tmp_path):
    Checkpoints(tmp_path, IDENTITY).save(1, {"x": torch.ones(2)})
    assert Checkpoints(tmp_path, {**IDENTITY, "seed": 1}).load() is None
    assert Checkpoints(tmp_path, {**IDENTITY, "store": "b"}).load() is None
    assert torch.equal(Checkpoints(tmp_path, IDENTITY).load()["x"], torch.ones(2))


def test_only_the_last_checkpoint_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step})
    names = sorted(path.name.split(".")[0] for path in tmp_path.iterdir())
    assert names == ["index", "step_3"]
    assert checkpoints.load() == {"step": 3}
    checkpoints.clear()
    assert checkpoints.load() is None
    assert not Path(tmp_path).exists()


def test_two_writers_leave_each_other_a_checkpoint(tmp_path, monkeypatch):
    """A job whose Snakemake was killed writes on beside the job that replaced it."""

    def write(checkpoints, process, step):
        monkeypatch.setattr(os, "getpid", lambda: process)
        checkpoints.save(step, {"step": step})

    folder = tmp_path / "checkpoint"
    orphan = Checkpoints(folder, IDENTITY)
    write(orphan, 1, 10)
    (folder / "tmp_of_a_killed_job").mkdir()
    second = Checkpoints(folder, IDENTITY)
    assert second.load() == {"step": 10}
    for checkpoints, process, step in ((second, 2, 20), (orphan, 1, 15), (second, 2, 30)):
        write(checkpoints, process, step)
        assert Checkpoints(folder, IDENTITY).load() == {"step": step}
    orphan.clear()
    write(second, 2, 40)
    assert Checkpoints(folder, IDENTITY).load() == {"step": 40}
    second.clear()
    assert not folder.exists()


def test_torch_s_own_checksums_are_left_out_of_checkpoints_alone(tmp_path, monkeypatch):
    asked, save = [], torch.save

    def seen(state, file):
        asked.append(torch.serialization.get_crc32_options())
        save(state, file)

    monkeypatch.setattr(torch, "save", seen)
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    checkpoints.save(1, {"x": torch.arange(1000.0)})
    assert asked == [False] and torch.serialization.get_crc32_options()
    assert torch.equal(checkpoints.load()["x"], torch.arange(1000.0))
    (path,) = tmp_path.glob("step_1.*.pt")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert checkpoints.load() is None


def test_a_full_disk_is_named_as_such(tmp_path, monkeypatch):
    @contextmanager
    def on_a_full_disk(_path):
        yield Path("/dev/full")

    monkeypatch.setattr(checkpoint, "replacing", on_a_full_disk)
    with pytest.raises(OSError, match="No space left") as error:
        Checkpoints(tmp_path, IDENTITY).save(1, {"x": torch.ones(1_000_000)})
    assert error.value.errno == errno.ENOSPC


def test_a_disk_that_fills_while_it_is_written_is_named_as_such(tmp_path, monkeypatch):
    """As torch does it: an error of its own, with the system's behind it."""

    def save(_state, _file):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")  # noqa: B904

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left"):
        Checkpoints(tmp_path, IDENTITY).save(1, {"x": torch.ones(2)})


def test_the_timer(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Interruption(period_s=120) as interruption:
        now[0] = 219.0
        assert not interruption.due()
        now[0] = 220.0
        assert interruption.due()
        now[0] = 339.0
        assert not interruption.due()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
