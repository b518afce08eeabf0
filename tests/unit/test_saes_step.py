"""Steps against SAELens' own: loss and gradients of one, the weights after several.

In float64 both agree to rounding (1e-13 of the norm), which checks the mathematics; in float32 to
2e-6. The blocks are made small, so that several are encoded.
"""

import numpy as np
import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer

from correct_l0.saes.engine import step
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.sparse import Pattern, is_faster
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import parse_settings
from saes_toy import settings

pytestmark = pytest.mark.numbers

D_IN, D_SAE, BATCH = 16, 1200, 40
NAMES = Gradients._fields


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(step, "BLOCK", 0)
    monkeypatch.setattr(step, "ROWS", 12)


def saelens(k, dtype="float64"):
    torch.manual_seed(0)
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(D_IN, D_SAE, k=k, dtype=dtype))
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(D_SAE, 1, dtype=sae.dtype) * 20 + 1)
        sae.W_enc.add_(0.05 * torch.randn(D_IN, D_SAE, dtype=sae.dtype))
        sae.b_enc.normal_(std=0.1)
        sae.b_dec.normal_()
    return sae


def batch(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, D_IN, dtype=torch.float64, generator=generator).to(dtype)


def theirs(sae, x, dead):
    mask = None
    if dead is not None:
        mask = torch.zeros(D_SAE, dtype=torch.bool)
        mask[dead] = True
    output = sae.training_forward_pass(TrainStepInput(x, {}, mask, 0, False))
    output.loss.backward()
    return output


def ours(sae, x, dead, sparse, guess=None, work=None, transposed=True):
    W_enc, b_enc, W_dec, b_dec = (getattr(sae, name).detach() for name in NAMES)
    if transposed:
        W_enc = W_enc.T.contiguous().T
    options = StepOptions(
        count=int(sae.cfg.k * len(x)),
        guess=guess,
        dead=None if dead is None else torch.tensor(dead),
        aux_coefficient=1.0,
        sparse=sparse,
    )
    return loss_and_gradients(x, W_enc, b_enc, W_dec, b_dec, options, work)


@torch.no_grad()
def acts_of(result, sae):
    """Return the selected activations times the decoder norms, as SAELens returns them."""
    found = result.selected
    if not isinstance(found, Pattern):
        return found.acts
    acts, starts = sae.W_dec.new_zeros(found.shape), found.selected.starts
    tokens = np.repeat(np.arange(len(acts)), np.diff(starts))
    acts[tokens, found.selected.latents] = torch.from_numpy(found.selected.values)
    return acts


def difference(found, expected):
    assert found.shape == expected.shape
    return (found - expected).norm() / expected.norm().clamp(min=1e-30)


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dead", [None, [3, 7, 20], list(range(0, 600, 2))])
@pytest.mark.parametrize("k", [1, 2.5, 32, 128, 512])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_loss_and_gradients_equal_saelens(k, dead, sparse, transposed, dtype, tolerance):
    sae = saelens(k, dtype)
    x = batch(sae.dtype)
    expected = theirs(sae, x, dead)
    loss, result, gradients = ours(sae, x, dead, sparse, transposed=transposed)
    assert difference(loss, expected.loss) <= tolerance
    assert difference(x + result.error, expected.sae_out) <= tolerance
    assert difference(acts_of(result, sae), expected.feature_acts) <= tolerance
    assert torch.equal(result.fired, expected.feature_acts.sum(0) > 0)
    assert result.kept == torch.count_nonzero(expected.feature_acts)
    aux_loss = expected.losses["auxiliary_reconstruction_loss"]
    assert (aux_loss > 0) == (dead is not None)
    assert difference(result.aux_loss, torch.as_tensor(aux_loss)) <= tolerance
    for name, found in zip(NAMES, gradients, strict=True):
        assert difference(found, getattr(sae, name).grad) <= tolerance, name


@pytest.mark.parametrize("sparse", [True, False])
def test_neither_the_guess_nor_the_memory_changes_a_bit(sparse):
    sae, x = saelens(20, "float32"), batch(torch.float32)
    loss, result, gradients = ours(sae, x, [1, 2], sparse)
    work = Workspace(Gradients(*(torch.full_like(value, torch.nan) for value in gradients)))
    for guess in (1e-3, 0.97 * result.smallest, result.smallest, 1e3):
        again, _, found = ours(sae, x, [1, 2], sparse, guess, work)
        assert torch.equal(again, loss)
        assert all(a is b for a, b in zip(found, work.gradients, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True))
        for value in (*work.gradients, *work._tensors.values()):
            value.fill_(torch.nan)


def test_memory_is_kept_while_the_shape_stays():
    work = Workspace(ours(saelens(20), batch(), None, sparse=False)[2])
    assert work.empty("dH", 3, 5) is work.empty("dH", 3, 5)
    assert work.empty("dH", 4, 5).shape == (4, 5)
    assert work.empty("dH", 4, 5).dtype == torch.float64
    assert work.empty("dH", 4, 5) is not work.empty("acts", 4, 5)


@pytest.mark.parametrize("sparse", [True, False])
def test_equal_tokens_tie_and_the_first_ones_stay(sparse):
    """Multiples of 1/1024: their sums are exact, in whatever order a kernel takes a token's."""
    sae = saelens(2.5)
    with torch.no_grad():
        for name in ("W_enc", "b_enc", "b_dec"):
            value = getattr(sae, name)
            value.copy_((1024 * value).round() / 1024)
    x = ((1024 * batch()[:1]).round() / 1024).expand(BATCH, D_IN).contiguous()
    _, result, _ = ours(sae, x, None, sparse)
    kept = torch.count_nonzero(acts_of(result, sae), dim=1)
    assert result.kept == int(kept.sum()) == int(2.5 * BATCH)
    assert kept.tolist() == [3] * (BATCH // 2) + [2] * (BATCH // 2)


@pytest.mark.parametrize("sparse", [True, False])
def test_nothing_positive_leaves_the_bias_alone(sparse):
    sae = saelens(4)
    with torch.no_grad():
        sae.b_enc.fill_(-1e3)
    loss, result, gradients = ours(sae, batch(), None, sparse, guess=1.0)
    assert (result.kept, result.smallest) == (0, 0.0)
    assert not result.fired.any()
    assert torch.equal(result.error, sae.b_dec.detach() - batch())
    assert not any(torch.count_nonzero(value) for value in gradients[:3])
    assert difference(gradients.b_dec, 2 * (sae.b_dec.detach() - batch()).mean(0)) < 1e-13
    assert loss == theirs(sae, batch(), None).loss


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_input_gives_a_loss_that_is_not_finite_as_in_saelens(sparse, bad):
    sae, x = saelens(4), batch()
    x[5, 3] = bad
    assert not theirs(sae, x, None).loss.isfinite()
    assert not ours(sae, x, None, sparse)[0].isfinite()


@pytest.mark.parametrize("sparse", [True, False])
def test_more_active_latents_asked_for_than_positive(sparse):
    sae, x = saelens(1000), batch()
    expected = theirs(sae, x, None)
    _, result, gradients = ours(sae, x, None, sparse)
    assert result.kept == torch.count_nonzero(expected.feature_acts) < 1000 * BATCH
    for name, found in zip(NAMES, gradients, strict=True):
        assert difference(found, getattr(sae, name).grad) <= 1e-13, name


@pytest.mark.parametrize("sparse", [True, False])
def test_all_zero_batch(sparse):
    sae, x = saelens(4), torch.zeros(BATCH, D_IN, dtype=torch.float64)
    with torch.no_grad():
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    loss, result, gradients = ours(sae, x, None, sparse)
    reference = theirs(sae, x, None)
    assert loss == reference.loss == 0
    assert not torch.count_nonzero(acts_of(result, sae))
    assert not torch.count_nonzero(reference.feature_acts)
    for name, found in zip(NAMES, gradients, strict=True):
        assert torch.count_nonzero(found) == torch.count_nonzero(getattr(sae, name).grad) == 0


def test_training_equals_saelens_trainer():
    """Clipping, Adam, warm-up, decay, dead latents: eight steps with the last ones' aux loss."""
    changed = {"dead_feature_window": 2, "lr_warm_up_steps": 3, "lr_decay_fraction": 0.25}
    text = settings(1.5, training_tokens=8 * BATCH, batch_tokens=BATCH, **changed)
    sae = saelens(1.5)
    weights = {name: getattr(sae, name).detach().clone() for name in NAMES}
    trainer = FusedTrainer(parse_settings(text), Weights(**weights))
    cfg = SAETrainerConfig(
        total_training_samples=8 * BATCH,
        train_batch_size_samples=BATCH,
        lr=0.01,
        lr_end=0.01,
        lr_warm_up_steps=3,
        lr_decay_steps=2,
        dead_feature_window=2,
    )
    reference = SAETrainer(cfg, sae, iter(()))
    for number in range(8):
        losses = trainer.step(batch(seed=number))
        expected = reference.step(batch(seed=number))
        reference.n_training_steps += 1
    assert expected.losses["auxiliary_reconstruction_loss"] > 0
    assert torch.allclose(losses.loss, expected.loss, rtol=1e-9, atol=0)
    assert torch.equal(trainer.since_fired, reference.n_forward_passes_since_fired)
    for name in NAMES:
        found, wanted = getattr(trainer.weights, name), getattr(sae, name)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-8), name


def test_no_bit_of_the_sums_over_non_zeros_depends_on_the_number_of_threads(monkeypatch):
    sae, x = saelens(20, "float32"), batch(torch.float32)
    _, one, _ = ours(sae, x, None, sparse=True)
    centred, W_dec = x - sae.b_dec.detach(), sae.W_dec.detach()
    found = {}
    for threads in (1, 3, 50):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        error = torch.empty_like(centred)
        one.selected.error(W_dec, centred, error)
        into = torch.full_like(W_dec, torch.nan), torch.full_like(W_dec, torch.nan)
        sums = one.selected.gradients(centred, error, W_dec, 0.05, into)
        found[threads] = (error, sums, *into)
    for values in found.values():
        assert all(torch.equal(a, b) for a, b in zip(values, found[1], strict=True))


@pytest.mark.parametrize(
    ("share", "batch", "d_in", "expected"),
    [
        (0.22, 512, 384, True),
        (0.24, 512, 384, False),
        (0.15, 4096, 384, False),
        (0.13, 4096, 384, True),
        (11 / 50, 1024, 100, False),
        (6 / 50, 1024, 100, True),
        (4 / 50, 1024, 40, False),
    ],
)
def test_sums_over_non_zeros_are_taken_where_they_were_measured_faster(
    share, batch, d_in, expected
):
    assert is_faster(share, torch.empty(batch, d_in)) is expected
