"""Steps of TopK and Matryoshka against SAELens' own: loss and gradients of one, several in a row.

Tolerances as in `test_saes_step`.
"""

import json

import numpy as np
import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

from correct_l0.saes.architectures.matryoshka_batchtopk import MatryoshkaBatchTopK
from correct_l0.saes.engine import step
from correct_l0.saes.engine.matryoshka import MatryoshkaTrainer
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.rows import keep_largest_of_rows_, select_largest_of_rows
from correct_l0.saes.engine.sparse import Pattern
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.topk import TopKTrainer
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.engine.workspace import Gradients
from correct_l0.saes.settings import parse_settings

pytestmark = pytest.mark.numbers

D_IN, D_SAE, BATCH = 16, 400, 40
NAMES = Gradients._fields
WIDTHS = (20, 100, 110, 300, D_SAE)
DEADS = [None, [3, 7, 20], list(range(0, 200, 2)), [5, 350, 399]]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(step, "BLOCK", 0)
    monkeypatch.setattr(step, "ROWS", 12)


@torch.no_grad()
def uneven(sae):
    """Return an SAE whose decoder norms differ, with biases."""
    torch.manual_seed(0)
    sae.W_dec.mul_(torch.rand(D_SAE, 1, dtype=sae.dtype) * 20 + 1)
    sae.W_enc.add_(0.05 * torch.randn(D_IN, D_SAE, dtype=sae.dtype))
    sae.b_enc.normal_(std=0.1)
    sae.b_dec.normal_()
    return sae


def topk(k, dtype="float64"):
    torch.manual_seed(0)
    return uneven(TopKTrainingSAE(TopKTrainingSAEConfig(D_IN, D_SAE, k=k, dtype=dtype)))


def matryoshka(k, dtype="float64", own_errors=False, widths=WIDTHS):
    torch.manual_seed(0)
    return uneven(
        MatryoshkaBatchTopKTrainingSAE(
            MatryoshkaBatchTopKTrainingSAEConfig(
                D_IN, D_SAE, k=k, dtype=dtype, matryoshka_widths=list(widths),
                use_matryoshka_aux_loss=own_errors,
            )
        )
    )  # fmt: skip


def batch(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, D_IN, dtype=torch.float64, generator=generator).to(dtype)


def theirs(sae, x, dead, weights=None):
    """Run SAELens' step; `weights` multiplies its inner losses."""
    mask = None
    if dead is not None:
        mask = torch.zeros(D_SAE, dtype=torch.bool)
        mask[dead] = True
    output = sae.training_forward_pass(TrainStepInput(x, {}, mask, 0, False))
    loss = output.loss
    for name, weight in (weights or {}).items():
        loss = loss + (weight - 1) * output.losses[name]
    loss.backward()
    return output, loss


def ours(sae, x, dead, sparse, **options):
    W_enc, b_enc, W_dec, b_dec = (getattr(sae, name).detach() for name in NAMES)
    return loss_and_gradients(
        x, W_enc.T.contiguous().T, b_enc, W_dec, b_dec,
        StepOptions(
            count=int(sae.cfg.k * len(x)), guess=None, aux_coefficient=1.0, sparse=sparse,
            dead=None if dead is None else torch.tensor(dead), **options,
        ),
    )  # fmt: skip


@torch.no_grad()
def acts_of(result):
    found = result.selected
    if not isinstance(found, Pattern):
        return found.acts
    acts, starts = torch.zeros(found.shape).to(torch.from_numpy(found.z)), found.selected.starts
    tokens = np.repeat(np.arange(len(acts)), np.diff(starts))
    acts[tokens, found.selected.latents] = torch.from_numpy(found.selected.values)
    return acts


def difference(found, expected):
    assert found.shape == expected.shape
    return (found - expected).norm() / expected.norm().clamp(min=1e-30)


def agree(sae, found, expected, tolerance):
    (loss, result, gradients), (output, their_loss) = found, expected
    assert difference(loss, their_loss) <= tolerance
    assert difference(acts_of(result), output.feature_acts.detach()) <= tolerance
    assert torch.equal(result.fired, output.feature_acts.sum(0) > 0)
    assert result.kept == torch.count_nonzero(output.feature_acts)
    for name, value in zip(NAMES, gradients, strict=True):
        assert difference(value, getattr(sae, name).grad) <= tolerance, name


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dead", DEADS)
@pytest.mark.parametrize("k", [1, 32, 180])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_topk_equals_saelens(k, dead, sparse, dtype, tolerance):
    """At 180 of 400 fewer are positive in most tokens: the others are not kept."""
    sae = topk(k, dtype)
    x = batch(sae.dtype)
    agree(sae, ours(sae, x, dead, sparse, per_token=k), theirs(sae, x, dead), tolerance)


@pytest.mark.parametrize("own_errors", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dead", DEADS)
@pytest.mark.parametrize("k", [2.5, 32, 180])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_matryoshka_equals_saelens(k, dead, sparse, own_errors, dtype, tolerance):
    sae = matryoshka(k, dtype, own_errors)
    x = batch(sae.dtype)
    levels = Levels(WIDTHS, (1.0,) * len(WIDTHS), own_errors)
    found = ours(sae, x, dead, sparse, levels=levels)
    expected = theirs(sae, x, dead)
    agree(sae, found, expected, tolerance)
    inner = [v for name, v in expected[0].losses.items() if name.startswith("inner_mse")]
    assert difference(found[1].inner_loss, sum(inner)) <= tolerance
    assert difference(found[1].error + x, expected[0].sae_out) <= tolerance


@pytest.mark.parametrize("own_errors", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_the_balanced_ones_inner_losses_are_weighted(sparse, own_errors):
    weights = (0.25, 0.5, 2.0, 0.75)
    sae, x = matryoshka(20, own_errors=own_errors), batch()
    levels = Levels(WIDTHS, (*weights, 1.0), own_errors)
    names = (f"inner_mse_loss_{width}" for width in WIDTHS)
    expected = theirs(sae, x, [3, 7, 250], dict(zip(names, weights, strict=False)))
    agree(sae, ours(sae, x, [3, 7, 250], sparse, levels=levels), expected, 1e-13)


def selected_of(acts, k, rows):
    """Return what of given activations `select_largest_of_rows` keeps, dense."""
    norms = torch.ones(acts.shape[1], dtype=acts.dtype)

    def encode(start, stop):
        return acts[start:stop].clone()

    found = select_largest_of_rows(encode, norms, len(acts), rows, k)
    dense = torch.zeros_like(acts)
    tokens = np.repeat(np.arange(len(acts)), np.diff(found.starts))
    dense[tokens, found.latents] = torch.from_numpy(found.values)
    return dense


@pytest.mark.parametrize("k", [1, 3, 17, 64])
def test_both_selections_of_rows_keep_what_a_sort_does(k):
    """Multiples of 1/4 have many ties, of which the first stay; rows differ 10^4 times in size."""
    generator = torch.Generator().manual_seed(k)
    acts = (4 * torch.randn(50, 64, generator=generator)).round() / 4
    acts *= 10.0 ** torch.randint(-2, 3, (50, 1), generator=generator)
    acts[7] = -1.0
    acts[8] = 2.0
    expected = torch.zeros_like(acts)
    for row, out in zip(acts, expected, strict=True):
        order = sorted(range(64), key=lambda j: (-row[j].item(), j))[:k]
        out[order] = row[order].relu()
    assert torch.equal(selected_of(acts, k, rows=9), expected)
    kept = keep_largest_of_rows_(acts, k)
    assert torch.equal(acts, expected)
    assert kept == torch.count_nonzero(expected)


def test_rows_that_are_not_finite_end():
    acts = torch.tensor([[torch.inf, 1.0, torch.nan, 2.0], [torch.nan] * 4, [torch.inf] * 4])
    assert keep_largest_of_rows_(acts.clone(), 1) == 2
    assert keep_largest_of_rows_(acts.repeat(1, 9), 2) == 4


def trained(kind, name, sae, swept, options, x_of, steps=8):
    """Train eight steps by both trainers from one start; the last has dead latents."""
    training = {
        "training_tokens": steps * BATCH, "batch_tokens": BATCH, "lr": 0.01,
        "dead_feature_window": 2, "lr_warm_up_steps": 3, "lr_decay_fraction": 0.25,
    }  # fmt: skip
    text = {"d_sae": D_SAE, "training": training, "architecture": {"name": name, **options}}
    weights = Weights(*(getattr(sae, each).detach().clone() for each in Weights._fields))
    trainer = kind(parse_settings(json.dumps({**text, **swept})), weights)
    cfg = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=0.01,
        lr_end=0.01,
        lr_warm_up_steps=3,
        lr_decay_steps=2,
        dead_feature_window=2,
    )
    reference = SAETrainer(cfg, sae, iter(()))
    for number in range(steps):
        losses = trainer.step(x_of(number))
        expected = reference.step(x_of(number))
        reference.n_training_steps += 1
    assert torch.allclose(losses.loss, expected.loss, rtol=1e-9, atol=0)
    assert torch.equal(trainer.since_fired, reference.n_forward_passes_since_fired)
    for each in Weights._fields:
        found, wanted = getattr(trainer.weights, each), getattr(sae, each)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-8), each
    return trainer, expected


def test_training_topk_equals_saelens_trainer():
    trainer, last = trained(TopKTrainer, "topk", topk(2), {"l0": 2}, {}, lambda n: batch(seed=n))
    assert last.losses["auxiliary_reconstruction_loss"] > 0
    assert trainer.details(2) == trainer_details(topk(2))


def test_training_matryoshka_equals_saelens_trainer():
    prefixes = {"prefixes": [width / D_SAE for width in WIDTHS[:-1]]}
    assert MatryoshkaBatchTopK(**prefixes).prefixes_of(D_SAE) == WIDTHS[:-1]
    trainer, last = trained(
        MatryoshkaTrainer, "matryoshka_batchtopk", matryoshka(1.5), {"l0": 1.5}, prefixes,
        lambda n: batch(seed=n),
    )  # fmt: skip
    assert last.losses["auxiliary_reconstruction_loss"] > 0
    assert trainer.details(1.5) == trainer_details(matryoshka(1.5))


def trainer_details(sae):
    return sae.cfg.get_training_architecture_details()
