"""Several points in one pass over the data: each has the bits it has alone."""

import json
import os
import signal

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.saes.finished import still_to_train
from correct_l0.saes.settings import PointJob, parse_settings
from correct_l0.saes.training.feed import DeviceFeed
from correct_l0.saes.training.points import train_points
from correct_l0.saes.training.result import OUTPUTS
from correct_l0.saes.training.trainer import build_trainer
from cuda_toy import COPY_S, made_up_cuda
from saes_toy import BATCH, D_IN, STEPS, ToyBatches, ToyStore, settings, train_toy

PAPER = {"kind": "paper_lower", "n": 9, "every_steps": 10, "window_steps": 3}
DESCENT = {"kind": "descent", "every_steps": 4, "wait_periods": 12}
POINTS = {
    "plain": settings(4.5, lr_warm_up_steps=20),
    "dead": settings(0.5, dead_feature_window=5),
    "short": settings(2.3, training_tokens=120 * BATCH, lr_decay_fraction=0.3),
    "reduced": settings(6, precision="reduced"),
    "saelens": settings(3, engine="saelens", training_tokens=150 * BATCH),
    "paper": settings(6, l0_schedule=PAPER),
    "descent": settings(3, l0_schedule=DESCENT),
}


class CountedBatches(ToyBatches):
    """Batches that note which were asked for, and ask the process to stop at one of them."""

    def __init__(self, stop_at=None):
        super().__init__(ToyStore())
        self.asked, self.stop_at = [], stop_at

    def batch(self, step):
        self.asked.append(step)
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().batch(step)


def jobs_in(folder, names=POINTS, **changed):
    texts = {name: changed.get(name, POINTS[name]) for name in names}
    return {name: PointJob(folder / name, text, 0) for name, text in texts.items()}


def train(folder, names=POINTS, stop_at=None, **changed):
    """Train the points that are not there together.

    Returns the failures and the steps whose batch was asked for.
    """
    torch.set_num_threads(1)
    batches = CountedBatches(stop_at)
    jobs = still_to_train(jobs_in(folder, names, **changed).values(), ToyStore.digest)
    if stop_at is None:
        return train_points(ToyStore(), batches, jobs, measures=measures()), batches.asked
    with pytest.raises(SystemExit) as stopped:
        train_points(ToyStore(), batches, jobs, measures=measures())
    assert stopped.value.code == 128 + signal.SIGUSR1
    return {}, batches.asked


def content(folder):
    files = {*OUTPUTS, *(path.name for path in folder.glob("l0_course.csv"))}
    return {name: (folder / name).read_bytes() for name in files}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    for name, text in POINTS.items():
        train_toy(folder / name, text)
    return {name: content(folder / name) for name in POINTS}


def test_together_the_bits_are_those_alone(tmp_path, alone):
    failures, asked = train(tmp_path)
    assert failures == {}
    assert asked == list(range(STEPS))
    for name, expected in alone.items():
        assert content(tmp_path / name) == expected, name
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["resumed_from_step"] is None
        assert 0 <= manifest["data_wait_fraction"] < 1
        assert manifest["tokens_per_s"] == pytest.approx(manifest["tokens"] / manifest["wall_s"])
        assert not (tmp_path / name / "checkpoint").exists()


def test_after_a_stop_points_go_on_in_other_groups(tmp_path, alone):
    """Two groups stopped at different steps, then all points in one: each from its own step."""
    train(tmp_path, ["plain", "short"], stop_at=60)
    train(tmp_path, ["dead", "saelens", "paper", "descent"], stop_at=130)
    failures, asked = train(tmp_path)
    assert failures == {}
    assert asked == list(range(STEPS))
    resumed = {"plain": 61, "short": 61, "dead": 131, "saelens": 131, "reduced": None}
    resumed |= {"paper": 131, "descent": 131}
    for name, step in resumed.items():
        assert content(tmp_path / name) == alone[name], name
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["resumed_from_step"] == step


def test_stopped_after_a_member_ended(tmp_path, alone):
    train(tmp_path, stop_at=170)
    assert (tmp_path / "short" / "manifest.json").exists()
    before = (tmp_path / "short" / "manifest.json").read_bytes()
    assert not (tmp_path / "plain" / "manifest.json").exists()
    _, asked = train(tmp_path)
    assert asked == list(range(171, STEPS))
    assert (tmp_path / "short" / "manifest.json").read_bytes() == before
    assert {name: content(tmp_path / name) for name in POINTS} == alone


def test_only_the_point_that_changed_is_trained_again(tmp_path, alone, capsys):
    train(tmp_path, ["plain", "dead", "short"])
    capsys.readouterr()
    _, asked = train(
        tmp_path, ["plain", "dead", "short"], short=settings(2.4, training_tokens=10 * BATCH)
    )
    assert capsys.readouterr().out.count("trained earlier with the same settings") == 2
    assert asked == list(range(10))
    assert content(tmp_path / "plain") == alone["plain"]


def test_a_diverging_point_is_left_out(tmp_path, alone):
    failures, _ = train(tmp_path, ["plain", "dead", "short"], dead=settings(lr=1e30))
    job = PointJob(tmp_path / "dead", settings(lr=1e30), 0)
    assert list(failures) == [job]
    reason = json.loads((tmp_path / "dead" / "failure.json").read_text())["reason"]
    assert reason == str(failures[job])
    assert "l0 4.5, seed 0, step 1: the loss is non-finite with lr 1e+30" in reason
    assert not (tmp_path / "dead" / "manifest.json").exists()
    for name in ("plain", "short"):
        assert content(tmp_path / name) == alone[name]
        assert not (tmp_path / name / "failure.json").exists()


def test_a_diverging_point_does_not_keep_the_others_from_being_saved(tmp_path, alone):
    """Stopped before the first look at the losses."""
    train(tmp_path, ["plain", "dead"], stop_at=20, dead=settings(lr=1e30))
    assert "non-finite" in (tmp_path / "dead" / "failure.json").read_text()
    index = json.loads((tmp_path / "plain/checkpoint/index.json").read_text())
    assert (index["step"], index["identity"]["settings"]) == (21, POINTS["plain"])
    train(tmp_path, ["plain"])
    assert content(tmp_path / "plain") == alone["plain"]


def test_settings_that_hold_no_training_fail_that_point(tmp_path, alone):
    failures, _ = train(tmp_path, ["plain", "short"], short=settings(training_tokens=1))
    assert ["below batch_tokens" in str(error) for error in failures.values()] == [True]
    assert content(tmp_path / "plain") == alone["plain"]


def test_unreadable_data_fail_every_point(tmp_path):
    class Damaged(ToyBatches):
        def batch(self, step):
            if step == 5:
                raise InputError("shard 0: its bytes differ")
            return super().batch(step)

    jobs = list(jobs_in(tmp_path, ["plain", "short"]).values())
    failures = train_points(ToyStore(), Damaged(ToyStore()), jobs, measures=measures())
    assert {str(error) for error in failures.values()} == {"shard 0: its bytes differ"}
    assert list(failures) == jobs


def test_unreadable_data_fail_the_points_that_need_them(tmp_path, alone):
    """A point that is further goes on, and what the others have is saved."""

    class Damaged(ToyBatches):
        def batch(self, step):
            if step == 5:
                raise InputError("shard 0: its bytes differ")
            return super().batch(step)

    train(tmp_path, ["plain"], stop_at=60)
    jobs = jobs_in(tmp_path, ["plain", "dead", "short"], dead=settings(lr=1e30))
    failures = train_points(
        ToyStore(), Damaged(ToyStore()), list(jobs.values()), measures=measures()
    )
    assert failures.keys() == {jobs["dead"], jobs["short"]}
    assert str(failures[jobs["short"]]) == "shard 0: its bytes differ"
    assert "the loss is non-finite" in str(failures[jobs["dead"]])
    assert content(tmp_path / "plain") == alone["plain"]
    assert json.loads((tmp_path / "short/checkpoint/index.json").read_text())["step"] == 5
    assert not (tmp_path / "dead" / "checkpoint").exists()
    _, asked = train(tmp_path, ["short"])
    assert asked[0] == 5
    assert content(tmp_path / "short") == alone["short"]


@pytest.mark.parametrize("other", [(settings(batch_tokens=64), 0), (settings(), 1)])
def test_points_of_another_stream_are_refused(tmp_path, other):
    jobs = [PointJob(tmp_path / "a", settings(), 0), PointJob(tmp_path / "b", *other)]
    with pytest.raises(ValueError, match="differ in"):
        train_points(ToyStore(), ToyBatches(ToyStore()), jobs, measures=measures())


def test_points_share_the_memory_of_a_step():
    shared, parsed = {}, parse_settings(settings())
    first, second = (build_trainer(parsed, D_IN, 0, shared=shared) for _ in range(2))
    assert first._work is second._work
    assert build_trainer(parsed, D_IN, 0)._work is not first._work


def test_saelens_holds_gradients_within_a_step_only():
    """As `memory.gpu_mem_mb` counts them: once for all points."""
    trainer = build_trainer(parse_settings(POINTS["saelens"]), D_IN, 0)
    trainer.step(ToyBatches(ToyStore()).batch(0))
    assert all(value.requires_grad and value.grad is None for value in trainer.weights)


def test_only_the_step_is_of_reduced_precision(tmp_path, monkeypatch):
    """c_dec along the training is compared with the final one, which is of full precision."""
    from correct_l0.saes.engine import batchtopk

    seen = {"step": [], "c_dec": []}

    def noting(what, function):
        def note(*arguments):
            seen[what].append(torch.get_float32_matmul_precision())
            return function(*arguments)

        return note

    step, real = batchtopk.FusedTrainer.step, measures()
    monkeypatch.setattr(batchtopk.FusedTrainer, "step", noting("step", step))
    train_toy(
        tmp_path,
        settings(precision="reduced", training_tokens=20 * BATCH),
        measures=real._replace(c_dec=noting("c_dec", real.c_dec)),
    )
    assert seen == {"step": ["medium"] * 20, "c_dec": ["highest"] * 10}


def test_waiting_is_shared_equally(tmp_path, monkeypatch):
    """Each batch takes 4 s and a point's own step 3 s: of 5 s two are spent waiting."""
    now = [0.0]

    class Slow(ToyBatches):
        def batch(self, step):
            now[0] += 4
            return super().batch(step)

    def clock():
        return now[0]

    from correct_l0.saes.engine import batchtopk
    from correct_l0.saes.training import points
    from correct_l0.saes.training import train as training

    step = batchtopk.FusedTrainer.step

    def three_seconds(self, x, l0):
        now[0] += 3
        return step(self, x, l0)

    monkeypatch.setattr(points.time, "perf_counter", clock)
    monkeypatch.setattr(training.time, "perf_counter", clock)
    monkeypatch.setattr(batchtopk.FusedTrainer, "step", three_seconds)
    texts = [settings(l0, training_tokens=10 * BATCH) for l0 in (2, 4)]
    jobs = [PointJob(tmp_path / str(i), text, 0) for i, text in enumerate(texts)]
    train_points(ToyStore(), Slow(ToyStore()), jobs, measures=measures())
    for job in jobs:
        manifest = json.loads((job.folder / "manifest.json").read_text())
        assert manifest["wall_s"] == pytest.approx(50)
        assert manifest["data_wait_fraction"] == pytest.approx(0.4)


def test_batches_on_their_way_to_a_device_change_no_bit(tmp_path, alone, monkeypatch):
    """And of the time all is waiting, as nothing is computed on the made-up device."""
    made_up_cuda(monkeypatch).now = 1e9
    monkeypatch.setattr(
        "correct_l0.saes.training.points.feed_of",
        lambda batches, device, scale: DeviceFeed(batches, "cpu", scale),
    )
    failures, asked = train(tmp_path, ["plain", "short"])
    assert (failures, asked[:STEPS]) == ({}, list(range(STEPS)))
    steps = {"plain": 120 / 2 + 80, "short": 120 / 2}
    for name, waited in steps.items():
        assert content(tmp_path / name) == alone[name], name
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        found = manifest["data_wait_fraction"] * manifest["wall_s"]
        assert found == pytest.approx(COPY_S * waited)
