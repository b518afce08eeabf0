"""One step of the fused engine against SAELens' own.

In float64 both agree to rounding, which checks the mathematics; in float32 to 2e-6 of the norm.
"""

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer

from correct_l0.saes.batchtopk import FusedTrainer, Weights
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.step import BatchTopKLoss, StepOptions
from saes_toy import settings

D_IN, D_SAE, BATCH = 24, 64, 96
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def make(k, dtype="float64"):
    """SAELens' SAE in the midst of training."""
    torch.manual_seed(0)
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=k, dtype=dtype))
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(D_SAE, 1, dtype=sae.dtype) * 20 + 1)
        sae.W_enc.add_(0.05 * torch.randn(D_IN, D_SAE, dtype=sae.dtype))
        sae.b_enc.normal_(std=0.1)
        sae.b_dec.normal_()
    return sae


def weights_of(sae):
    """Return a copy of its weights."""
    return Weights(*(getattr(sae, name).detach().clone() for name in Weights._fields))


def batch(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, D_IN, dtype=torch.float64, generator=generator).to(dtype)


def saelens_step(sae, x, dead=None):
    mask = None
    if dead is not None:
        mask = torch.zeros(D_SAE, dtype=torch.bool)
        mask[dead] = True
    output = sae.training_forward_pass(TrainStepInput(x, {}, mask, 0, False))
    output.loss.backward()
    return output


def step(sae, x, dead=None, *, sparse=False, guess=None):
    """Return loss, result and gradients by name of a step of this project on SAELens' weights."""
    options = StepOptions(
        count=int(sae.cfg.k * len(x)),
        guess=guess,
        dead=None if dead is None else torch.tensor(dead),
        aux_coefficient=sae.cfg.aux_loss_coefficient,
        sparse=sparse,
    )
    weights = Weights(*(value.requires_grad_() for value in weights_of(sae)))
    loss, result = BatchTopKLoss.apply(
        x, weights.W_enc, weights.b_enc, weights.W_dec, weights.b_dec, options
    )
    loss.backward()
    return loss, result, {name: getattr(weights, name).grad for name in NAMES}


def assert_equal_steps(sae, x, dead, tolerance, sparse=False):
    loss, result, gradients = step(sae, x, dead, sparse=sparse)
    reference = saelens_step(sae, x, dead)
    positive = reference.feature_acts[reference.feature_acts > 0]
    pairs = {name: (gradients[name], getattr(sae, name).grad) for name in NAMES}
    pairs |= {
        "acts": (result.acts, reference.feature_acts),
        "out": (result.sae_out, reference.sae_out),
        "loss": (loss, reference.loss),
        "mse_loss": (result.mse_loss, reference.losses["mse_loss"]),
        "aux_loss": (result.aux_loss, reference.losses["auxiliary_reconstruction_loss"]),
        "smallest": (positive.new_tensor(result.smallest or positive.min().item()), positive.min()),
    }
    for name, (found, expected) in pairs.items():
        error = (found - expected).norm() / expected.norm().clamp(min=1e-30)
        assert error <= tolerance, f"{name}: {error:.2g}"
        assert found.shape == expected.shape
    assert result.kept == len(positive)
    return reference


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("k", [1, 2.5, 8, 16.3, 32])
@pytest.mark.parametrize("dead", [None, [3, 7, 20], list(range(0, 60, 2))])
def test_loss_and_gradients_equal_saelens(k, sparse, dead):
    reference = assert_equal_steps(make(k), batch(), dead, 1e-13, sparse)
    aux_loss = reference.losses["auxiliary_reconstruction_loss"]
    assert (aux_loss > 0) == (dead is not None)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("k", [1, 9.7, 31])
def test_float32_agrees_to_rounding(k, sparse):
    assert_equal_steps(make(k, "float32"), batch(torch.float32), [1, 2, 40], 2e-6, sparse)


def test_more_active_latents_asked_for_than_positive():
    reference = assert_equal_steps(make(60), batch(), None, 1e-13)
    assert torch.count_nonzero(reference.feature_acts) < 60 * BATCH


@pytest.mark.parametrize("sparse", [True, False])
def test_all_zero_batch(sparse):
    sae, x = make(4), torch.zeros(BATCH, D_IN, dtype=torch.float64)
    with torch.no_grad():
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    loss, result, gradients = step(sae, x, sparse=sparse)
    reference = saelens_step(sae, x)
    assert loss == reference.loss == 0
    assert torch.count_nonzero(result.acts) == torch.count_nonzero(reference.feature_acts) == 0
    for name in NAMES:
        assert torch.count_nonzero(gradients[name]) == 0
        assert torch.count_nonzero(getattr(sae, name).grad) == 0


@pytest.mark.parametrize("sparse", [True, False])
def test_nan_input_gives_a_nan_loss(sparse):
    x = batch()
    x[5, 3] = torch.nan
    loss, _, _ = step(make(4), x, sparse=sparse)
    assert loss.isnan()


def test_the_guess_does_not_change_a_bit():
    sae, x = make(5, "float32"), batch(torch.float32)
    losses = [step(sae, x, guess=guess)[0].item() for guess in (None, 1e-3, 1e3)]
    assert losses[0] == losses[1] == losses[2]


def test_training_equals_saelens_trainer():
    """Clipping, Adam, warm-up, decay, dead latents: eight steps with the last ones' aux loss."""
    changed = {"dead_feature_window": 2, "lr_warm_up_steps": 3, "lr_decay_fraction": 0.25}
    text = settings(1.5, training_tokens=8 * BATCH, batch_tokens=BATCH, **changed)
    theirs = make(1.5)
    ours = FusedTrainer(parse_settings(text), weights_of(theirs))
    cfg = SAETrainerConfig(
        total_training_samples=8 * BATCH,
        train_batch_size_samples=BATCH,
        lr=0.01,
        lr_end=0.01,
        lr_warm_up_steps=3,
        lr_decay_steps=2,
        dead_feature_window=2,
    )
    reference = SAETrainer(cfg, theirs, iter(()))
    for number in range(8):
        losses = ours.step(batch(seed=number))
        expected = reference.step(batch(seed=number))
        reference.n_training_steps += 1
    assert expected.losses["auxiliary_reconstruction_loss"] > 0
    assert torch.allclose(losses.loss, expected.loss, rtol=1e-9, atol=0)
    assert torch.equal(ours.since_fired, reference.n_forward_passes_since_fired)
    for name in NAMES:
        found, wanted = getattr(ours.weights, name), getattr(theirs, name)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-8), name
