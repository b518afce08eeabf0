"""The hedging rate: its numbers by hand and by chance, and a small study that has it."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import gammaln
from scipy.stats import beta

import made_up
from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.metrics.hedging.point import read
from correct_l0.metrics.hedging.rate import hedging_rate
from correct_l0.metrics.hedging.settings import Hedging
from correct_l0.metrics.hedging.trainings import _longer, both_at_start, train_both
from correct_l0.metrics.job import trained_points
from correct_l0.metrics.points import measure_points
from correct_l0.report.data import StudyData
from correct_l0.report.figures.hedging import hedging as draw_hedging
from correct_l0.report.hedging_words import hedging_columns, hedging_lines
from correct_l0.report.names import Names
from correct_l0.report.study import read_study
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.weights import initial_weights
from correct_l0.saes.job import train_saes
from correct_l0.saes.saved import load_saved_sae, write_saved_sae
from correct_l0.saes.settings import PointJob, parse_settings
from correct_l0.saes.training.result import fold
from correct_l0.saes.training.start import weights_of
from correct_l0.saes.training.taken_up import Later, train_on
from correct_l0.sources import open_source
from correct_l0.sources.synthetic.make import make
from correct_l0.stages import BY_RULE, STAGES
from correct_l0.study.config import parse_config
from correct_l0.study.frozen_control import control_plan
from correct_l0.study.plan import Plan
from correct_l0.study.report import round_settings
from correct_l0.trial import run_study
from language_model_toy import toy_cache
from saes_toy import (
    BATCH,
    D_IN,
    D_SAE,
    ToyBatches,
    ToyStore,
    settings,
    settings_of,
    train_toy,
)

D, NEW = 64, 8


def rate_of(control, widened, draws=50):
    return hedging_rate(torch.tensor(control), torch.tensor(widened), draws=draws, seed=0)


def mean_length(dimensions, d_in):
    """Expected length of a unit vector's projection on a random subspace."""
    a, b = (dimensions + 1) / 2, d_in / 2
    return math.exp(gammaln(a) + gammaln(b) - gammaln(dimensions / 2) - gammaln(b + 0.5))


def test_a_latent_that_lost_all_of_its_length_to_new_ones_has_rate_1():
    """Turned by 60 degrees a row moves by its own length, here along the new latent."""
    root = 3**0.5 / 2
    found = rate_of([[1.0, 0.0, 0.0]], [[0.5, root, 0.0], [-0.5, root, 0.0]])
    assert (found.shift, found.projected, found.rate) == (pytest.approx(1),) * 3
    assert (found.share_of_shift, found.chance_share_of_shift) == (pytest.approx(1), 1 / 3)


def test_a_shift_that_no_new_latent_takes_up_has_rate_0():
    found = rate_of([[1.0, 0.0, 0.0, 0.0]], [[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0]])
    assert (found.projected, found.rate, found.share_of_shift) == (0, 0, 0)
    assert found.by_chance > 0.3
    still = rate_of([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    assert (still.shift, still.rate, still.share_of_shift) == (0, 0, 0)


def test_norms_and_repeated_new_latents_say_nothing():
    generator = torch.Generator().manual_seed(1)
    control, widened = (torch.randn(n, D, generator=generator) for n in (20, 20 + NEW))
    plain = hedging_rate(control, widened, draws=50, seed=0)
    factors = torch.rand(20 + NEW, 1, generator=generator) + 0.5
    again = torch.cat([widened * factors, widened[-2:].sum(0, keepdim=True)])
    found = hedging_rate(control * factors[:20], again, draws=50, seed=0)
    assert found.chance_share_of_shift == NEW / D
    assert asdict(found) == pytest.approx(asdict(plain), abs=1e-5)


def test_chance_is_that_of_random_subspaces():
    """Of 2,000 shifts towards anywhere: lengths by the gamma function, shares by Beta(k/2, ...)."""
    generator = torch.Generator().manual_seed(2)
    control = torch.randn(2000, D, generator=generator)
    moved = control + 0.01 * torch.randn(2000, D, generator=generator)
    new = torch.randn(NEW, D, generator=generator)
    found = hedging_rate(control, torch.cat([moved, new]), draws=50, seed=3)
    one = found.shift * mean_length(NEW, D)
    assert found.by_chance == pytest.approx(one, rel=0.01)
    assert found.projected == pytest.approx(one, rel=0.03)
    spread = beta(NEW / 2, (D - NEW) / 2).std() / 2000**0.5
    assert found.share_of_shift == pytest.approx(NEW / D, abs=4 * spread)
    assert found.rate < 0.001


def test_a_finished_sae_is_taken_up_as_it_was_trained(tmp_path):
    parsed = parse_settings(settings())
    trainer, batches = FusedTrainer(parsed, initial_weights(D_IN, D_SAE, 0)), ToyBatches(ToyStore())
    for step in range(60):
        trainer.step(batches.batch(step))
    scale = 0.7
    norms = trainer.weights.W_dec.norm(dim=1) / scale
    write_saved_sae(tmp_path, fold(trainer.weights, scale), {})
    found = weights_of(load_saved_sae(tmp_path), scale, norms)
    for ours, theirs in zip(found, trainer.weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    # The next step is that of the trainer itself, but for Adam's moments.
    anew = FusedTrainer(parsed, found)
    batch = Later(batches, 60).batch(0)
    assert torch.equal(batch, batches.batch(60))
    assert len(batch) == BATCH
    assert float(anew.step(batch).loss) == pytest.approx(float(trainer.step(batch).loss), rel=1e-5)


WORLD = {
    "features": 12, "d_in": 16, "directions": "random", "held_out_tokens": 1024,
    "firing": {"law": "constant", "p": 0.1},
    "correlation": {"kind": "low_rank", "rank": 3, "scale": 0.4},
}  # fmt: skip


def study(**changes):
    training = {"training_tokens": 128 * 300, "batch_tokens": 128, "lr": 3e-3,
                "dead_feature_window": 100}  # fmt: skip
    return {
        "study": "tiny",
        "synthetic": WORLD,
        "saes": {"d_sae": 3, "l0": [1], "seeds": [0, 1], "training": training},
        "decoder_metrics": {"n": [2], "batch_tokens": 1024},
        "probing": {"probe_k": [1]},
        "hedging": {"new_latents": 2, "steps": 100},
        **changes,
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Of a study whose SAEs have 3 latents for 12 features, and of the same with 12 latents."""
    found = {}
    for d_sae in (3, 12):
        folder = tmp_path_factory.mktemp("hedging")
        config = study()
        config["saes"] |= {"d_sae": d_sae}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            plan = Plan(parse_config(config))
            make(plan.source_folder, plan.settings_source())
            found[d_sae] = run_study(plan)
    return found


def test_every_point_has_a_rate_and_narrow_saes_have_higher_ones(tables):
    narrow, wide = tables[3]["hedging"], tables[12]["hedging"]
    assert list(narrow["seed"]) == [0, 1]
    assert (narrow["new_alive"] == 1).all()
    assert (narrow[["new_latents", "steps"]] == [2, 100]).all(axis=None)
    assert narrow["rate"].between(0, 1).all()
    p, b = narrow["projected"], narrow["by_chance"]
    np.testing.assert_allclose(narrow["rate"], np.maximum(0, (p - b) / (1 - b)), rtol=1e-6)
    assert narrow["rate"].mean() > 2 * wide["rate"].mean()


def test_it_trains_on_a_language_models_cache_and_is_left_where_it_stands(tmp_path, capsys):
    """On the batches that come after the SAE's own, which go over the 300 rows again."""
    manifest = toy_cache(tmp_path, d_in=8)
    training = {"training_tokens": 64 * 30, "batch_tokens": 64, "lr": 0.01}
    text = json.dumps({"d_sae": 6, "l0": 2, "training": training})
    folder = tmp_path / "saes" / "l0_2" / "seed_0"
    failed = train_saes(manifest, [PointJob(folder, text, 0)], measures=measures, device="cpu",
                        checkpoint_s=600, threads=1)  # fmt: skip
    assert not failed
    source, asked = open_source(manifest, load_saved_sae), []
    stream = source.stream

    def watched(*options, **named):
        batches = stream(*options, **named)
        return SimpleNamespace(batch=lambda step: asked.append(step) or batches.batch(step))

    source.stream = watched
    trained = trained_points({str(folder): text}, 0, source.digest)
    results = str(tmp_path / "hedging")
    wanted = {"hedging": {"stage": "measure_hedging", "recipe": 1,
                          "settings": '{"new_latents":2,"steps":7}',
                          "folders": {str(folder): results}}}  # fmt: skip
    for _ in range(2):
        assert measure_points(trained, source, wanted, device="cpu") == []
    assert asked == list(range(30, 37))
    assert "stands" in capsys.readouterr().out
    (row,) = read(Path(results), {})["hedging"].to_dict("records")
    assert (row["new_latents"], row["steps"]) == (2, 7)
    assert row["shift"] > 0
    assert 0 <= row["rate"] < 1


def test_new_latents_are_in_no_prefix_of_a_matryoshka_sae(tmp_path):
    """Its prefixes of 8 and 16 of 32 latents stay, also where their shares are of 35."""
    text = settings_of(
        "matryoshka_batchtopk", {"training_tokens": 30 * BATCH}, {"prefixes": [0.25, 0.5]}, l0=4
    )
    for d_sae in (D_SAE, D_SAE + 3):
        longer = _longer(parse_settings(text), 20, 4.0, d_sae)
        assert (longer.d_sae, longer.options.prefixes_of(d_sae)) == (d_sae, (8, 16))
    facts, store = train_toy(tmp_path, text), ToyStore()
    store.stream = lambda seed, batch, prefetch: ToyBatches(store)
    wanted = Hedging(new_latents=3, steps=20)
    sae = load_saved_sae(tmp_path / "sae")
    row = train_both(sae, {**facts, "folder": tmp_path}, store, wanted, tmp_path / "none")
    assert 0 < row["projected"] < row["shift"] < 1
    assert row["new_alive"] > 0
    assert not {"l0_control", "l0_widened"} & set(row), "the L0 of every batch is the target"


TANH = {"jumprelu_sparsity_loss_mode": "tanh"}


@pytest.mark.parametrize(
    ("options", "swept"), [({}, {"l0": 4}), (TANH, {"coefficient": 0.5})], ids=["target", "tanh"]
)
def test_a_jumprelu_sae_goes_on_as_it_was_trained(tmp_path, options, swept):
    """Not a step on it does what the saved one does; then its L0 stays, without any warm-up.

    The aim that its training ended with, below the target by 7%, is what keeps it there.
    """
    text, store, steps = settings_of("jumprelu", options=options, **swept), ToyStore(), 60
    facts, wanted = train_toy(tmp_path, text), Hedging(new_latents=3, steps=steps)
    sae, scale = load_saved_sae(tmp_path / "sae"), facts["activation_scale"]
    facts |= {"folder": tmp_path}
    runs = both_at_start(sae, facts, wanted, tmp_path / "none")
    control, widened = (run.trainer for run in runs)
    rows = store.rest[:500]
    _, W_dec, W_enc, b_enc = control.weights
    pre_acts = (rows * scale - control.weights.b_dec) @ W_enc + b_enc
    acts = pre_acts * (pre_acts > control.threshold.clamp(min=0))
    # Of 500 x 32 one may lie on the edge of its threshold.
    agree = torch.isclose(acts @ W_dec + control.weights.b_dec,
                          sae.decode(sae.encode(rows)) * scale, atol=1e-4)  # fmt: skip
    assert agree.all(dim=1).float().mean() >= 0.998
    assert torch.equal(widened.threshold[:D_SAE], control.threshold)
    assert (widened.threshold[D_SAE:] == 0.1).all()
    aim = facts["aim_offset"]
    assert float(control.offset) == pytest.approx(aim)
    assert -0.15 * 4 < aim < -0.02 * 4 if "l0" in swept else aim == 0
    assert runs[0].settings.options.warm_up_steps(steps) == 0
    train_on(runs[:1], Later(ToyBatches(store), facts["steps"]), scale, "cpu")
    l0 = runs[0].history[:, 3].numpy()
    assert l0[:10].mean() == pytest.approx(facts["l0_measured"], rel=0.05)
    assert l0.mean() == pytest.approx(facts["l0_measured"], rel=0.05)


def test_new_latents_of_a_jumprelu_sae_that_lie_still_are_dead(tmp_path):
    """They fire at first, as those of a new SAE do; under so strong a penalty not for long."""
    text = settings_of("jumprelu", options=TANH, coefficient=5)
    facts, store = train_toy(tmp_path, text), ToyStore()
    store.stream = lambda seed, batch, prefetch: ToyBatches(store)
    wanted, sae = Hedging(new_latents=3, steps=100), load_saved_sae(tmp_path / "sae")
    row = train_both(sae, {**facts, "folder": tmp_path}, store, wanted, tmp_path / "none")
    assert (facts["l0_measured"], row["new_alive"], row["rate"]) == (0, 0, 0)
    assert row["l0_control"] == row["l0_widened"] == 0


def test_narrow_jumprelu_saes_have_higher_rates(tmp_path, monkeypatch):
    """As BatchTopK's, in the same world, with the paper's penalty."""
    monkeypatch.chdir(tmp_path)
    rates = {}
    for d_sae in (3, 12):
        config = study()
        architecture = {"name": "jumprelu", **TANH}
        config["saes"] |= {"d_sae": d_sae, "l0": [0.3], "architecture": architecture}
        plan, folder = Plan(parse_config(config)), tmp_path / str(d_sae)
        make(plan.source_folder, plan.settings_source())
        manifest = Path(plan.source_folder) / "manifest.json"
        job = PointJob(folder, plan.settings_sae("0.3"), 0)
        assert not train_saes(manifest, [job], measures=measures, device="cpu", checkpoint_s=600,
                              threads=1)  # fmt: skip
        facts = json.loads((folder / "manifest.json").read_text()) | {"folder": folder}
        sae, wanted = load_saved_sae(folder / "sae"), Hedging(new_latents=2, steps=100)
        source = open_source(manifest, load_saved_sae)
        row = train_both(sae, facts, source, wanted, tmp_path / "none")
        rates[d_sae] = row["rate"]
        if d_sae == 3:  # The new latents add to L0, as nothing holds it.
            assert row["l0_widened"] > 1.5 * row["l0_control"] > 1.5
    assert rates[3] > 0.05
    assert rates[3] > 5 * rates[12]


def test_its_figure_line_and_columns():
    """Rates of 0.1 at the lowest L0 down to 0.03, a hundredth more in the second seed."""
    raw = made_up.config() | {"hedging": {"new_latents": 4, "steps": 100}}
    tables = made_up.tables()
    points = tables["points"][["l0", "l0_measured", "seed"]]
    rates = 0.1 - 0.01 * points["l0"].rank(method="dense").sub(1) + 0.01 * points["seed"]
    tables["hedging"] = points.assign(
        new_latents=4, steps=100, rate=rates, projected=0.2, by_chance=0.1, shift=0.3,
        share_of_shift=0.5, chance_share_of_shift=4 / 384, new_alive=0.75,
    )  # fmt: skip
    verdict = read_study(tables, d_sae=768, l0=list(made_up.L0), training_tokens=1000)
    (line,) = [line for line in verdict["lines"] if line.startswith("Hedging")]
    assert "by 0.105 at L0 4 (0.100 to 0.110 over seeds) and 0.035 at L0 300" in line
    assert "25% of the new latents were dead at the end" in line
    placed = {name: each.assign(x=each["l0_measured"]) if "l0_measured" in each else each
              for name, each in tables.items()}  # fmt: skip
    study = StudyData(Plan(parse_config(raw)), placed, verdict)
    figure = draw_hedging(study, False)
    figure.draw_without_rendering()
    rate, lengths, share = figure.axes
    (means,) = (x for line in rate.get_lines() if len(x := line.get_ydata()) == len(made_up.L0))
    assert means == pytest.approx([0.105 - 0.01 * i for i in range(8)])
    assert [x.get_text() for x in lengths.get_legend().get_texts()] == [
        "whole shift", "towards new latents", "towards random ones",
    ]  # fmt: skip
    assert share.get_lines()[-1].get_ydata()[0] == pytest.approx(4 / 384)
    columns, labels = hedging_columns(placed["hedging"])
    assert list(columns) == list(labels) == ["rate", "share_of_shift", "new_alive"]
    assert columns.loc[(4.0, 1), "rate"] == pytest.approx(0.11)
    assert "go on at" not in line


def test_where_new_latents_change_l0_it_is_told():
    """By half at L0 8, by 2% at 16; where nothing fires, by nothing."""
    measured = [0.0, 8.0, 8.0, 16.0]
    table = pd.DataFrame({
        "l0": [9.0, 3.0, 3.0, 1.0], "seed": [0, 0, 1, 0], "l0_measured": measured,
        "new_latents": 4, "steps": 100, "rate": 0.1, "share_of_shift": 0.5, "new_alive": 1.0,
        "l0_control": measured, "l0_widened": [0.0, 10.0, 14.0, 16.32],
    })  # fmt: skip
    names = Names(dict(zip(measured, measured, strict=True)))
    (line,) = hedging_lines(table, names)
    assert line.endswith(
        " At L0 8 widened SAEs go on at L0 12, their controls at 8: no target holds it, and the "
        "rate tells of that, too."
    )
    assert "widened" not in hedging_lines(table[table["l0"] != 3], names)[0]
    columns, labels = hedging_columns(table)
    assert list(columns) == list(labels)
    assert columns.loc[(3.0, 1), "l0_widened"] == 14


def test_longer_steps_are_measured_again_and_nothing_else():
    """The settings of no other stage, and not what a search's rounds are read from, know of it."""
    short, long = (
        Plan(parse_config(made_up.config() | {"hedging": {"new_latents": 4, "steps": steps}}))
        for steps in (100, 200)
    )
    changed = [
        stage.rule
        for stage in STAGES
        if stage.asked(short) and stage.settings(short, "4") != stage.settings(long, "4")
    ]
    assert changed == ["measure_hedging", *(s for s in changed[1:] if BY_RULE[s].of == "report")]
    assert round_settings(short) == round_settings(long)
    assert control_plan(short).study.hedging is None
    cost = BY_RULE["measure_hedging"].seconds
    assert cost(long.study, ()) > 1.8 * cost(short.study, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hedging": {"new_latents": 16}}, "new_latents 16 is not below d_in 16: so many"),
        *(
            (
                {"architecture": {"name": name}},
                f"hedging: {name} SAEs are not widened, those of batchtopk, jumprelu, "
                "matryoshka_batchtopk, topk are; remove it",
            )
            for name in ("standard", "gated", "abstopk")
        ),
        ({"freeze_decoder": True}, r"a decoder that is frozen \(freeze_decoder\) does not move"),
        (
            {"architecture": {"name": "topk"}, "engine": "sparsify", "lr": 3e-4},
            "SAEs of engine sparsify are not trained on, as its learning rate suits no other",
        ),
    ],
)
def test_what_cannot_be_widened_is_refused(changes, message):
    config = study(**{k: v for k, v in changes.items() if k == "hedging"})
    config["saes"] |= {k: v for k, v in changes.items() if k == "architecture"}
    training = ("freeze_decoder", "engine", "lr")
    config["saes"]["training"] |= {k: v for k, v in changes.items() if k in training}
    with pytest.raises(InputError, match=message) as error:
        parse_config(config)
    assert len(str(error.value).splitlines()) == 1
