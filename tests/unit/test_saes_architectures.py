"""Every architecture: trained, stopped and taken up, saved in a form that SAELens loads."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import SAE

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.saes.architectures import NAMES, architecture
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.sections import Saes
from correct_l0.saes.settings import PointJob, parse_settings
from correct_l0.saes.training.evaluate import held_out_chunks
from correct_l0.saes.training.points import train_points
from correct_l0.saes.training.result import fold
from correct_l0.saes.training.trainer import build_trainer
from saes_toy import (
    BATCH,
    D_IN,
    D_SAE,
    STEPS,
    ToyBatches,
    ToyStore,
    settings,
    settings_of,
    train_toy,
)

SHORT = {"training_tokens": 60 * BATCH}
SWEPT = {"l0": {"l0": 4}, "coefficient": {"coefficient": 0.5}}
SETTINGS = {name: settings_of(name, **SWEPT[architecture(name).swept]) for name in NAMES} | {
    "batchtopk": settings_of("batchtopk", l0=4.5),
    "matryoshka_batchtopk": settings_of(
        "matryoshka_batchtopk", l0=4.5, options={"prefixes": [0.25, 0.5]}
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("architectures")
    return {
        name: (folder / name, train_toy(folder / name, text)) for name, text in SETTINGS.items()
    }


def test_saelens_registers_no_others():
    """Matching pursuit picks latents one after another: no form of ours has such codes."""
    registered = SAE_TRAINING_CLASS_REGISTRY.items()
    theirs = {name for name, (kind, _) in registered if kind.__module__.startswith("sae_lens.")}
    assert theirs - {"matching_pursuit"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_saelens_loads_it_to_the_same_codes(trained, name):
    folder, manifest = trained[name]
    ours, theirs = load_saved_sae(folder / "sae"), SAE.load_from_disk(folder / "sae")
    x = ToyStore().rest[:300]
    codes = ours.encode(x)
    assert theirs.cfg.architecture() == architecture(name).form == ours.form
    torch.testing.assert_close(codes, theirs.encode(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.decode(codes), theirs.decode(codes), rtol=1e-5, atol=1e-5)
    some = torch.tensor([3, 0, 17])
    torch.testing.assert_close(ours.encode(x, some), codes[:, some], rtol=1e-5, atol=1e-5)
    assert torch.allclose(ours.W_dec.norm(dim=1), torch.ones(D_SAE), atol=1e-5)
    assert manifest["architecture"] == name
    assert manifest["fvu"] < 0.5
    losses = pd.read_csv(folder / "loss.csv")["mse_loss"]
    assert losses[-20:].mean() < 0.5 * losses[0]
    details = json.loads((folder / "sae/cfg.json").read_text())["metadata"]
    assert details["training_architecture"] == name
    assert details["training_architecture_details"]["decoder_init_norm"] == 0.1


@pytest.mark.parametrize("name", [name for name in NAMES if not architecture(name).calibrated])
def test_the_saved_sae_does_what_the_trained_one_does(name):
    """In training units against SAELens' own encoding of the SAE in training.

    Those that select over a batch in training go by a threshold when in use.
    """
    values = json.loads(SETTINGS[name])
    values["training"]["engine"] = "saelens"
    if name == "jumprelu":
        values["architecture"]["aim_fraction"] = 0
    parsed, store = parse_settings(json.dumps(values)), ToyStore()
    trainer, batches, scale = build_trainer(parsed, D_IN, 0), ToyBatches(store), 0.7
    for step in range(30):
        trainer.step(batches.batch(step) * scale)
    with torch.no_grad():
        sae, x = trainer._trainer.sae, store.rest[:300]
        theirs = sae.encode(x * scale)
        folded = fold(trainer.weights, scale)
        norms = trainer.weights.W_dec.norm(dim=1)
        if parsed.declared.form == "jumprelu":
            threshold = trainer.threshold * norms / scale
            found = torch.relu((x - folded.b_dec) @ folded.W_enc + folded.b_enc)
            pre_acts = (x - folded.b_dec) @ folded.W_enc + folded.b_enc
            found = found * (pre_acts > threshold)
            expected = theirs * norms / scale
        else:
            expected = theirs / scale
            ours = type(folded)(**{**vars(folded), "form": parsed.declared.form, "k": 4})
            found = ours.encode(x)
            assert torch.count_nonzero(found, dim=1).max() == 4
    assert (expected != 0).any()
    agree = (found - expected).abs() < 1e-4 * expected.abs().max()
    # A pre-activation on the edge may fall on either side.
    assert agree.float().mean() > 0.9999


@pytest.mark.parametrize("name", ["topk", "abstopk"])
def test_so_many_latents_of_every_token(trained, name):
    folder, manifest = trained[name]
    codes = load_saved_sae(folder / "sae").encode(torch.cat(list(held_out_chunks(ToyStore(), 1))))
    assert torch.count_nonzero(codes, dim=1).float().mean() == pytest.approx(4, abs=0.01)
    assert bool((codes < 0).any()) is (name == "abstopk")
    assert manifest["l0_measured"] == pytest.approx(4, abs=0.01)
    assert manifest["l0_reached"] is True


def test_thresholds_are_calibrated_where_the_batch_is_selected_from(trained):
    for name in ("batchtopk", "matryoshka_batchtopk"):
        _, manifest = trained[name]
        assert manifest["l0_measured"] == pytest.approx(4.5, rel=0.02)
        assert manifest["threshold"] > 0


TANH = {"jumprelu_sparsity_loss_mode": "tanh"}


def test_a_higher_coefficient_has_a_lower_l0(tmp_path):
    """Of the paper's penalty, where the L0 of a coefficient is not known before."""
    higher, lower = (
        train_toy(tmp_path / str(c), settings_of("jumprelu", options=TANH, coefficient=c))
        for c in (0.5, 5)
    )
    assert lower["l0_measured"] < 0.8 * higher["l0_measured"]
    assert (lower["l0"], lower["l0_end"], lower["coefficient"]) == (None, None, 5)
    assert lower["l0_reached"] is True
    assert len(np.load(tmp_path / "5" / "decoder_norms.npy")) == D_SAE


def test_jumprelu_ends_at_its_target_l0(trained, capsys, tmp_path):
    """The aim is moved; at the target itself L0 comes to rest above it, and the point says so."""
    _, manifest = trained["jumprelu"]
    assert manifest["l0_measured"] == pytest.approx(4, rel=0.03)
    assert (manifest["l0_reached"], manifest["recipe"]) == (True, 4)
    off = train_toy(tmp_path, settings_of("jumprelu", options={"aim_fraction": 0}, l0=4))
    assert off["l0_measured"] > 1.03 * 4
    assert off["l0_reached"] is False
    assert "measured on held-out tokens, more than 3% away" in capsys.readouterr().out


def test_jumprelu_follows_a_schedule(tmp_path):
    ramp = {"kind": "linear", "end_l0": 3, "ramp_steps": 100}
    train_toy(tmp_path, settings_of("jumprelu", {"l0_schedule": ramp}, l0=8))
    course = pd.read_csv(tmp_path / "loss.csv")["l0_batch"]
    assert 2.7 < course[-20:].mean() < 3.3


def test_jumprelu_is_the_same_in_activations_of_any_size(tmp_path):
    """Bandwidth and first threshold are in units of the activations as scaled for training."""
    text = settings_of("jumprelu", SHORT, l0=4)
    for size in (1, 4):
        store, job = ToyStore(), PointJob(tmp_path / str(size), text, 0)
        store.training, store.rest = store.training * size, store.rest * size
        store.mean_norm *= size
        assert not train_points(store, ToyBatches(store), [job], measures=measures())
    plain, larger = (load_saved_sae(tmp_path / size / "sae") for size in "14")
    assert plain.threshold.max() > 0
    assert torch.equal(larger.threshold, 4 * plain.threshold)
    assert torch.equal(larger.W_enc, plain.W_enc)


class Stopping(ToyBatches):
    """Batches of which one asks the process to stop."""

    def batch(self, step):
        if step == 25:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().batch(step)


@pytest.mark.parametrize("name", NAMES)
def test_taken_up_it_has_the_bits_of_one_run(tmp_path, name):
    values = json.loads(SETTINGS[name])
    values["training"] |= SHORT
    text = json.dumps(values)
    train_toy(tmp_path / "whole", text)
    with pytest.raises(SystemExit):
        train_toy(tmp_path / "stopped", text, batches=Stopping(ToyStore()))
    manifest = train_toy(tmp_path / "stopped", text)
    assert manifest["resumed_from_step"] == 26
    for file in manifest["outputs"]:
        one, two = ((tmp_path / folder / file).read_bytes() for folder in ("whole", "stopped"))
        assert one == two, file


def test_l0_follows_a_schedule_in_the_others_too(tmp_path):
    ramp = {"kind": "linear", "end_l0": 3, "ramp_steps": 100}
    manifest = train_toy(tmp_path, settings_of("topk", {"l0_schedule": ramp}, l0=8))
    course = pd.read_csv(tmp_path / "loss.csv")["l0_batch"]
    assert (course[0], course[STEPS - 1], manifest["l0_end"]) == (8, 3, 3)
    assert load_saved_sae(tmp_path / "sae").k == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            settings_of("sparse", l0=4),
            "architecture 'sparse' is not known; choose one of abstopk, batch",
        ),
        (settings_of("topk", l0=4.5), "l0 4.5 is not whole: every token keeps"),
        (
            settings_of("gated", {"l0_schedule": {"kind": "descent"}}, coefficient=1),
            "l0_schedule: this architecture has no target L0",
        ),
        (
            settings_of("gated", {"training_tokens": 1}, coefficient=0.5),
            "coefficient 0.5: training",
        ),
        (
            settings_of("jumprelu", options={**TANH, "l0_coefficient": 2}, coefficient=0.5),
            "l0_coefficient 2: of the penalty tanh it is swept; list it in l0",
        ),
        (
            settings_of("jumprelu", {"engine": "saelens"}, l0=4),
            r"aim_fraction 0\.1: engine saelens aims at the target itself; set it to 0 or use",
        ),
        (
            settings_of("matryoshka_batchtopk", options={"prefixes": [0.01, 0.5]}, l0=4),
            "prefixes: they are 0, 16 of 32 latents, each must add one at least; set fewer or",
        ),
        (
            settings_of(
                "matryoshka_batchtopk", {"engine": "saelens"}, {"inner_weights": [1, 1, 1, 2]}, l0=4
            ),
            "inner_weights: engine saelens weighs all levels alike; use engine fused",
        ),
        (
            settings_of("topk", {"engine": "saelens", "gpu_products": "sparse"}, l0=4),
            "l0 4: gpu_products sparse: engine saelens has its own products; remove it or use",
        ),
        (
            settings_of("jumprelu", {"gpu_products": "sparse"}, l0=4),
            "gpu_products sparse: jumprelu has no number of latents that a batch keeps, which",
        ),
    ],
)
def test_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_settings(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefixes": [0.5, 0.25]}, r"matryoshka_batchtopk: .*do not ascend; sort them"),
        ({"prefixes": [0]}, r"matryoshka_batchtopk.prefixes.0: .*greater than 0"),
        ({"prefixes": [1]}, r"matryoshka_batchtopk.prefixes.0: .*less than 1"),
        ({"inner_weights": [1]}, r"inner_weights are 1, one is needed for each of the 4 prefixes"),
        ({"widths": [3]}, r"architecture matryoshka_batchtopk"),
    ],
)
def test_options_that_are_wrong_are_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        parse_settings(settings_of("matryoshka_batchtopk", l0=4, options=options))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        saes(l0=[4], architecture={"name": "matryoshka_batchtopk", **options})


def saes(**given):
    return Saes.model_validate({"d_sae": D_SAE, "training": {"training_tokens": 10**5}, **given})


def test_a_sweep_of_an_architecture():
    """What a point's settings say; a default spelt out says nothing, and neither does BatchTopK."""
    assert saes(l0=[4]).point(4.0) == {"d_sae": D_SAE, "l0": 4.0}
    assert saes(l0=[4], architecture={"name": "batchtopk"}) == saes(l0=[4])
    tanh = {"name": "jumprelu", **TANH}
    by_coefficient = saes(l0=[400], architecture={**tanh, "jumprelu_tanh_scale": 4})
    assert by_coefficient.point(400.0) == {
        "architecture": tanh, "d_sae": D_SAE, "coefficient": 400.0,
    }  # fmt: skip
    by_target = saes(l0=[4], architecture={"name": "jumprelu"})
    assert by_target.point(4.0) == {"architecture": {"name": "jumprelu"}, "d_sae": D_SAE, "l0": 4.0}
    assert (by_coefficient.swept, by_target.swept) == ("coefficient", "l0")
    with pytest.raises(ValueError, match="l0 400 is above d_sae 32"):
        saes(l0=[400])
    with pytest.raises(ValueError, match="l0 400 is above d_sae 32"):
        saes(l0=[400], architecture={"name": "jumprelu"})
    with pytest.raises(ValueError, match="prefixes: they are 0, 2, 4, 8 of 16 latents"):
        saes(d_sae=16, l0=[4], architecture={"name": "matryoshka_batchtopk"})
    with pytest.raises(ValueError, match=r"l0 4\.5 is not whole"):
        saes(l0=[4.5], architecture={"name": "topk"})
    with pytest.raises(ValueError, match="architecture 'nothing' is not known; choose one of"):
        saes(l0=[4], architecture={"name": "nothing"})


def test_batchtopk_by_name_has_the_bits_of_the_default(trained, tmp_path):
    train_toy(tmp_path, settings(4.5))
    file = "sae/sae_weights.safetensors"
    assert (tmp_path / file).read_bytes() == (trained["batchtopk"][0] / file).read_bytes()


def test_a_sweep_of_search_knows_what_an_option_changes():
    search = {"from": 1, "to": 8, "budget": 9}
    with pytest.raises(ValueError, match="sweeps a coefficient, which is not searched"):
        saes(l0=search, architecture={"name": "jumprelu", **TANH})
    assert saes(l0=search, architecture={"name": "jumprelu"}).swept == "l0"


@pytest.mark.parametrize("name", NAMES)
def test_in_a_group_and_alone_it_has_the_same_bits(name, tmp_path):
    """Two points of one architecture and one of BatchTopK, which share memory."""
    other = json.loads(SETTINGS[name]) | {architecture(name).swept: 6}
    texts = [SETTINGS[name], settings(4.5), json.dumps(other)]
    texts = [
        json.dumps(json.loads(x) | {"training": json.loads(x)["training"] | SHORT}) for x in texts
    ]
    jobs = [PointJob(tmp_path / "group" / str(i), text, 0) for i, text in enumerate(texts)]
    store = ToyStore()
    assert not train_points(store, ToyBatches(store), jobs, measures=measures())
    for i, text in enumerate(texts):
        train_toy(tmp_path / "alone" / str(i), text)
        for file in ("sae/sae_weights.safetensors", "loss.csv"):
            one, two = ((tmp_path / way / str(i) / file).read_bytes() for way in ("group", "alone"))
            assert one == two, (i, file)
