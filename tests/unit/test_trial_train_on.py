"""A single SAE that is trained on from its own weights: what it starts as, and what is read."""

import json
import math
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import imported_toy as toy
from correct_l0.costs.estimates import train_on_s
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import sha256_of
from correct_l0.reading.single import read_single
from correct_l0.report.single_words import next_of_single, single_headline
from correct_l0.saes.saved import SavedSae, write_saved_sae
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.sweep import Start
from correct_l0.saes.training.result import fold
from correct_l0.saes.training.start import weights_of
from correct_l0.saes.training.trainer import build_trainer
from correct_l0.study.opened import open_plan
from correct_l0.study.plan import Plan
from correct_l0.study.train_on import targets, train_on_plan

SCALE = 2.5
ROWS = torch.randn(400, toy.D_IN, generator=torch.Generator().manual_seed(4))


def saved(**changes) -> SavedSae:
    return replace(SavedSae(**toy.unit(toy.parts())), **changes)


@pytest.mark.parametrize("subtracts", [True, False])
def test_weights_give_the_codes_and_reconstruction_of_the_sae(subtracts):
    sae = saved(apply_b_dec_to_input=subtracts, form="topk", k=3)
    b_dec, W_dec, W_enc, b_enc = weights_of(sae, SCALE)
    pre = (SCALE * ROWS - b_dec) @ W_enc + b_enc
    largest = pre.topk(3, dim=1)
    acts = torch.zeros_like(pre).scatter(1, largest.indices, largest.values).relu()
    assert torch.allclose(acts, SCALE * sae.encode(ROWS), atol=1e-5)
    assert torch.allclose(acts @ W_dec + b_dec, SCALE * sae.decode(sae.encode(ROWS)), atol=1e-5)


def test_folding_the_weights_gives_the_sae_back():
    sae = saved()
    again = fold(weights_of(sae, SCALE), SCALE)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.allclose(getattr(again, name), getattr(sae, name), atol=1e-5)


def test_norms_that_decide_which_latents_are_kept_are_refused():
    with pytest.raises(InputError, match="norms of 1 to 2, and which latents are kept"):
        weights_of(saved(W_dec=toy.parts()["W_dec"]), SCALE)


def start_of(folder: Path, sae: SavedSae) -> Start:
    write_saved_sae(folder, sae, {})
    return Start(sae=str(folder), sha256=sha256_of(folder / "sae_weights.safetensors"))


def settings_of(start: Start, architecture: str, l0: float):
    training = {"training_tokens": 4000, "batch_tokens": 400}
    values = {"d_sae": 12, "l0": l0, "training": training, "start": start.model_dump()}
    return parse_settings(json.dumps({**values, "architecture": {"name": architecture}}))


def test_a_jumprelu_sae_begins_at_its_target(tmp_path):
    sae = saved()
    own = float((sae.encode(ROWS) > 0).sum(1).float().mean())
    start = start_of(tmp_path, sae)
    for l0 in (0.5 * own, own, 1.05 * own):
        trainer = build_trainer(settings_of(start, "jumprelu", l0), 8, 0, scale=SCALE)
        assert torch.equal(trainer.weights.W_dec, sae.W_dec)
        first = trainer.step(SCALE * ROWS, l0)
        assert float(first.l0) == pytest.approx(l0, abs=1 / 400)


def test_another_sae_in_its_place_is_refused(tmp_path):
    start = start_of(tmp_path, saved())
    settings = settings_of(start, "batchtopk", 2)
    assert torch.equal(build_trainer(settings, 8, 0).weights.W_dec, saved().W_dec)
    write_saved_sae(tmp_path, SavedSae(**toy.unit(toy.parts(1))), {})
    with pytest.raises(InputError, match="not the SAE that this training starts from"):
        build_trainer(settings, 8, 0)


WORLD = {"features": 8, "d_in": toy.D_IN, "firing": {"law": "constant", "p": 0.2},
         "held_out_tokens": 4096}  # fmt: skip
ASKED = {"training_tokens": 4000, "batch_tokens": 100}


def config_of(folder: Path, train_on=ASKED, write=None, **changes):
    """Write one SAE; return the configuration of a study that trains it on."""
    if write is None:
        toy.write_sae_lens(folder / "mine", "topk", toy.unit(toy.parts()), k=3)
    else:
        write(folder)
    section = {"folders": ["mine"], "d_in": toy.D_IN, "d_sae": toy.D_SAE}
    metrics = {"n": [0.5], "batch_tokens": 1000}
    return {"study": "one", "device": "cpu", "synthetic": WORLD, "saes": {"import": section},
            "decoder_metrics": metrics, "probing": {"probe_k": [1]}, "train_on": train_on,
            **changes}  # fmt: skip


def plan_of(folder: Path, *args, **changes) -> Plan:
    with chdir(folder):
        return open_plan(config_of(folder, *args, **changes), folder)


def test_targets_are_those_an_sae_can_have(tmp_path):
    plan = plan_of(tmp_path)
    assert targets(plan, 3.0) == [1, 2, 3, 5]
    start = Start(sae="a", sha256="b")
    small = train_on_plan(plan, 3.0, start)
    assert small.source == plan.source and small.results == "results/one/train_on"
    settings = parse_settings(small.settings_sae("5"))
    assert settings.start == start and settings.architecture == "topk"
    assert (settings.steps, settings.training.lr_warm_up_steps, settings.decay_steps) == (40, 4, 20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synthetic": None}, "is a single SAE, of whose weights alone nothing can be read"),
        ({"train_on": {**ASKED, "factors": [1.5, 2]}}, "factors 1.5, 2 are not on both sides of 1"),
        ({"train_on": {**ASKED, "factors": [0.5, 2]}}, "factors 0.5, 2 leave out 1, the training"),
        ({"train_on": {**ASKED, "training_tokens": 900}}, "are 9 steps of 100, at least 10 are"),
        ({"train_on": {**ASKED, "seeds": [0]}}, "seeds"),
        ({"train_on": {"batch_tokens": 2000, "training_tokens": 40000},
          "synthetic": {**WORLD, "held_out_tokens": 1000}}, "is above the 1000 held-out tokens"),
        ({"saes": {"d_sae": 12, "l0": [2], "training": {"training_tokens": 100,
          "batch_tokens": 10}}}, "only of a single imported SAE, not of SAEs that are trained"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused_in_one_line(tmp_path, changes, words):
    with pytest.raises(InputError) as refused:
        plan_of(tmp_path, **({"train_on": ASKED} | changes))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_architectures_without_an_engine_of_ours_and_sweeps_are_refused(tmp_path):
    def gated(folder):
        toy.write_gemma_2(folder / "mine/gated_l0_3", toy.parts())

    with pytest.raises(InputError, match="is gated, and only batchtopk, jumprelu, topk SAEs"):
        plan_of(tmp_path, ASKED, gated)

    def two(folder):
        toy.write_gemma_2(folder / "mine/jumprelu_l0_3", toy.parts())
        toy.write_gemma_2(folder / "mine/jumprelu_l0_5", toy.parts(1))

    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="not of 2 imported SAEs"):
        plan_of(tmp_path / "b", ASKED, two)


def test_its_time_is_told_before(tmp_path):
    once = train_on_s(plan_of(tmp_path).study)
    twice = train_on_s(plan_of(tmp_path, {**ASKED, "seeds": [0, 1, 2, 3]}).study)
    assert 1.9 * once < twice < 2.3 * once


def trained_on(turned):
    """Return a table of two seeds whose means are as given, by factor."""
    rows = [
        {"factor": factor, "l0_measured": 16 * factor, "turned": mean + by, "c_dec": 0.2}
        for factor, mean in turned.items()
        for by in (-0.5, 0.5)
    ]
    return pd.DataFrame(rows).assign(own_l0=16.0, own_c_dec=0.25, random=0.1)


@pytest.mark.parametrize(
    ("turned", "outcome", "pull"),
    [
        ({0.4: 2, 0.63: 2, 1: 2, 1.6: 4, 2.5: 8}, "too low", 0),
        ({0.4: 2, 0.63: 1, 1: 2, 1.6: 2, 2.5: 2}, "too low", math.log(2) / 2),
        ({0.4: 8, 0.63: 4, 1: 2, 1.6: 2, 2.5: 2}, "too high", -1.5 * math.log(2)),
        # Between the two limits: -log(2.8 / 2) = -0.34.
        ({0.4: 2.8, 0.63: 2.8, 1: 2, 1.6: 4, 2.5: 6}, "about right", -math.log(1.4)),
        ({0.4: 2.8, 0.63: 2.8, 1: 2, 1.6: 2, 2.5: 6}, "cannot tell", -math.log(1.4)),
        # Higher targets have no say, where the SAE's width leaves them out too.
        ({0.4: 8, 0.63: 4, 1: 2}, "too high", -1.5 * math.log(2)),
        ({1: 2, 1.6: 4, 2.5: 6}, "cannot tell", math.nan),
    ],
)
def test_how_much_further_latents_turn_than_without_a_change_is_read(turned, outcome, pull):
    reading = read_single(trained_on(turned))
    assert reading.outcome == outcome
    assert reading.pull == pytest.approx(pull, nan_ok=True)
    assert reading.turned == pytest.approx([turned[x] for x in sorted(turned)])
    assert next_of_single(reading)["sentence"]
    headline = single_headline(reading)
    assert headline.startswith(
        "Cannot tell whether L0 16" if outcome == "cannot tell" else f"L0 16 is {outcome} for"
    )
    assert ("confidence" in headline) == (outcome != "cannot tell")
