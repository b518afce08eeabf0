"""Engine sparsify against sparsify itself: a loop of its trainer's pieces, and our TopK's step."""

import json
import os
import signal

import pytest
import torch
from schedulefree import ScheduleFreeWrapper
from sparsify import SparseCoder, SparseCoderConfig
from sparsify.muon import Muon
from sparsify.sign_sgd import SignSGD
from torch.nn.functional import cosine_similarity
from transformers import get_linear_schedule_with_warmup

import correct_l0
from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.report.comparison.settings import differing_settings
from correct_l0.saes.engine import sparsify as engine
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.sections import Saes
from correct_l0.saes.settings import PointJob, parse_settings
from correct_l0.saes.sweep import Sweep
from correct_l0.saes.training.points import train_points
from correct_l0.saes.training.start import decoder_at_start
from correct_l0.saes.training.trainer import build_trainer
from saes_toy import BATCH, D_IN, D_SAE, ToyBatches, ToyStore, settings_of, train_toy

K, SHORT = 4, 60
VARIANTS = {
    "adam": ({}, {"lr_warm_up_steps": 5}),
    "signum": ({"optimizer": "signum", "lr": 0.01}, {}),
    "muon": ({"optimizer": "muon", "lr": 0.01}, {"lr_warm_up_steps": 5}),
    "multi_topk": ({"multi_topk": True, "lr": 0.01}, {"dead_feature_window": 1}),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def text_of(sparsify=(), training=(), steps=SHORT, l0=K):
    """Return the settings of a toy point that sparsify trains."""
    own = {"engine": "sparsify", "sparsify": dict(sparsify), "training_tokens": steps * BATCH}
    values = json.loads(settings_of("topk", {**own, **dict(training)}, l0=l0))
    del values["training"]["lr"]
    return json.dumps(values)


def theirs(name, steps, sparsify, training):
    """Train as `Trainer.fit` does, one SAE on batches of its own; return it as it is saved."""
    torch.manual_seed(0)
    coder = SparseCoder(
        D_IN,
        SparseCoderConfig(num_latents=D_SAE, k=K, multi_topk=sparsify.get("multi_topk", False)),
    )
    lr, warm_up = (
        sparsify.get("lr", 2e-4 / (D_SAE / 2**14) ** 0.5),
        training.get("lr_warm_up_steps", 0),
    )
    matrices = [x for x in coder.parameters() if x.ndim >= 2]
    others = [x for x in coder.parameters() if x.ndim < 2]
    if name == "signum":
        optimizers = [ScheduleFreeWrapper(SignSGD(coder.parameters(), lr=lr), momentum=0.95)]
        optimizers[0].train()
        schedulers = []
    else:
        optimizers, warm_ups = [torch.optim.Adam(coder.parameters(), lr=lr)], [warm_up]
        if name == "muon":
            optimizers = [Muon(matrices, lr=lr), torch.optim.Adam(others, lr=lr)]
            warm_ups = [0, warm_up]
        pairs = zip(optimizers, warm_ups, strict=True)
        schedulers = [get_linear_schedule_with_warmup(x, each, steps) for x, each in pairs]
    since_fired = torch.zeros(D_SAE, dtype=torch.long)
    store, losses = ToyStore(), []
    for step in range(steps):
        x = ToyBatches(store).batch(step) * (D_IN**0.5 / store.mean_norm)
        if step == 0:
            coder.b_dec.data = x.mean(0)
        coder.set_decoder_norm_to_unit_norm()
        dead = since_fired > training.get("dead_feature_window", 1000) * BATCH
        out = coder(x, dead_mask=dead)
        (out.fvu + out.auxk_loss + out.multi_topk_fvu / 8).backward()
        losses.append((out.fvu.item(), out.auxk_loss.item(), out.multi_topk_fvu.item()))
        coder.remove_gradient_parallel_to_decoder_directions()
        for each in optimizers:
            each.step()
            each.zero_grad()
        for each in schedulers:
            each.step()
        since_fired += len(x)
        since_fired[out.latent_indices.flatten()] = 0
    if name == "signum":
        optimizers[0].eval()
    return coder, losses


@pytest.mark.parametrize("name", VARIANTS)
def test_its_steps_are_those_of_sparsifys_trainer(name):
    steps, (sparsify, training) = 30, VARIANTS[name]
    coder, expected = theirs(name, steps, sparsify, training)
    parsed, store = parse_settings(text_of(sparsify, training, steps)), ToyStore()
    trainer = build_trainer(parsed, D_IN, seed=0)
    for step in range(steps):
        x = ToyBatches(store).batch(step) * (D_IN**0.5 / store.mean_norm)
        losses = trainer.step(x)
        per_token = (x - x.mean(0)).square().sum().item() / BATCH
        fvu, auxk, multi = expected[step]
        assert losses.mse_loss.item() / per_token == pytest.approx(fvu, rel=1e-5)
        assert losses.aux_loss.item() / per_token == pytest.approx(auxk + multi / 8, abs=1e-5)
        assert losses.loss == losses.mse_loss + losses.aux_loss
        assert 0 < losses.l0 <= K
    found = trainer.weights
    for value, wanted in (
        (found.W_dec, coder.W_dec), (found.b_dec, coder.b_dec),
        (found.W_enc.T, coder.encoder.weight), (found.b_enc, coder.encoder.bias),
    ):  # fmt: skip
        torch.testing.assert_close(value, wanted.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dead", [[], [3, 7, 20]])
def test_one_step_of_our_topk_is_sparsifys(dead):
    """Loss and gradients in double precision, the loss in units of the batch's variance.

    In sparsify 1.3 the loss of dead latents has no gradient but that of their decoder rows. Their
    pre-activations are positive here: negative ones are cut off there, and not in SAELens.
    """
    torch.manual_seed(0)
    coder = SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, k=K), dtype=torch.float64)
    with torch.no_grad():
        coder.encoder.bias.normal_(std=0.1)
        coder.b_dec.normal_()
        coder.encoder.weight.add_(0.1 * torch.randn(D_SAE, D_IN, dtype=torch.float64))
        coder.encoder.weight[dead] *= 1e-3
        coder.encoder.bias[dead] = 0.05
    x = ToyStore().rest[:100].double()
    mask = torch.zeros(D_SAE, dtype=torch.bool)
    mask[dead] = True
    out = coder(x, dead_mask=mask)
    (out.fvu + out.auxk_loss).backward()
    loss, result, gradients = loss_and_gradients(
        x, coder.encoder.weight.detach().T, coder.encoder.bias.detach(),
        coder.W_dec.detach(), coder.b_dec.detach(),
        StepOptions(
            count=K * len(x), guess=None, dead=torch.tensor(dead) if dead else None,
            aux_coefficient=1.0, sparse=False, per_token=K,
        ),
    )  # fmt: skip
    unit = len(x) / (x - x.mean(0)).square().sum()
    assert float(loss * unit) == pytest.approx((out.fvu + out.auxk_loss).item(), rel=1e-12)
    assert float(result.aux_loss * unit) == pytest.approx(out.auxk_loss.item(), rel=1e-12)
    assert bool(out.auxk_loss > 0) is bool(dead)
    rest = ~mask
    for found, expected in (
        (gradients.W_dec, coder.W_dec.grad),
        (gradients.W_enc.T[rest], coder.encoder.weight.grad[rest]),
        (gradients.b_enc[rest], coder.encoder.bias.grad[rest]),
    ):
        torch.testing.assert_close(found * unit, expected, rtol=0, atol=1e-12)
    if not dead:
        torch.testing.assert_close(gradients.b_dec * unit, coder.b_dec.grad, rtol=0, atol=1e-12)
    else:
        assert not coder.encoder.weight.grad[dead].any()
        assert gradients.W_enc.T[dead].any()


class Stopping(ToyBatches):
    """Batches of which one asks the process to stop."""

    def batch(self, step):
        if step == 25:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().batch(step)


@pytest.mark.parametrize("name", VARIANTS)
def test_taken_up_and_in_a_group_it_has_the_bits_of_one_run(tmp_path, name):
    """The group stops and goes on, beside another point of ours."""
    text, store = text_of(*VARIANTS[name]), ToyStore()
    train_toy(tmp_path / "alone", text, snapshots=True)
    ours = settings_of("topk", {"training_tokens": 40 * BATCH}, l0=2)
    jobs = [PointJob(tmp_path / "group" / str(i), each, 0) for i, each in enumerate((text, ours))]
    with pytest.raises(SystemExit):
        train_points(store, Stopping(store), jobs, measures=measures(), snapshots=True)
    assert not train_points(store, ToyBatches(store), jobs, measures=measures(), snapshots=True)
    manifest = json.loads((tmp_path / "group/0/manifest.json").read_text())
    assert manifest["resumed_from_step"] == 26
    assert "snapshots.safetensors" in manifest["outputs"]
    for file in manifest["outputs"]:
        one, two = ((tmp_path / folder / file).read_bytes() for folder in ("alone", "group/0"))
        assert one == two, file


def test_it_ends_as_a_point_whose_sae_sparsify_loads(tmp_path):
    manifest = train_toy(tmp_path, text_of({"lr": 0.01}, steps=200))
    assert manifest["fvu"] < 0.3
    assert manifest["l0_measured"] == pytest.approx(K, abs=0.01)
    assert manifest["packages"]["eai-sparsify"] == engine.package_version("eai-sparsify")
    assert manifest["recipe"] == 1
    # In an SAE of d_in 16 a decoder starts anywhere, and ends near where it started.
    assert manifest["init_cosine_median"] > 0.5
    metadata = json.loads((tmp_path / "sae/cfg.json").read_text())["metadata"]
    assert metadata["training_architecture"] == "topk"
    details = metadata["training_architecture_details"]
    assert details["trainer"].startswith("eai-sparsify 1.3")
    assert (details["lr"], details["auxk_alpha"]) == (0.01, 1.0)
    sae, x = correct_l0.load_sae(tmp_path / "sae"), ToyStore().rest[:300]
    correct_l0.save_for_sparsify(tmp_path / "folder", sae)
    with torch.no_grad():
        out = SparseCoder.load_from_disk(tmp_path / "folder")(x).sae_out
    torch.testing.assert_close(out, sae.decode(sae.encode(x)), rtol=1e-5, atol=1e-5)


def test_the_decoder_starts_as_sparsifys_by_the_seed():
    parsed = parse_settings(text_of())
    torch.manual_seed(3)
    expected = SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, k=K)).W_dec
    assert torch.equal(decoder_at_start(D_IN, parsed, 3), expected)
    assert torch.equal(build_trainer(parsed, D_IN, 3).weights.W_dec, expected)
    assert not torch.equal(decoder_at_start(D_IN, parsed, 4), expected)


def test_a_frozen_decoder_stays_as_it_started_and_the_rest_learns():
    """The 50th batch is the first again."""
    parsed = parse_settings(text_of({"lr": 0.03}, {"freeze_decoder": True}))
    trainer, store = build_trainer(parsed, D_IN, 0), ToyStore()
    start = [value.clone() for value in trainer.weights]
    losses = [trainer.step(ToyBatches(store).batch(i)).mse_loss.item() for i in range(51)]
    assert cosine_similarity(trainer.weights.W_dec, start[1]).min() > 1 - 1e-6
    assert losses[50] < 0.95 * losses[0]


def test_it_follows_a_schedule_of_l0(tmp_path):
    ramp = {"l0_schedule": {"kind": "linear", "end_l0": 3, "ramp_steps": 20}}
    manifest = train_toy(tmp_path, text_of(training=ramp, l0=8))
    assert manifest["l0_end"] == 3
    assert correct_l0.load_sae(tmp_path / "sae").k == 3


def test_signums_learning_rate_by_rule_is_too_high_for_few_latents(tmp_path):
    """5e-3 / sqrt(32 / 16384) = 0.113: what the documentation says of the default."""
    by_rule, lower = (
        train_toy(tmp_path / str(lr), text_of({"optimizer": "signum", "lr": lr}, steps=600))
        for lr in (None, 0.01)
    )
    assert by_rule["fvu"] > 1.3 * lower["fvu"]


def test_without_sparsify_one_line_says_so(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="eai-sparsify is not installed; install it, or use"):
        build_trainer(parse_settings(text_of()), D_IN, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (settings_of("batchtopk", {"engine": "sparsify"}, l0=4), "it trains topk SAEs only; use"),
        (settings_of("gated", {"engine": "sparsify"}, coefficient=1), "it trains topk SAEs only"),
        (
            settings_of("topk", {"engine": "sparsify"}, l0=4),
            r"lr 0\.01: engine sparsify has its own; give it as",
        ),
        (text_of(training={"lr_decay_fraction": 0.2}), r"lr_decay_fraction 0\.2: engine sparsify"),
        (
            text_of({"optimizer": "signum"}, {"lr_warm_up_steps": 9}),
            "lr_warm_up_steps 9: sparsify's signum has no warm-up; remove it or use optimizer adam",
        ),
        (
            text_of(
                {"multi_topk": True},
                {"l0_schedule": {"kind": "linear", "end_l0": 3, "ramp_steps": 20}},
            ),
            "l0_schedule: sparsify.multi_topk keeps to one L0; remove one of them",
        ),
        (
            text_of({"multi_topk": True}, l0=9),
            "sparsify.multi_topk: 4 times l0 9 is above d_sae 32; lower l0 or widen the SAE",
        ),
        (
            settings_of("topk", {"sparsify": {"multi_topk": True}}, l0=4),
            "sparsify: engine fused does not read it; remove it or change engine",
        ),
        (text_of(l0=4.5), r"l0 4\.5 is not whole"),
    ],
)
def test_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_settings(text)
    assert "\n" not in str(error.value)


def test_the_comparison_of_sweeps_states_the_learning_rate_in_use():
    """2e-4 / sqrt(1024 / 16384) = 8e-4, where `lr` itself is not read."""
    training = {"training_tokens": 10**5}
    sweeps = {
        engine: Sweep.model_validate(
            {
                "d_sae": 1024, "l0": [2, 4], "architecture": {"name": "topk"},
                "training": {**training, "engine": engine},
            }
        )
        for engine in ("fused", "sparsify")
    }  # fmt: skip
    found = differing_settings(sweeps)
    assert found == {"lr": ["0.0003", "0.0008"], "engine": ["fused", "sparsify"]}


def test_it_trains_a_whole_sweep():
    training = {"training_tokens": 10**5}
    given = {"d_sae": D_SAE, "l0": [2, 4], "architecture": {"name": "topk"}, "training": training}
    by_sparsify = {**given, "training": {**training, "engine": "sparsify"}}
    assert (Saes.model_validate(given).recipe, Saes.model_validate(by_sparsify).recipe) == (4, 1)
    for mixed in (
        {**given, "overrides": {2: {"engine": "sparsify"}}},
        {**by_sparsify, "overrides": {2: {"engine": "fused"}}},
    ):
        with pytest.raises(ValueError, match="overrides: engine sparsify trains a whole sweep; "):
            Saes.model_validate(mixed)
