"""One step of the fused engine against SAELens' own.

In float64 both agree to rounding, which checks the mathematics; in float32 to 2e-6 of the norm.
"""

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer

from correct_l0.saes.batchtopk import FusedBatchTopKSAE, FusedTrainer

D_IN, D_SAE, BATCH = 24, 64, 96
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def make(kind, k, dtype="float64"):
    torch.manual_seed(0)
    sae = kind(BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=k, dtype=dtype))
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(D_SAE, 1, dtype=sae.dtype) * 20 + 1)
        sae.W_enc.add_(0.05 * torch.randn(D_IN, D_SAE, dtype=sae.dtype))
        sae.b_enc.normal_(std=0.1)
        sae.b_dec.normal_()
    return sae


def batch(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, D_IN, dtype=torch.float64, generator=generator).to(dtype)


def step(sae, x, dead=None):
    mask = None
    if dead is not None:
        mask = torch.zeros(D_SAE, dtype=torch.bool)
        mask[dead] = True
    output = sae.training_forward_pass(TrainStepInput(x, {}, mask, 0, False))
    output.loss.backward()
    return output


def assert_equal_steps(ours, theirs, x, dead, tolerance):
    mine, reference = step(ours, x, dead), step(theirs, x, dead)
    pairs = {name: (getattr(ours, name).grad, getattr(theirs, name).grad) for name in NAMES}
    pairs |= {
        "acts": (mine.feature_acts, reference.feature_acts),
        "out": (mine.sae_out, reference.sae_out),
        "loss": (mine.loss, reference.loss),
        "threshold": (ours.topk_threshold, theirs.topk_threshold),
        **{name: (mine.losses[name], reference.losses[name]) for name in reference.losses},
    }
    for name, (found, expected) in pairs.items():
        error = (found - expected).norm() / expected.norm().clamp(min=1e-30)
        assert error <= tolerance, f"{name}: {error:.2g}"
        assert found.shape == expected.shape
    assert mine.metrics["l0"] == torch.count_nonzero(reference.feature_acts) / BATCH
    return reference


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("k", [1, 2.5, 8, 16.3, 32])
@pytest.mark.parametrize("dead", [None, [3, 7, 20], list(range(0, 60, 2))])
def test_loss_and_gradients_equal_saelens(k, sparse, dead):
    ours, theirs = make(FusedBatchTopKSAE, k), make(BatchTopKTrainingSAE, k)
    ours.use_sparse = sparse
    reference = assert_equal_steps(ours, theirs, batch(), dead, 1e-13)
    aux_loss = reference.losses["auxiliary_reconstruction_loss"]
    assert (aux_loss > 0) == (dead is not None)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("k", [1, 9.7, 31])
def test_float32_agrees_to_rounding(k, sparse):
    ours = make(FusedBatchTopKSAE, k, "float32")
    theirs = make(BatchTopKTrainingSAE, k, "float32")
    ours.use_sparse = sparse
    assert_equal_steps(ours, theirs, batch(torch.float32), [1, 2, 40], 2e-6)


def test_more_active_latents_asked_for_than_positive():
    ours, theirs = make(FusedBatchTopKSAE, 60), make(BatchTopKTrainingSAE, 60)
    reference = assert_equal_steps(ours, theirs, batch(), None, 1e-13)
    assert torch.count_nonzero(reference.feature_acts) < 60 * BATCH


@pytest.mark.parametrize("sparse", [True, False])
def test_all_zero_batch(sparse):
    saes = make(FusedBatchTopKSAE, 4), make(BatchTopKTrainingSAE, 4)
    saes[0].use_sparse = sparse
    for sae in saes:
        with torch.no_grad():
            sae.b_enc.zero_()
            sae.b_dec.zero_()
        output = step(sae, torch.zeros(BATCH, D_IN, dtype=torch.float64))
        assert output.loss == 0
        assert torch.count_nonzero(output.feature_acts) == 0
        assert all(torch.count_nonzero(getattr(sae, name).grad) == 0 for name in NAMES)


@pytest.mark.parametrize("sparse", [True, False])
def test_nan_input_gives_a_nan_loss(sparse):
    x = batch()
    x[5, 3] = torch.nan
    ours = make(FusedBatchTopKSAE, 4)
    ours.use_sparse = sparse
    assert step(ours, x).loss.isnan()


def test_the_guess_does_not_change_a_bit():
    losses = []
    for guess in (None, 1e-3, 1e3):
        sae = make(FusedBatchTopKSAE, 5, "float32")
        sae.last_smallest = guess
        losses.append(step(sae, batch(torch.float32)).loss.item())
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("trainer", [FusedTrainer, SAETrainer])
def test_training_equals_saelens_trainer(trainer):
    """Clipping, Adam, warm-up, decay, dead latents: eight steps with the last ones' aux loss."""

    def run(trainer, kind):
        sae = make(kind, 1.5)
        cfg = SAETrainerConfig(
            total_training_samples=8 * BATCH,
            train_batch_size_samples=BATCH,
            lr=0.01,
            lr_end=0.01,
            lr_warm_up_steps=3,
            lr_decay_steps=2,
            dead_feature_window=2,
        )
        running = trainer(cfg, sae, iter(()))
        for number in range(8):
            output = running.step(batch(seed=number))
            running.n_training_steps += 1
        return sae, running, output

    ours, mine, output = run(trainer, FusedBatchTopKSAE)
    theirs, reference, expected = run(SAETrainer, BatchTopKTrainingSAE)
    assert expected.losses["auxiliary_reconstruction_loss"] > 0
    assert torch.allclose(output.loss, expected.loss, rtol=1e-9, atol=0)
    assert torch.equal(mine.n_forward_passes_since_fired, reference.n_forward_passes_since_fired)
    assert mine.lr_scheduler.get_last_lr() == reference.lr_scheduler.get_last_lr()
    for name in NAMES:
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-8), name
