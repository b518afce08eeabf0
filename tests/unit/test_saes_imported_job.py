"""Points of imported SAEs: their folder, what is measured of them, what is refused."""

import json
import weakref
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

import imported_toy as toy
from correct_l0.errors import InputError
from correct_l0.metrics import points
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.metrics.job import trained_points
from correct_l0.provenance.manifest import read_manifest
from correct_l0.saes.imported import job as importing
from correct_l0.saes.imported.fetch import Fetched, fetch_weights
from correct_l0.saes.imported.job import import_points
from correct_l0.saes.job import train_saes
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.settings import PointJob
from correct_l0.sources import open_source
from correct_l0.stages import metrics_of
from correct_l0.study.opened import open_plan


@dataclass
class Rows:
    """A source of random rows."""

    d_in: int = toy.D_IN
    mean_norm: float = 2.0
    digest: str = "rows"
    n_held_out: int = 2000
    metadata: dict = field(default_factory=lambda: {"hook_name": "blocks.1.hook_resid_pre"})

    def held_out(self, start, stop):
        return torch.randn(2000, self.d_in, generator=torch.Generator().manual_seed(4))[start:stop]


L0 = (4, 5, 7)


def plan_of(folder, write=None, **wanted):
    """Write three SAEs and return the plan of a study that reads their weights."""
    for seed, l0 in enumerate(L0):
        (write or toy.write_gemma_2)(folder / f"layer_12/average_l0_{l0}", toy.parts(seed))
    section = {"folders": ["layer_12"], "d_in": toy.D_IN, "d_sae": toy.D_SAE, **wanted}
    return open_plan({"study": "mine", "saes": {"import": section}}, folder)


@pytest.fixture
def fetched(tmp_path):
    with chdir(tmp_path):
        plan = plan_of(tmp_path)
        fetch_weights(Path(plan.source_folder), plan.settings_weights())
        yield plan


def jobs(plan):
    return [
        PointJob(Path(plan.point_folder("saes", l0, seed)), plan.settings_sae(l0), seed)
        for l0, seed in plan.points
    ]


def test_a_point_has_the_folder_of_a_trained_one(fetched):
    plan = fetched
    assert train_saes(plan.source, jobs(plan), measures=None, device="cpu", checkpoint_s=1,
                      threads=1, weights=plan.source) == {}  # fmt: skip
    for seed, job in enumerate(jobs(plan)):
        found = read_manifest(job.folder / "manifest.json")
        assert (found["l0"], found["l0_measured"], found["l0_announced"]) == (L0[seed],) * 3
        assert found["inputs"] == {"activations": open_source(plan.source, load_saved_sae).digest}
        assert found["imported_from"] == f"layer_12/average_l0_{L0[seed]}"
        W_dec = toy.unit(toy.parts(seed))["W_dec"]
        sae = load_saved_sae(job.folder / "sae")
        assert torch.allclose(sae.W_dec, W_dec, atol=1e-6)
        assert mean_absolute_cosine(sae.W_dec) == pytest.approx(mean_absolute_cosine(W_dec))


def test_what_stands_is_left(fetched, capsys):
    for _ in range(2):
        train_saes(fetched.source, jobs(fetched), measures=None, device="cpu", checkpoint_s=1,
                   threads=1, weights=fetched.source)  # fmt: skip
    assert capsys.readouterr().out.count("trained earlier with the same settings") == 3


def test_one_sae_is_in_memory_at_a_time(fetched, monkeypatch, tmp_path):
    """Where it is imported, and where it is measured."""
    alive: list[weakref.ref] = []

    def alone(load):
        def watched(*arguments, **named):
            assert not [sae for sae in alive if sae() is not None]
            found = load(*arguments, **named)
            alive.append(weakref.ref(found[0] if isinstance(found, tuple) else found))
            return found

        return watched

    for module, name in ((importing, "load_imported"), (points, "load_saved_sae")):
        monkeypatch.setattr(module, name, alone(getattr(module, name)))
    its, source = jobs(fetched), open_source(fetched.source, load_saved_sae)
    assert import_points(its, Fetched(fetched.source), source, "cpu") == {}
    assert len(alive) == len(L0)
    (stage,) = (stage for stage in metrics_of(fetched) if stage.room == "decoder_metrics")
    folders = {str(x.folder): str(tmp_path / f"measured_{i}") for i, x in enumerate(its)}
    settings = stage.settings(fetched, "")
    asked = {"stage": stage.rule, "recipe": stage.recipe, "settings": settings, "folders": folders}
    trained = trained_points({str(x.folder): x.settings_json for x in its}, 0, source.digest)
    assert points.measure_points(trained, source, {stage.room: asked}, device="cpu") == []
    assert len(alive) == 2 * len(L0)


def announced(l0):
    """Import an SAE that is announced with an L0, beside one of a higher one."""
    for name, seed in (("sae", 1), ("sae_2", 2)):
        toy.write_gemma_2(Path("announced", name), toy.parts(seed))
    names = {} if l0 is None else {l0: "announced/sae", 1.5 * l0: "announced/sae_2"}
    section = {"folders": ["announced/*"], "d_in": toy.D_IN, "d_sae": toy.D_SAE, "l0": names}
    plan = open_plan({"study": "one", "saes": {"import": section}}, Path.cwd())
    fetch_weights(Path(plan.source_folder), plan.settings_weights())
    return plan, jobs(plan)[0], Fetched(plan.source)


def true_l0():
    p, x = toy.parts(1), Rows().held_out(1000, 2000)
    pre = x @ p["W_enc"] + p["b_enc"]
    return float(((pre > p["threshold"]) & (pre > 0)).sum(1).float().mean())


def test_l0_fvu_and_dead_latents_are_measured_where_there_are_rows(tmp_path):
    with chdir(tmp_path):
        _, job, its = announced(1.1 * true_l0())
        assert import_points([job], its, Rows(), "cpu") == {}
        found = read_manifest(job.folder / "manifest.json")
    assert found["l0_measured"] == pytest.approx(true_l0(), abs=1e-6)
    assert found["l0_announced"] == pytest.approx(1.1 * true_l0())
    assert found["evaluated_tokens"] == 1000 and found["dead_latents"] == 0
    assert found["activation_scale"] == pytest.approx(8**0.5 / 2)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_another_l0_than_announced_is_refused_with_the_suspects(tmp_path, factor):
    with chdir(tmp_path):
        _, job, its = announced(factor * true_l0())
        (error,) = import_points([job], its, Rows(), "cpu").values()
        assert read_manifest(job.folder / "failure.json") == {"reason": str(error)}
    assert f"L0 {true_l0():.4g} measured on the source" in str(error)
    assert "more than 15% apart; suspects: the hook (the SAE's blocks.12.hook" not in str(error)
    for suspect in ("the hook", "the first token", "the scale", "the activation function"):
        assert suspect in str(error)


def test_l0_that_nothing_tells_is_measured_or_asked_for(tmp_path):
    with chdir(tmp_path):
        plan, job, its = announced(None)
        assert plan.study.saes.swept == "number"
        (error,) = import_points(
            [job], its, open_source(plan.source, load_saved_sae), "cpu"
        ).values()
        assert "add it to saes.import.l0, or name a cache" in str(error)
        assert import_points([job], its, Rows(), "cpu") == {}
        found = read_manifest(job.folder / "manifest.json")
    assert found["l0_announced"] is None
    assert found["l0_measured"] == pytest.approx(true_l0(), abs=1e-6)


def test_of_matching_pursuit_weights_are_read_and_codes_refused(tmp_path):
    for l0 in L0:
        p = toy.unit(toy.parts(l0))
        toy.write_sae_lens(tmp_path / f"mp/l0-{l0}", "matching_pursuit", p, max_iterations=l0)
    with chdir(tmp_path):
        plan = open_plan({"study": "mine", "saes": {"import": {"folders": ["mp"]}}})
        fetch_weights(Path(plan.source_folder), plan.settings_weights())
        its, first = Fetched(plan.source), jobs(plan)[0]
        assert import_points(jobs(plan), its, open_source(plan.source, load_saved_sae), "cpu") == {}
        found = read_manifest(first.folder / "manifest.json")
        decoder = load_saved_sae(first.folder / "sae").W_dec
        (error,) = import_points([first], its, Rows(), "cpu").values()
    assert (found["l0_measured"], found["form"], found["architecture"]) == (
        4, "decoder", "matching_pursuit",
    )  # fmt: skip
    assert torch.equal(decoder, toy.unit(toy.parts(4))["W_dec"])
    assert str(error) == (
        "mp/l0-4: its latents are found one by one, by matching pursuit, which is not done here; "
        "leave the source out to read c_dec alone"
    )


def test_a_true_l0_changes_the_report_and_nothing_before(tmp_path):
    from correct_l0.study.report import report_settings

    with chdir(tmp_path):
        without, told = plan_of(tmp_path), plan_of(tmp_path, true_l0=5)
    assert told.study.told_true_l0 == 5.0 and without.study.told_true_l0 is None
    assert without.settings_weights() == told.settings_weights()
    assert without.settings_sae("4") == told.settings_sae("4")
    assert report_settings(without) != report_settings(told)


@pytest.mark.parametrize(
    ("true_l0", "changes", "words"),
    [
        (-3, {}, "true_l0"),
        (float("inf"), {}, "true_l0"),
        ("many", {}, "true_l0"),
        (13, {}, "true_l0 13 is above d_sae 12: no SAE of this width has such an L0; correct"),
        (5, {"synthetic": {"features": 8, "d_in": 8, "held_out_tokens": 4096}},
         "saes.import.true_l0 5: the source's features are known, and how many of them fire is "
         "measured; remove it"),
    ],
)  # fmt: skip
def test_a_true_l0_that_cannot_be_is_one_line(tmp_path, true_l0, changes, words):
    with chdir(tmp_path):
        plan_of(tmp_path)
        section = {"folders": ["layer_12"], "d_in": 8, "d_sae": 12, "true_l0": true_l0}
        with pytest.raises(InputError) as refused:
            open_plan({"study": "mine", "saes": {"import": section}, **changes}, tmp_path)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_weights_that_change_are_seen(tmp_path):
    with chdir(tmp_path):
        before = plan_of(tmp_path)
        toy.write_gemma_2(tmp_path / "layer_12/average_l0_4", toy.parts(9))
        after = open_plan(
            {
                "study": "mine",
                "saes": {"import": {"folders": ["layer_12"], "d_in": 8, "d_sae": 12}},
            },
            tmp_path,
        )
    assert before.settings_sae("4") != after.settings_sae("4")
    assert before.settings_sae("5") == after.settings_sae("5")


def test_the_plan_is_made_again_of_its_settings(fetched):
    from correct_l0.study.report import plan_of as again
    from correct_l0.study.report import report_settings

    assert again(report_settings(fetched)).study == fetched.study


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probing": {"tasks": "default"}}, "without a source there is no model to probe"),
        ({"self_check": True}, "imported SAEs are not trained again"),
        ({"synthetic": {"features": 12, "d_in": 16, "held_out_tokens": 4096}},
         "takes activations 8 wide, the source's are 16 wide"),
    ],
)  # fmt: skip
def test_what_imported_saes_cannot_have_is_one_line(tmp_path, changes, words):
    with chdir(tmp_path):
        plan_of(tmp_path)
        section = {"folders": ["layer_12"], "d_in": toy.D_IN, "d_sae": toy.D_SAE}
        with pytest.raises(InputError) as refused:
            open_plan({"study": "mine", "saes": {"import": section}, **changes}, tmp_path)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_release_is_listed_once_and_known_without_a_hub(tmp_path, monkeypatch):
    wanted = {"release": "gemma-scope-2b-pt-res", "select": "layer_12/width_16k/*"}
    config = {"study": "scope", "saes": {"import": wanted}}
    with chdir(tmp_path):
        first = open_plan(config)
        monkeypatch.setattr("correct_l0.study.imports.release_listing", None)
        assert open_plan(config).study == first.study
        record = json.loads(Path("results/scope/listings/saes.json").read_text())
    assert record["sweep"]["origin"] == "google/gemma-scope-2b-pt-res"
    assert first.labels == ["22", "41", "82", "176", "445"]
    assert first.study.source.kind == "weights" and first.rooms == ("decoder_metrics",)
