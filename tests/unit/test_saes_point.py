"""A point from start to finish: what is saved, measured and recorded."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from sae_lens.saes.jumprelu_sae import JumpReLUSAE
from sae_lens.saes.sae import SAE

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.saes import RECIPE
from correct_l0.saes.engine.weights import initial_weights
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.training import result
from correct_l0.saes.training.evaluate import held_out_chunks
from correct_l0.saes.training.trainer import build_trainer
from saes_toy import BATCH, D_IN, D_SAE, STEPS, ToyBatches, ToyStore, settings, train_toy

pytestmark = pytest.mark.numbers


@pytest.fixture(scope="module")
def point(tmp_path_factory):
    folder = tmp_path_factory.mktemp("point")
    metadata = {"model_name": "toy", "hook_name": "blocks.0.hook_resid_post"}
    return folder, train_toy(folder, metadata=metadata), ToyStore()


def weights_of(folder):
    return (folder / "sae" / "sae_weights.safetensors").read_bytes()


def trained_alone():
    """Train without saving; returns the weights, in training units, and the scale."""
    torch.set_num_threads(1)
    store = ToyStore()
    trainer, batches = build_trainer(parse_settings(settings()), D_IN, 0), ToyBatches(store)
    scale = D_IN**0.5 / store.mean_norm
    for step in range(STEPS):
        trainer.step(batches.batch(step) * scale)
    return trainer.weights, scale


def test_the_saved_sae_takes_raw_activations(point):
    """Its codes are those of the training SAE at the threshold, in raw units."""
    folder, manifest, store = point
    saved = SAE.load_from_disk(folder / "sae")
    sae, scale = trained_alone()
    x = store.rest[:500]
    norms = sae.W_dec.norm(dim=1)
    pre_acts = ((x * scale - sae.b_dec) @ sae.W_enc + sae.b_enc) * norms
    expected = torch.where(pre_acts > manifest["threshold"] * scale, pre_acts, 0)
    decoded = ((expected / norms) @ sae.W_dec + sae.b_dec) / scale
    assert isinstance(saved, JumpReLUSAE)
    assert torch.allclose(saved.encode(x) * scale, expected, rtol=1e-4, atol=1e-4)
    assert torch.allclose(saved.decode(saved.encode(x)), decoded, rtol=1e-4, atol=1e-4)
    assert torch.allclose(saved.W_dec.norm(dim=1), torch.ones(D_SAE), atol=1e-6)
    assert saved.cfg.metadata.hook_name == "blocks.0.hook_resid_post"
    assert manifest["activation_scale"] == scale
    raw_norms = torch.from_numpy(np.load(folder / "decoder_norms.npy"))
    torch.testing.assert_close(raw_norms[:, None] * saved.W_dec * scale, sae.W_dec)


def test_measured_on_the_part_that_does_not_calibrate(point):
    folder, manifest, store = point
    saved = SAE.load_from_disk(folder / "sae")
    x = torch.cat(list(held_out_chunks(store, 1)))
    acts = saved.encode(x)
    error = (saved.decode(acts) - x).square().sum(1).mean().item()
    variance = (x - x.mean(0)).square().sum(1).mean().item()
    assert manifest["evaluated_tokens"] + manifest["calibration_tokens"] == store.n_held_out
    # Rounding may move an activation over the threshold.
    assert abs(manifest["l0_measured"] * len(x) - (acts > 0).sum().item()) <= 2
    assert manifest["l0_measured"] == pytest.approx(4.5, rel=0.02)
    assert manifest["l0_reached"] is True
    assert manifest["fvu"] == pytest.approx(error / variance, rel=1e-4)
    assert manifest["fvu"] < 0.3
    assert manifest["mse"] == pytest.approx(error * manifest["activation_scale"] ** 2, rel=1e-4)
    assert manifest["dead_latents"] == int((acts.sum(0) == 0).sum())


def test_the_manifest_holds_against_its_files(point):
    folder, manifest, _ = point
    inputs = {"activations": "toy"}
    check_manifest(
        folder / "manifest.json",
        stage="train_sae",
        recipe=RECIPE,
        parameters=settings(),
        inputs=inputs,
    )
    assert not (folder / "checkpoint").exists()
    assert not (folder / "failure.json").exists()
    assert (manifest["seed"], manifest["l0"], manifest["steps"]) == (0, 4.5, STEPS)
    assert (manifest["d_in"], manifest["d_sae"], manifest["tokens"]) == (16, 32, STEPS * BATCH)
    assert manifest["resumed_from_step"] is None
    assert 0 <= manifest["data_wait_fraction"] < 1
    assert manifest["tokens_per_s"] == pytest.approx(STEPS * BATCH / manifest["wall_s"])


def test_loss_curve_and_initialisation(point):
    folder, manifest, _ = point
    with open(folder / "loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "tokens", "mse_loss", "aux_loss", "loss", "l0_batch", "c_dec"]
    assert [int(row["tokens"]) for row in rows] == [BATCH * (i + 1) for i in range(STEPS)]
    assert all(float(row["l0_batch"]) == 4.5 for row in rows)
    losses = np.array([float(row["loss"]) for row in rows])
    assert losses[-20:].mean() < 0.4 * losses[0]
    slope = 1 - losses[-20:].mean() / losses[-40:-20].mean()
    assert manifest["loss_slope"] == pytest.approx(slope, abs=1e-5)
    measured = {int(row["step"]): float(row["c_dec"]) for row in rows if row["c_dec"]}
    assert sorted(measured) == [math.ceil(STEPS * part / 10) for part in range(1, 11)]
    final = SAE.load_from_disk(folder / "sae").W_dec.detach()
    overlaps = torch.cosine_similarity(final[:, None], final[None], dim=-1).abs()
    pairs = overlaps[torch.ones_like(overlaps).triu(1).bool()]
    assert measured[STEPS] == pytest.approx(float(pairs.mean()), abs=1e-6)
    cosines = np.load(folder / "decoder_init_cosine.npy")
    initial = initial_weights(D_IN, D_SAE, 0).W_dec.numpy()
    decoder = SAE.load_from_disk(folder / "sae").W_dec.detach().numpy()
    expected = (decoder * initial).sum(1) / np.linalg.norm(initial, axis=1)
    assert cosines == pytest.approx(expected, abs=1e-5)
    assert manifest["init_cosine_median"] == pytest.approx(np.median(cosines), abs=1e-6)


def test_the_same_seed_gives_the_same_bits(point, tmp_path):
    folder, _, _ = point
    train_toy(tmp_path / "again", metadata={"model_name": "toy"})
    train_toy(tmp_path / "other", seed=1)
    assert weights_of(tmp_path / "again") == weights_of(folder)
    assert weights_of(tmp_path / "other") != weights_of(folder)


def test_points_of_one_seed_share_their_initialisation():
    first, second = (build_trainer(parse_settings(settings(l0)), D_IN, 3) for l0 in (1, 20))
    assert torch.equal(first.weights.W_dec, second.weights.W_dec)


def test_the_initialisation_is_saelens():
    ours = build_trainer(parse_settings(settings()), D_IN, 5).weights
    theirs = build_trainer(parse_settings(settings(engine="saelens")), D_IN, 5).weights
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_both_engines_train_alike(point, tmp_path):
    _, fused, _ = point
    reference = train_toy(tmp_path, settings(engine="saelens"))
    assert reference["l0_measured"] == pytest.approx(4.5, rel=0.02)
    assert fused["fvu"] == pytest.approx(reference["fvu"], rel=0.05)
    assert fused["init_cosine_median"] == pytest.approx(reference["init_cosine_median"], abs=0.05)


def test_reduced_precision_trains_alike_and_is_left_behind(point, tmp_path):
    _, exact, _ = point
    reduced = train_toy(tmp_path, settings(precision="reduced"))
    assert reduced["fvu"] == pytest.approx(exact["fvu"], rel=0.05)
    assert torch.get_float32_matmul_precision() == "highest"


def test_l0_that_cannot_be_reached_is_flagged(tmp_path):
    """Of 32 latents about half are positive: 31 per token cannot be active."""
    manifest = train_toy(tmp_path, settings(l0=31, training_tokens=2 * BATCH, lr=1e-6))
    assert manifest["l0_measured"] < 25
    assert manifest["l0_reached"] is False
    assert manifest["threshold"] == 0


@pytest.mark.parametrize("engine", ["fused", "saelens"])
def test_non_finite_activations_are_named(tmp_path, engine):
    class Damaged(ToyBatches):
        def batch(self, step):
            x = super().batch(step).clone()
            if step == 7:
                x[3, 5] = torch.nan
            return x

    message = "l0 4.5, seed 0, step 7: the batch holds non-finite activations"
    with pytest.raises(InputError, match=message):
        train_toy(tmp_path, settings(engine=engine), batches=Damaged(ToyStore()))
    assert message in json.loads((tmp_path / "failure.json").read_text())["reason"]
    assert not (tmp_path / "manifest.json").exists()
    train_toy(tmp_path, settings(training_tokens=BATCH))
    assert not (tmp_path / "failure.json").exists()


def test_a_diverging_run_names_step_and_learning_rate(tmp_path):
    message = (
        "step 1: the loss is non-finite with lr 1e[+]30, .* lower lr or raise lr_warm_up_steps"
    )
    with pytest.raises(InputError, match=message):
        train_toy(tmp_path, settings(lr=1e30))


def test_a_run_that_diverged_with_finite_losses_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(result, "DIVERGED_FVU", 1e-6)
    with pytest.raises(
        InputError, match=r"on held-out tokens, it must stay below 1e-06: .* lower lr"
    ):
        train_toy(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_the_saved_settings_have_one_spelling(tmp_path):
    """SAELens orders them by a set, so that the same SAE had other bytes in another process."""
    train_toy(tmp_path)
    cfg = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert list(cfg) == sorted(cfg)
    assert list(cfg["metadata"]) == sorted(cfg["metadata"])
