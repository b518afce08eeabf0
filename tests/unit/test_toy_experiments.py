"""The experiments on a small model: their rows, and that a stop changes nothing."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest

from correct_l0.errors import InputError
from correct_l0.toy_model.experiments.run import run_experiment
from correct_l0.toy_model.gather import gather
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.plan import ToyPlan
from correct_l0.toy_model.point import train_part
from correct_l0.toy_model.sweep_metrics import measure_part
from correct_l0.toy_model.tables import COLUMNS, TABLES
from toy_study import study

TRAINING = {"samples": 6_400, "batch_size": 64, "lr": 3e-3}
EXPERIMENTS = {
    "transitions": {
        "start_l0": [4, 1], "end_l0": 2, "seeds": [0], "lr": 3e-3,
        "schedules": [
            {"run": "whole", "batch_size": 32, "ramp_steps": 80, "steps": 100},
            {"run": "cut", "batch_size": 32, "ramp_steps": 80, "steps": 40},
        ],
    },
    "small_model": {
        "correlation": [0.4], "mixing_correlation": [-0.5, 0.4], "mixing_l0": [1.7, 1.8],
        "seeds": [0], "training": {**TRAINING, "samples": 64_000},
    },
    "superposition": {"d_in": 6, "l0": [1, 2], "seeds": [0], "training": TRAINING},
    "jumprelu": {"coefficients": [0.01, 0.3], "seeds": [0], "training": TRAINING},
    "auto_l0": {
        "start_l0": [4, 1], "n": 4, "every_steps": 10, "window_steps": 2, "seeds": [0],
        "training": TRAINING,
    },
}  # fmt: skip
PLAN = ToyPlan.from_config(study(experiments=EXPERIMENTS))


def tables_of(name, folder, plan=PLAN):
    run_experiment(plan.settings_experiment(name), 0, folder, 1e9)
    return {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole study, gathered; its folder is the current one."""
    folder = tmp_path_factory.mktemp("study")
    before = os.getcwd()
    os.chdir(folder)
    saes = PLAN.study.saes
    for part, l0 in enumerate(PLAN.part_l0):
        paths = train_part(PLAN.settings_saes(), l0, 0, f"{PLAN.results}/saes", 1e9)
        target = f"{PLAN.results}/decoder_metrics/parts/seed_0/part_{part}.json"
        points = list(zip(l0, paths, strict=True))
        measure_part(PLAN.settings_saes(), PLAN.settings_decoder_metrics(), points, target)
    assert saes.seeds == (0,)
    for path in PLAN.experiments():
        name = path.split("/")[-3]
        folder_of = os.path.dirname(path)
        run_experiment(PLAN.settings_experiment(name), 0, folder_of, 1e9)
    gather(PLAN, f"{PLAN.results}/tables")
    yield folder
    os.chdir(before)


def read(folder, name):
    return pd.read_parquet(folder / PLAN.results / "tables" / f"{name}.parquet")


def test_every_table_has_its_columns_and_rows(finished):
    for name in TABLES:
        table = read(finished, name)
        assert tuple(table.columns) == COLUMNS[name]
        assert len(table) > 0, name
        csv = pd.read_csv(finished / PLAN.results / "tables" / f"{name}.csv")
        assert (tuple(csv.columns), len(csv)) == (COLUMNS[name], len(table))


def test_the_sweeps_rows(finished):
    points = read(finished, "points")
    assert points.l0.tolist() == [1, 2]
    assert points.l0_measured.tolist() == pytest.approx([1, 2], rel=0.1)
    s_n_dec = read(finished, "s_n_dec")
    assert set(zip(s_n_dec.l0, s_n_dec.n, s_n_dec.norm, strict=True)) == {
        (l0, n, norm) for l0 in (1, 2) for n in (3, 4) for norm in ("unit", "raw")
    }
    cosines = read(finished, "cosines").query("experiment == 'sweep' and l0 == 2")
    matrix = cosines.pivot_table(index="latent", columns="feature", values="cosine").to_numpy()
    assert np.abs(np.diag(matrix)).mean() == pytest.approx(points.mean_best_cosine[1], abs=1e-5)


def test_transitions_reach_their_end_or_say_where_they_stop(finished):
    rows = read(finished, "transitions").set_index(["run", "start_l0"])
    assert rows.l0_end_reached[("whole", 4)] == rows.l0_end_reached[("whole", 1)] == 2
    assert rows.l0_end_reached[("cut", 4)] == pytest.approx(4 - 2 * 39 / 80)
    assert rows.l0_end_reached[("cut", 1)] == pytest.approx(1 + 39 / 80)
    assert rows.direction[("whole", 1)] == "up"
    assert rows.final_steps.to_dict()[("whole", 4)] == 20
    path = read(finished, "trajectories").query("run == 'whole_down'")
    assert path.l0.iloc[0] == pytest.approx(4)
    assert (path.step.iloc[-1], path.samples.iloc[-1], path.l0.iloc[-1]) == (100, 3200, 2)


def test_the_small_models_runs(finished):
    rows = read(finished, "small_model")
    counts = rows.groupby("experiment").size().to_dict()
    assert counts == {"true_l0": 2, "init": 2, "mixing_l0": 2, "mixing_correlation": 2}
    truth = rows.query("init == 'truth'")
    # The same run under two names has the same row.
    same = truth.query("correlation == 0.4 and l0 == 1.8")
    assert len(same) == 3
    assert same.mixing.nunique() == 1
    # From the truth: correct at the true L0, mixed below it.
    right = truth.query("l0 == 2").mixing.item()
    assert right < 0.15 < same.mixing.iloc[0]


def test_superposition_has_every_n_of_the_study(finished):
    assert set(read(finished, "s_n_dec_superposition").n) == {3, 4}
    truth = read(finished, "truth").set_index("quantity").value
    assert truth["superposition_true_l0"] == pytest.approx(truth["true_l0_formula"])
    assert truth["superposition_c_dec_features"] > truth["c_dec_features"]


def test_a_larger_penalty_means_a_lower_l0(finished):
    rows = read(finished, "jumprelu").set_index("lambda")
    assert rows.l0_measured[0.3] < rows.l0_measured[0.01]


def test_automatic_l0_has_a_row_and_a_trajectory_per_run(finished):
    rows = read(finished, "auto_l0")
    assert len(rows) == 3 * 2
    paths = read(finished, "trajectories").query("experiment == 'auto_l0'")
    assert len(paths) == 6 * 10
    assert paths.s_n_dec.notna().all()


def test_a_study_without_experiments_has_empty_tables(finished):
    bare = ToyPlan.from_config(study())
    gather(bare, "bare")
    for name in ("transitions", "auto_l0", "jumprelu"):
        table = pd.read_parquet(f"bare/{name}.parquet")
        assert (len(table), tuple(table.columns)) == (0, COLUMNS[name])


def test_results_of_other_settings_are_refused(finished):
    raw = study(experiments={"superposition": {**EXPERIMENTS["superposition"], "d_in": 7}})
    with pytest.raises(InputError, match=r"superposition.*d_in: 6 -> 7"):
        gather(ToyPlan.from_config(raw), "other")
    raw = study()
    raw["saes"] = {**raw["saes"], "training": {**raw["saes"]["training"], "lr": 1e-3}}
    with pytest.raises(InputError, match=r"l0_1/seed_0.*training\.lr: 0\.003 -> 0\.001"):
        gather(ToyPlan.from_config(raw), "other")
    raw = study(decoder_metrics={"n": [3], "samples": 2_000})
    with pytest.raises(InputError, match="made with other settings"):
        gather(ToyPlan.from_config(raw), "other")


def test_a_missing_point_is_named_with_what_to_delete(finished):
    path = finished / PLAN.point_manifest("2", 0)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=r"l0_2.*missing; delete .*saes/parts/seed_0/part_0"):
        gather(PLAN, "other")
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["transitions", "jumprelu", "auto_l0"])
def test_a_stopped_experiment_ends_with_the_same_tables(tmp_path, monkeypatch, name):
    whole = tables_of(name, tmp_path / "whole")
    batch, calls = Stream.batch, []

    def stop_once(self, step):
        calls.append(step)
        if len(calls) == 55:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, step)

    monkeypatch.setattr(Stream, "batch", stop_once)
    with pytest.raises(SystemExit):
        tables_of(name, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "checkpoint").exists()
    resumed = tables_of(name, tmp_path / "stopped")
    for table, frame in whole.items():
        pd.testing.assert_frame_equal(resumed[table], frame)
    assert not (tmp_path / "stopped" / "checkpoint").exists()
    assert json.loads((tmp_path / "stopped" / "manifest.json").read_text())["seed"] == 0
