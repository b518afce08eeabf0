"""The paper's claims held against a tiny study that has run, and what is held against none."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from workflow_runs import ROOT, run_snakemake, trained

from correct_l0.errors import InputError
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.training_settings import Training
from correct_l0.study.opened import open_plan, open_plans
from paper import small_model
from paper.__main__ import FULL, QUICK, Variant, judge
from paper.claims.judgement import NOT_RUN
from paper.small_model import SmallModel
from paper.studies import open_sweeps, role_of
from paper.tables import claim_tables

TINY = Path(__file__).with_name("tiny-paper.yaml")
SMALL = SmallModel(
    correlations=(0.4,), mixing_correlations=(0.4,), mixing_l0=(1.8,),
    training=Training(training_tokens=640, batch_tokens=64), seeds=(0,),
)  # fmt: skip


def config() -> dict:
    return yaml.safe_load(TINY.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the tables of the tiny study are finished, and its small model."""
    folder = tmp_path_factory.mktemp("paper")
    ran = ("main", "upwards", "descent")
    targets = [f"results/tiny-paper/{name}/tables/manifest.json" for name in ran]
    run = run_snakemake(folder, *targets, config=config())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-9000:]
    small_model.keep_seed(SMALL, folder / "results/paper/small_model", 0)
    return folder


@pytest.fixture
def inside(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tables(inside) -> dict[str, pd.DataFrame]:
    sweeps, _ = open_sweeps([TINY])
    return claim_tables(sweeps)


def test_a_sweep_stands_for_what_its_settings_are(inside):
    sweeps, refused = open_sweeps([TINY])
    assert {sweep.name: sweep.role for sweep in sweeps} == {
        "tiny-paper/main": "sweep",
        "tiny-paper/upwards": "transitions",
        "tiny-paper/descent": "auto_l0",
    }
    assert refused == {"tiny-paper/wide": "d_sae 60, the claims are about 50 latents"}


def test_the_tables_are_those_of_the_saes(tables, inside):
    """MSE and cosines against SAE and world read by themselves."""
    folder = inside / "results/tiny-paper/main/saes/l0_5/seed_0"
    sae = load_saved_sae(folder / "sae")
    with np.load(inside / "results/tiny-paper/world/world.npz") as world:
        directions = torch.from_numpy(world["directions"])
        probability = world["rates"]
    cosines = tables["cosines"]
    cosines = cosines[cosines["l0"] == 5]
    cosines = cosines.pivot(index="latent", columns="feature", values="cosine")
    own = np.sort((sae.W_dec @ directions.T).abs().max(dim=1).values.numpy())
    assert np.sort(np.abs(cosines.to_numpy()).max(axis=1)) == pytest.approx(own, abs=1e-6)
    assert tables["features"]["probability"].to_numpy() == pytest.approx(probability)
    points = tables["points"].set_index("l0")
    # The same mean square for each SAE: about the sum of p (1 + 0.15^2).
    square = points["mse"] / (1 - points["power_explained"])
    assert square.to_numpy() == pytest.approx([11.2] * 2, abs=0.4)
    right = tables["ground_truth"].set_index("l0")
    assert right.loc[18, "mse"] == pytest.approx(0, abs=1e-6)
    assert right.loc[5, "mse"] == pytest.approx(4.88, rel=0.05)


def test_the_raw_metric_is_that_of_the_rows_as_trained(tables, inside):
    """By a full sort of all projections."""
    folder = inside / "results/tiny-paper/main/saes/l0_18/seed_0"
    sae, norms = load_saved_sae(folder / "sae"), np.load(folder / "decoder_norms.npy")
    sweep = open_sweeps([TINY])[0][0]
    rows = sweep.world().held_out(0, 4096).double()
    projected = (rows - sae.b_dec) @ sae.W_dec.double().T * torch.from_numpy(norms)
    ordered = projected.flatten().sort(descending=True).values
    s_n = tables["s_n_dec"]
    raw = s_n[(s_n["norm"] == "raw") & (s_n["l0"] == 18)].set_index("n")["value"]
    for n in (12, 18):
        assert raw[n] == pytest.approx(ordered[n * 4096].item(), abs=1e-5)


def test_schedules_end_where_their_course_says(tables):
    (run,) = tables["transitions"].to_dict("records")
    assert (run["direction"], run["start_l0"], run["l0_end_reached"]) == ("up", 2, 11)
    auto = tables["auto_l0"].iloc[0]
    course = tables["trajectories"]
    course = course[course["role"] == "auto_l0"]
    assert (auto["rule"], auto["start_l0"]) == ("descent", 20)
    assert course["l0"].iloc[0] == 20
    assert course["samples"].iloc[0] == 10 * 128


def test_the_ledger_names_studies_and_what_was_not_run(inside):
    variant = Variant("Tiny", Path("results/paper"), (TINY,), SMALL)
    said = judge(variant)
    ledger = pd.read_csv("results/paper/ledger.csv").set_index("name")
    assert len(ledger) == 54
    assert ledger.loc["mse", "study"] == "tiny-paper/main"
    assert ledger.loc["mse", "training"].startswith("training_tokens 6,400 for 15,000,000")
    assert ledger.loc["up", "study"] == "tiny-paper/upwards"
    assert ledger.loc["small_leaves", "verdict"] != NOT_RUN
    for name in ("down", "jumprelu_sticks", "superposition_c_dec", "auto_25"):
        assert ledger.loc[name, "verdict"] == NOT_RUN, name
    page = Path("results/paper/ledger.html").read_text()
    assert page.count('<tr id="claim-') == 54
    assert page.count("<figure ") == 3
    for text in (said, page):
        assert "d_sae 60, the claims are about 50 latents" in text
    assert pd.read_parquet("results/paper/ledger.parquet")["verdict"].tolist() == list(
        ledger["verdict"]
    )


def test_without_any_study_only_theory_and_what_is_trained_at_once_are_judged(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = judge(Variant("Nothing", Path("results/paper"), (TINY,), SMALL))
    ledger = pd.read_csv("results/paper/ledger.csv")
    run = ledger[ledger["verdict"] != NOT_RUN]
    one_latent = ("independent", "hierarchical", "correlated", "anti-correlated")
    assert list(run["name"]) == [
        "loss_right", "loss_mixed", *(f"one_latent_{case}" for case in one_latent),
        "two_latents_absorb",
    ]  # fmt: skip
    assert "tiny-paper/main: not run" in said


@pytest.mark.parametrize(("change", "why"), [
    ({"synthetic": {"features": 12, "d_in": 20, "held_out_tokens": 4096}},
     "another world than the paper's (d_in: 100 -> 20, features: 50 -> 12)"),
    ({"synthetic": {"firing": "text", "held_out_tokens": 4096}}, "another world than the paper's"),
    ({"training": {"lr_warm_up_steps": 9}}, 'another training than the paper\'s ({"lr_warm'),
    ({"architecture": {"name": "topk"}}, "no claim is about the architecture {'name': 'topk'}"),
])  # fmt: skip
def test_another_world_or_training_is_held_against_no_claim(change, why):
    """Whatever its study is called."""
    changed = copy.deepcopy(config())
    training = changed["sweeps"]["main"]["training"] | change.pop("training", {})
    sweep = changed["sweeps"]["main"] | {"training": training}
    if "architecture" in change:
        sweep["architecture"] = change.pop("architecture")
    plan = open_plan({**changed, "sweeps": {"main": sweep}, **change, "study": "toy-model"})
    with pytest.raises(InputError) as refused:
        role_of(plan)
    assert str(refused.value).startswith(why)


def test_tables_made_with_other_settings_are_not_judged(inside, tmp_path):
    changed = config()
    changed["sweeps"]["main"]["training"]["lr"] = 1e-3
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(changed))
    sweeps, refused = open_sweeps([path])
    assert {sweep.role for sweep in sweeps} == {"transitions", "auto_l0"}
    assert "0.003 -> 0.001" in refused["tiny-paper/main"]


def test_two_sweeps_for_the_same_are_refused(inside):
    with pytest.raises(InputError, match="both stand for"):
        open_sweeps([TINY, TINY])


@pytest.mark.parametrize("variant", [QUICK, FULL], ids=["quick", "full"])
def test_the_shipped_studies_cover_every_role(tmp_path, variant):
    roles: list[str] = []
    for path in variant.configs:
        raw = yaml.safe_load((ROOT / path).read_text())
        plans = open_plans(raw)
        roles += [role_of(plan) for plan in plans]
        found = trained(run_snakemake(tmp_path, "--dry-run", config=raw))
        assert len(found) == sum(len(plan.points) for plan in plans)
    assert set(roles) == {"sweep", "transitions", "auto_l0", "jumprelu", "superposition"}
