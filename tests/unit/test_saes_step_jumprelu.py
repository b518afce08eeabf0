"""Steps of JumpReLU against SAELens' own: loss and gradients of one, the weights after several.

SAELens keeps thresholds and their gradients in float32, whatever the rest is in: these agree to a
rounding of that, all else as in `test_saes_step`.
"""

import json

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer

from correct_l0.saes.engine import jump_step
from correct_l0.saes.engine.jump_step import JumpOptions, loss_and_gradients
from correct_l0.saes.engine.jumprelu import JumpReluTrainer
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import parse_settings

pytestmark = pytest.mark.numbers

D_IN, D_SAE, BATCH = 16, 400, 40
NAMES = Gradients._fields
OPTIONS = {"jumprelu_bandwidth": 0.7, "jumprelu_tanh_scale": 3.0, "pre_act_loss_coefficient": 0.02}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(jump_step, "BLOCK", 0)
    monkeypatch.setattr(jump_step, "ROWS", 12)


def saelens(mode, to_input, dtype="float64", coefficient=0.3, **options):
    torch.manual_seed(0)
    sae = JumpReLUTrainingSAE(
        JumpReLUTrainingSAEConfig(
            D_IN, D_SAE, dtype=dtype, jumprelu_sparsity_loss_mode=mode, target_l0=5.0,
            jumprelu_ste_to_input=to_input, l0_coefficient=coefficient, **OPTIONS, **options,
        )
    )  # fmt: skip
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(D_SAE, 1, dtype=sae.dtype) * 20 + 1)
        sae.W_enc.add_(0.05 * torch.randn(D_IN, D_SAE, dtype=sae.dtype))
        sae.b_enc.normal_(std=0.1)
        sae.b_dec.normal_()
        sae.threshold.uniform_(0, 1.5)
    return sae


def batch(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, D_IN, dtype=torch.float64, generator=generator).to(dtype)


def ours(sae, x, dead, sparse, transposed=True):
    W_enc, b_enc, W_dec, b_dec = (getattr(sae, name).detach() for name in NAMES)
    if transposed:
        W_enc = W_enc.T.contiguous().T
    options = JumpOptions(
        mode=sae.cfg.jumprelu_sparsity_loss_mode,
        coefficient=sae.cfg.l0_coefficient,
        target_l0=sae.cfg.target_l0,
        aim=sae.cfg.target_l0,
        tanh_scale=sae.cfg.jumprelu_tanh_scale,
        bandwidth=sae.cfg.jumprelu_bandwidth,
        to_input=sae.cfg.jumprelu_ste_to_input,
        pre_act_coefficient=sae.cfg.pre_act_loss_coefficient,
        dead=None if dead is None else torch.tensor(dead),
        sparse=sparse,
    )
    work = Workspace(Gradients.empty_like(W_enc, W_dec))
    threshold = sae.threshold.detach().to(sae.dtype)
    found = loss_and_gradients(x, W_enc, b_enc, W_dec, b_dec, threshold, options, work)
    return *found, work.gradients


def difference(found, expected):
    assert found.shape == expected.shape
    return (found - expected).norm() / expected.norm().clamp(min=1e-30)


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dead", [None, [3, 7, 20], list(range(0, 200, 2))])
@pytest.mark.parametrize("to_input", [True, False])
@pytest.mark.parametrize("mode", ["quadratic", "tanh", "step"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 3e-6)])
def test_loss_and_gradients_equal_saelens(
    mode, to_input, dead, sparse, transposed, dtype, tolerance
):
    sae = saelens(mode, to_input, dtype)
    x, mask = batch(sae.dtype), None
    if dead is not None:
        mask = torch.zeros(D_SAE, dtype=torch.bool)
        mask[dead] = True
    coefficients = {"l0": sae.cfg.l0_coefficient}
    expected = sae.training_forward_pass(TrainStepInput(x, coefficients, mask, 0, False))
    expected.loss.backward()
    loss, result, d_threshold, gradients = ours(sae, x, dead, sparse, transposed)
    active = torch.count_nonzero(expected.feature_acts)
    assert 0 < active < BATCH * D_SAE / 2
    assert difference(loss, expected.loss) <= tolerance
    assert difference(result.error + x, expected.sae_out) <= tolerance
    assert torch.equal(result.fired, expected.feature_acts.any(0))
    assert result.active == active
    penalty = expected.losses["l0_loss"] + expected.losses["pre_act_loss"]
    assert (expected.losses["pre_act_loss"] > 0) == (dead is not None)
    assert difference(result.penalty, penalty) <= tolerance
    assert difference(d_threshold, sae.threshold.grad) <= max(tolerance, 1e-7)
    for name, found in zip(NAMES, gradients, strict=True):
        assert difference(found, getattr(sae, name).grad) <= tolerance, name


def test_both_ways_count_the_same_entries():
    """Those within half the bandwidth or above, and those above; the mean of both shares."""
    sae, x = saelens("quadratic", True), batch()
    with torch.no_grad():
        over = (x - sae.b_dec) @ sae.W_enc + sae.b_enc - sae.threshold
    expected = ((over > -0.35).sum() + (over > 0).sum()).item() / (2 * over.numel())
    for sparse in (True, False):
        assert ours(sae, x, None, sparse)[1].share == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mode", ["quadratic", "tanh"])
def test_training_equals_saelens_trainer(mode):
    """Clipping over all five, the coefficient's warm-up, thresholds that would fall below zero."""
    options = {
        "jumprelu_sparsity_loss_mode": mode, "jumprelu_ste_to_input": True,
        "warm_up_fraction": 0.5, "aim_fraction": 0, **OPTIONS, "jumprelu_init_threshold": 0.02,
    }  # fmt: skip
    training = {
        "training_tokens": 8 * BATCH, "batch_tokens": BATCH, "lr": 0.01, "dead_feature_window": 2,
        "lr_warm_up_steps": 3, "lr_decay_fraction": 0.25,
    }  # fmt: skip
    swept = {"coefficient": 0.3} if mode == "tanh" else {"l0": 5.0}
    options |= {} if mode == "tanh" else {"l0_coefficient": 0.3}
    text = {"d_sae": D_SAE, "training": training, "architecture": {"name": "jumprelu", **options}}
    sae = saelens(mode, True, l0_warm_up_steps=4, jumprelu_init_threshold=0.02)
    with torch.no_grad():
        sae.threshold.fill_(0.02)
    weights = Weights(*(getattr(sae, each).detach().clone() for each in Weights._fields))
    trainer = JumpReluTrainer(parse_settings(json.dumps({**text, **swept})), weights)
    cfg = SAETrainerConfig(
        total_training_samples=8 * BATCH,
        train_batch_size_samples=BATCH,
        lr=0.01,
        lr_end=0.01,
        lr_warm_up_steps=3,
        lr_decay_steps=2,
        dead_feature_window=2,
    )
    reference, below = SAETrainer(cfg, sae, iter(())), False
    for number in range(8):
        losses = trainer.step(batch(seed=number))
        expected = reference.step(batch(seed=number))
        reference.n_training_steps += 1
        assert (expected.losses["l0_loss"] > 0) == (number > 0)
        below |= bool((trainer.threshold < 0).any())
    assert below or mode == "quadratic"
    assert torch.allclose(losses.loss, expected.loss, rtol=1e-6, atol=0)
    assert torch.equal(trainer.since_fired, reference.n_forward_passes_since_fired)
    assert torch.allclose(trainer.threshold, sae.threshold.double(), rtol=0, atol=1e-6)
    for each in Weights._fields:
        found, wanted = getattr(trainer.weights, each), getattr(sae, each)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-6), each
    details = sae.cfg.get_training_architecture_details()
    found = trainer.details(None if mode == "tanh" else 5.0)
    assert set(found) == set(details)
    assert found == details | {"target_l0": found["target_l0"]}


def test_all_weights_stay_in_float32_whatever_the_precision():
    training = {"training_tokens": 256, "batch_tokens": 64, "lr": 0.01, "precision": "reduced"}
    text = {"d_sae": 32, "l0": 4, "training": training, "architecture": {"name": "jumprelu"}}
    from correct_l0.saes.training.train import matmul_precision
    from correct_l0.saes.training.trainer import build_trainer

    parsed = parse_settings(json.dumps(text))
    trainer = build_trainer(parsed, D_IN, 0)
    with matmul_precision(parsed):
        for _ in range(3):
            trainer.step(batch(torch.float32))
    kinds = {value.dtype for value in (*trainer.weights, trainer.threshold)}
    assert kinds == {torch.float32}
