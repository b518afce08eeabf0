"""What the fused engine does itself is what SAELens and torch do."""

import copy
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import SAE
from sae_lens.training.optim import get_lr_scheduler

from correct_l0.saes.engine import batchtopk
from correct_l0.saes.engine.batchtopk import FusedTrainer, build
from correct_l0.saes.engine.learning_rates import learning_rates
from correct_l0.saes.engine.weights import Weights, initial_weights
from correct_l0.saes.saved import load_saved_sae, write_saved_sae
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.training.metadata import training_metadata
from correct_l0.saes.training.result import fold
from saes_toy import BATCH, D_IN, D_SAE, ToyBatches, ToyStore, settings


def test_learning_rate():
    text = settings(training_tokens=8 * BATCH, lr=1.0, lr_warm_up_steps=4, lr_decay_fraction=0.25)
    rates = learning_rates(parse_settings(text))
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 0.5])


@pytest.mark.parametrize("warm_up", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("decay", [0.0, 0.02, 0.3, 0.4])
def test_the_learning_rate_has_the_bits_of_saelens(warm_up, decay):
    parsed = parse_settings(
        settings(
            training_tokens=50 * BATCH, lr=3e-4, lr_warm_up_steps=warm_up, lr_decay_fraction=decay
        )
    )
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=3e-4)
    scheduler = get_lr_scheduler(
        "constant", optimizer, training_steps=50, lr=3e-4, warm_up_steps=warm_up,
        decay_steps=parsed.decay_steps, lr_end=3e-4, num_cycles=1,
    )  # fmt: skip
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert learning_rates(parsed) == expected


@pytest.mark.parametrize("size", [0.01, 1.0])
@pytest.mark.numbers
def test_clipping_and_adam_are_torchs(size):
    """Twelve steps of at most 0.01 on gradients shorter and longer than the limit."""
    parsed = parse_settings(settings(training_tokens=12 * BATCH, lr_decay_fraction=0.5))
    trainer = FusedTrainer(parsed, initial_weights(D_IN, D_SAE, 0))
    theirs = [value.clone().requires_grad_() for value in trainer.weights]
    adam = torch.optim.Adam(theirs, lr=0.01)
    generator, clipped = torch.Generator().manual_seed(0), set()
    for trainer.n_steps, rate in enumerate(learning_rates(parsed)):
        for name, value in zip(Weights._fields, theirs, strict=True):
            value.grad = size * torch.randn(value.shape, generator=generator)
            getattr(trainer._work.gradients, name).copy_(value.grad)
        trainer._update()
        clipped.add(bool(torch.nn.utils.clip_grad_norm_(theirs, 1.0) > 1))
        adam.param_groups[0]["lr"] = rate
        adam.step()
    assert clipped == {size == 1}
    for found, expected in zip(trainer.weights, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("engine", ["fused", "saelens"])
def test_a_frozen_decoder_stays_as_it_started_and_the_rest_learns(engine):
    text = settings(training_tokens=40 * BATCH, freeze_decoder=True, engine=engine)
    trainer = build(parse_settings(text), D_IN, 0, "cpu", {})
    start = Weights(*(value.detach().clone() for value in trainer.weights))
    losses = [float(trainer.step(ToyBatches(ToyStore()).batch(i)).mse_loss) for i in range(40)]
    for name, before, after in zip(Weights._fields, start, trainer.weights, strict=True):
        assert torch.equal(before, after) == (name == "W_dec")
    assert losses[-1] < 0.8 * losses[0]


def test_both_engines_train_the_same_around_a_frozen_decoder():
    """Twenty steps of at most 0.01; the gradients are clipped without the decoder's in both."""
    found = []
    for engine in ("fused", "saelens"):
        text = settings(training_tokens=20 * BATCH, freeze_decoder=True, engine=engine)
        trainer = build(parse_settings(text), D_IN, 0, "cpu", {})
        for i in range(20):
            trainer.step(ToyBatches(ToyStore()).batch(i))
        found.append([value.detach() for value in trainer.weights])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_dead_latents_are_looked_up_only_where_one_can_be_dead():
    """Against counting: a latent is dead once it has not fired in more steps than the window."""
    parsed = parse_settings(settings(1.5, dead_feature_window=3, training_tokens=60 * BATCH))
    trainer, silent = FusedTrainer(parsed, initial_weights(D_IN, D_SAE, 0)), torch.zeros(D_SAE)
    looks, found = [], trainer._dead

    def dead():
        result = found()
        expected = (silent > 3).nonzero().view(-1)
        assert (result is None) == (len(expected) == 0)
        assert result is None or torch.equal(result, expected)
        looks.append(trainer._none_dead_before <= trainer.n_steps)
        return result

    trainer._dead = dead
    for step in range(60):
        trainer.step(ToyBatches(ToyStore()).batch(step))
        silent = torch.where(trainer.since_fired == 0, 0, silent + 1)
        assert torch.equal(silent, trainer.since_fired)
    assert not all(looks)
    assert any(looks[5:])


def test_a_look_at_the_dead_waits_for_the_last_step_alone(monkeypatch):
    """What a step has sent is looked at by the next one, not what the device has by then."""
    parsed = parse_settings(settings(1.5, dead_feature_window=3, training_tokens=60 * BATCH))
    trainer = FusedTrainer(parsed, initial_weights(D_IN, D_SAE, 0))
    start, found = copy.deepcopy(trainer.state_dict()), trainer._dead
    sent, waited, seen = [], [], []

    def to_host(values):
        sent.append(trainer.n_steps)
        return values.clone(), SimpleNamespace(synchronize=lambda: waited.append(trainer.n_steps))

    def dead():
        since_fired = trainer.since_fired.clone()
        if trainer.n_steps:
            trainer.since_fired.fill_(torch.nan)
        result = found()
        trainer.since_fired.copy_(since_fired)
        expected = (since_fired > 3).nonzero().view(-1)
        assert torch.equal(expected[:0] if result is None else result, expected)
        seen.append(result is not None)
        return result

    monkeypatch.setattr(batchtopk, "to_host", to_host)
    trainer._dead = dead
    for step in range(60):
        trainer.step(ToyBatches(ToyStore()).batch(step))
    assert any(seen)
    assert not all(seen)
    assert sent[:2] == [0, 4]
    assert waited == [step for step in sent if step < 60]
    trainer.load_state_dict(start)
    assert found() is None


def test_the_files_are_those_saelens_writes(tmp_path):
    """Settings and weights, after folding scale and norms; SAELens reads them to the same codes."""
    cfg = BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=4.5)
    cfg.metadata["model_name"] = "toy"
    theirs = BatchTopKTrainingSAE(cfg)
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    parsed = parse_settings(settings(4.5))
    trainer = FusedTrainer(parsed, initial_weights(D_IN, D_SAE, 0))
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            getattr(trainer.weights, name).copy_(value)
    sae = fold(trainer.weights, 0.7)
    sae.threshold.fill_(0.25)
    write_saved_sae(
        tmp_path / "ours",
        sae,
        {"model_name": "toy", **training_metadata("batchtopk", trainer.details(4.5))},
    )
    theirs.fold_activation_norm_scaling_factor(0.7)
    theirs.topk_threshold.fill_(0.25)
    theirs.save_inference_model(tmp_path / "theirs")
    found, expected = (tmp_path / name / "sae_weights.safetensors" for name in ("ours", "theirs"))
    assert found.read_bytes() == expected.read_bytes()
    found, expected = (
        json.loads((tmp_path / name / "cfg.json").read_text()) for name in ("ours", "theirs")
    )
    assert found == expected
    x = 3 * torch.randn(100, D_IN, generator=torch.Generator().manual_seed(2))
    read, reference = load_saved_sae(tmp_path / "ours"), SAE.load_from_disk(tmp_path / "ours")
    codes = read.encode(x)
    assert 0 < (codes > 0).float().mean() < 0.9
    assert torch.equal(codes, reference.encode(x))
    assert torch.equal(read.decode(codes), reference.decode(codes))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import correct_l0.saes.job", {"torch", "pandas", "zarr", "sae_lens", "scipy"}),
        (
            "import saes_toy, tempfile; saes_toy.train_toy(tempfile.mkdtemp())",
            {"sae_lens", "torch._dynamo", "transformers", "pandas", "zarr"},
        ),
    ],
    ids=["taken over", "trained"],
)
def test_what_takes_seconds_to_import_is_not_imported(statement, absent):
    code = f"{statement}; import sys; print(sorted({absent} & sys.modules.keys()))"
    command = [sys.executable, "-c", f"import sys; sys.path = {sys.path}; {code}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
