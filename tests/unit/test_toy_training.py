"""The step, the group and its checkpoints: the same bits alone, together and after a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.group import train_group
from correct_l0.toy_model.point import PointSettings, train_part
from correct_l0.toy_model.sae import DEAD_AFTER, ToySae, random_weights, weights_at
from correct_l0.toy_model.schedules import Fixed, Linear
from correct_l0.toy_model.step import Adam, Weights, Workspace, batchtopk_gradient
from toy_study import settings

ROOT = Path(__file__).parents[2]
FEATURES = build_features(PointSettings.parse(settings()).toy_model)
BATCH = 64


def sae(l0: float, seed: int = 0, **options) -> ToySae:
    schedule = options.pop("schedule", None) or Fixed(l0)
    return ToySae(random_weights(12, 8, seed), 3e-3, schedule, **options)


def train(members, steps=60, seed=0, folder=Path("unused"), period_s=1e9, batches=None):
    work = Workspace(BATCH, 12, 8)
    with Interruption(period_s) as interruption:
        train_group(
            members,
            batches or Stream(FEATURES, seed, BATCH),
            steps,
            Checkpoints(folder, {"test": 1}),
            interruption,
            lambda member, batch, step: member.step(batch, step, work),
        )


def random_case(seed: int):
    """A batch, and weights in the midst of training."""
    generator = torch.Generator().manual_seed(seed)
    weights = Weights(12, 8)
    weights.flat.copy_(0.3 * torch.randn(len(weights.flat), generator=generator))
    return torch.randn(BATCH, 12, generator=generator), weights


@pytest.mark.numbers
def test_the_gradient_is_autograds():
    """An independent forward pass: select on pre-activations times norms, decode, square."""
    x, weights = random_case(1)
    count, work = int(2.5 * BATCH), Workspace(BATCH, 12, 8)
    batchtopk_gradient(x, weights, count, None, work)
    W_enc, b_enc, W_dec, b_dec = (part.clone().requires_grad_() for part in weights)
    pre_acts = (x - b_dec) @ W_enc + b_enc
    scaled = (pre_acts * W_dec.norm(dim=1)).detach()
    limit = scaled.flatten().sort(descending=True).values[count - 1]
    z = pre_acts * ((scaled >= limit) & (scaled > 0))
    loss = (z @ W_dec + b_dec - x).square().sum() / BATCH
    expected = torch.autograd.grad(loss, (W_enc, b_enc, W_dec, b_dec))
    for found, wanted in zip(work.gradient, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.numbers
def test_the_gradient_is_that_of_the_language_models_engine():
    x, weights = random_case(2)
    work, count = Workspace(BATCH, 12, 8), 3 * BATCH
    facts = batchtopk_gradient(x, weights, count, 0.5, work)
    options = StepOptions(count, None, None, 1.0, sparse=False)
    _, result, expected = loss_and_gradients(x, *weights, options)
    assert facts.smallest == pytest.approx(result.smallest, abs=1e-6)
    for found, wanted in zip(work.gradient, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_adam_is_torchs_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(101, generator=generator)
    parameter = torch.nn.Parameter(values.clone())
    theirs = torch.optim.Adam([parameter], lr=3e-4, foreach=False)
    ours, scratch = Adam(101, 3e-4), torch.empty(101)
    for _ in range(20):
        gradient = torch.randn(101, generator=generator)
        parameter.grad = gradient.clone()
        theirs.step()
        ours.step_(values, gradient, scratch)
    assert torch.equal(values, parameter.detach())


def test_a_long_gradient_is_scaled_down_to_norm_one():
    member, work = sae(2), Workspace(BATCH, 12, 8)
    member.step(1000 * Stream(FEATURES, 0, BATCH).batch(0), 0, work)
    assert work.gradient.flat.norm().item() == pytest.approx(1, abs=1e-5)


def test_together_or_alone_the_bits_are_the_same(tmp_path):
    """Three L0, one of them fractional, one with another seed; alone, and in another order."""
    cases = [(1.0, 0), (2.5, 0), (4.0, 3)]
    together = [sae(*case) for case in cases]
    train(together, folder=tmp_path / "together")
    backwards = [sae(*case) for case in reversed(cases)]
    train(backwards, folder=tmp_path / "backwards")
    for case, grouped, other in zip(cases, together, reversed(backwards), strict=True):
        alone = sae(*case)
        train([alone], folder=tmp_path / f"alone_{case[0]}")
        assert torch.equal(alone.weights.flat, grouped.weights.flat)
        assert torch.equal(other.weights.flat, grouped.weights.flat)
        assert torch.equal(alone.optimizer.square, grouped.optimizer.square)
    assert not torch.equal(together[0].weights.flat, together[1].weights.flat)


class StopAt:
    """Batches that ask the process to stop while one of them is made."""

    def __init__(self, step: int) -> None:
        self.stream, self.at = Stream(FEATURES, 0, BATCH), step

    def batch(self, step: int) -> torch.Tensor:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.stream.batch(step)


def test_a_stopped_group_goes_on_to_the_same_bits(tmp_path):
    def members():
        ramp = Linear(4, 1, ramp_steps=40, record_every=7)
        return [sae(2.5), sae(0, schedule=ramp)]

    whole, first, second = members(), members(), members()
    train(whole, folder=tmp_path / "whole")
    with pytest.raises(SystemExit) as stop:
        train(first, folder=tmp_path / "stopped", batches=StopAt(31))
    assert stop.value.code == 128 + signal.SIGTERM
    train(second, folder=tmp_path / "stopped")
    for a, b in zip(whole, second, strict=True):
        assert torch.equal(a.weights.flat, b.weights.flat)
    assert second[1].schedule.trajectory == whole[1].schedule.trajectory
    assert [point["step"] for point in second[1].schedule.trajectory] == list(range(7, 61, 7))


def test_a_fractional_l0_keeps_that_many(tmp_path):
    """int(2.51 * 64) = 160 activations of the batch."""
    member, work = sae(2.51), Workspace(BATCH, 12, 8)
    member.step(Stream(FEATURES, 0, BATCH).batch(0), 0, work)
    assert int(torch.count_nonzero(work.acts)) == 160


def test_dead_latents_get_the_auxiliary_loss(tmp_path):
    """A dead latent's weights move towards the error only after it has been silent long enough."""
    member, work = sae(1), Workspace(BATCH, 12, 8)
    member.weights.b_enc[3] = -100
    x = Stream(FEATURES, 0, BATCH).batch(0)
    member.steps_since_fired[3] = DEAD_AFTER
    before = member.weights.W_dec[3].clone()
    member.step(x, 0, work)
    assert torch.equal(member.weights.W_dec[3], before)
    assert int(member.steps_since_fired[3]) == DEAD_AFTER + 1
    member.step(x, 1, work)
    assert not torch.equal(member.weights.W_dec[3], before)


def test_an_error_that_is_not_finite_is_named():
    member = sae(2, label="l0 2, seed 0")
    with pytest.raises(InputError, match="l0 2, seed 0: the error is not finite at step 0 with lr"):
        member.step(torch.full((BATCH, 12), torch.inf), 0, Workspace(BATCH, 12, 8))


def test_the_right_l0_finds_the_features(tmp_path):
    """Eight features, a third of them firing on average."""
    import numpy as np

    from correct_l0.toy_model.matching import match_latents

    right, low = sae(FEATURES.true_l0), sae(0.7)
    train([right, low], steps=3000, folder=tmp_path)
    cosines = [
        match_latents(member.weights.W_dec.double().numpy(), FEATURES.directions).best
        for member in (right, low)
    ]
    assert np.mean(cosines[0]) > 0.97
    assert np.mean(cosines[1]) < 0.85


def test_weights_at_the_truth_reconstruct():
    weights = weights_at(torch.tensor(FEATURES.directions, dtype=torch.float32))
    x = Stream(FEATURES, 0, BATCH).batch(0)
    assert torch.allclose(x @ weights.W_enc @ weights.W_dec, x, atol=1e-5)


def test_only_missing_points_are_trained(tmp_path, capsys):
    first = train_part(settings(), [1.0, 2.5], 0, tmp_path, 1e9)
    content = [path.read_bytes() for path in first]
    capsys.readouterr()
    again = train_part(settings(), [1.0, 2.0, 2.5], 0, tmp_path, 1e9)
    assert "l0 2, seed 0" in (printed := capsys.readouterr().out)
    assert "l0 1," not in printed
    assert [again[0].read_bytes(), again[2].read_bytes()] == content
    train_part(settings(lr=1e-3), [1.0], 0, tmp_path, 1e9)
    assert "trained again" in capsys.readouterr().out
    assert not list(tmp_path.rglob("checkpoint*/*"))


def test_a_saved_point_is_read_by_saelens(tmp_path):
    from sae_lens import SAE

    from correct_l0.saes.saved import load_saved_sae

    (path,) = train_part(settings(), [2.5], 0, tmp_path, 1e9)
    ours, theirs = load_saved_sae(path.parent / "sae"), SAE.load_from_disk(path.parent / "sae")
    x = Stream(FEATURES, 5, 500).batch(0)
    torch.testing.assert_close(ours.encode(x), theirs.encode(x).detach())
    assert torch.count_nonzero(ours.encode(x)).item() / 500 == pytest.approx(2.5, rel=0.1)
    manifest = json.loads(path.read_text())
    assert (manifest["l0"], manifest["steps"], manifest["samples"]) == (2.5, 100, 6400)


def test_a_killed_part_goes_on_from_its_checkpoint(tmp_path):
    """A process that gets SIGTERM writes its checkpoint; the next ends with the bits of one run."""
    command = [sys.executable, str(ROOT / "tests" / "toy_study.py"), str(tmp_path / "stopped")]
    process = subprocess.Popen([*command, "0.01"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("index.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the process ended before the signal; make the training longer")
    assert process.returncode == 128 + signal.SIGTERM, output
    rest = subprocess.run([*command, "1000"], capture_output=True, text=True, check=True)
    assert "going on from step" in rest.stdout
    whole = train_part(settings(samples=64_000), [1.0, 2.5], 0, tmp_path / "whole", 1e9)
    for path in whole:
        other = tmp_path / "stopped" / path.relative_to(tmp_path / "whole")
        outputs = [json.loads(p.read_text())["outputs"] for p in (path, other)]
        assert outputs[0] == outputs[1]
