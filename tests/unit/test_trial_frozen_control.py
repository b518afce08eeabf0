"""The frozen control: SAEs of a random decoder, from their training to the answer's figure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from scipy.optimize import linear_sum_assignment

from correct_l0.errors import InputError
from correct_l0.metrics.stability.chance import chance_level
from correct_l0.metrics.stability.measure import reproduced_share
from correct_l0.report.build import build_figures, build_page, build_tables, build_verdict
from correct_l0.report.captions import captions
from correct_l0.report.data import open_study
from correct_l0.report.figures.answer import answer
from correct_l0.saes.engine.weights import initial_weights
from correct_l0.standing.stale import find
from correct_l0.study.frozen_control import Control, control_l0, control_plan
from correct_l0.trial import run_study
from correct_l0.trial.frozen_control import run_frozen_control
from semi_synthetic_toy import study

CHANGES = {"self_check": False, "frozen_control": True}


def test_the_control_is_the_middle_of_the_grid_for_two_seeds(tmp_path):
    plan = study(tmp_path, **CHANGES)
    control = control_plan(plan)
    # Of 1, 2, 4, 6, 8 and 10, whose override at 4 is not the control's.
    assert control_l0(plan) == 6
    assert (control.study.saes.l0, control.study.saes.seeds) == ((6,), (3, 4))
    assert control.study.training(6).freeze_decoder
    assert not plan.study.training(6).freeze_decoder
    assert control.results == "results/tiny/frozen_control/study"
    assert control.source == plan.source


def test_a_study_has_its_control_measured_drawn_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = study(tmp_path, **CHANGES)
    results = Path(plan.results)
    tables, folder = results / "tables", results / "frozen_control"
    verdict, manifest = tables / "verdict.json", folder / "manifest.json"
    run_study(plan)
    build_tables(plan, tables)
    build_verdict(plan, tables, verdict)
    control = run_frozen_control(plan, [], folder)

    start = [initial_weights(plan.study.source.d_in, 24, seed).W_dec.numpy() for seed in (3, 4)]
    rows = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in start]
    above = np.triu_indices(24, 1)
    assert control.c_dec == pytest.approx(
        np.mean([np.abs(each @ each.T)[above].mean() for each in rows]), abs=1e-6
    )
    cosines = rows[0] @ rows[1].T
    matched = cosines[linear_sum_assignment(-cosines)]
    chance, _ = chance_level(24, plan.study.source.d_in)
    assert control.reproduced_share == pytest.approx(reproduced_share(matched, chance), abs=1e-6)
    assert control.f1 == {}
    assert Control(**json.loads((folder / "control.json").read_text())) == control

    # What is there is taken over.
    trained = {
        path: path.stat().st_mtime_ns for path in folder.glob("study/saes/*/*/manifest.json")
    }
    assert len(trained) == 2
    assert run_frozen_control(plan, [], folder) == control
    assert all(path.stat().st_mtime_ns == then for path, then in trained.items())

    build_figures(plan, tables, verdict, results / "figures", manifest)
    page = results / "report.html"
    build_page(plan, tables, verdict, results / "figures", page, manifest)
    assert "SAEs trained alike whose decoder stayed" in page.read_text()
    assert find(plan) == []
    drawn = answer(open_study(plan, tables, verdict, control=manifest), False)
    for ax, level in zip(drawn.axes, (control.c_dec, control.reproduced_share), strict=False):
        (mark,) = [line for line in ax.get_lines() if line.get_label() == "frozen decoder"]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (control.l0, level)
    pyplot.close(drawn)
    without = open_study(plan, tables, verdict)
    assert "decoder stayed" not in captions(without)["answer"].text

    (folder / "control.json").write_text("{}")
    (stale,) = find(plan)
    assert stale.room == "frozen_control"
    assert stale.reason.startswith("control.json 2 bytes, not ")


def test_a_synthetic_world_has_none(tmp_path):
    with pytest.raises(InputError, match="frozen_control: only where SAEs are trained on"):
        study(tmp_path, activations=None, synthetic={}, **CHANGES)
