"""Gathering: what is refused, what becomes a gap, what the tables hold."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import made_up
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import sha256_of, write_json, write_manifest
from correct_l0.report import TABLES, figures_of
from correct_l0.report.build import build_page, build_tables
from correct_l0.report.gather import COLUMNS, gather, load_tables, save_tables
from correct_l0.report.partial import main
from correct_l0.saes import RECIPE as SAES_RECIPE
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan
from correct_l0.study.report import plan_of, report_settings

POINT = Path("results/made-up/saes/l0_32/seed_1")


@pytest.fixture
def study(made_up_study, tmp_path, monkeypatch) -> Plan:
    """A copy of the made-up study that a test may damage."""
    shutil.copytree(made_up_study, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made_up.plan()


def test_tables_hold_one_row_per_observation(study):
    tables = gather(study).tables
    assert sorted(tables) == sorted(TABLES) == sorted(COLUMNS)
    points, tasks, ns = 8 * 2, 25, 8
    assert {name: len(tables[name]) for name in ("points", "c_dec", "s_n_dec", "probing")} == {
        "points": points,
        "c_dec": points,
        "s_n_dec": points * ns * 2,
        "probing": points * tasks * 2,
    }
    assert len(tables["baselines"]) == 3 * tasks
    assert len(tables["gaps"]) == 0
    assert len(tables["stability"]) == 8
    assert len(tables["stability_training"]) == 0
    assert len(tables["recovery"]) == 0
    for name in set(TABLES) - {"baselines", "gaps", "rounds"}:
        seeds = {"seed_a", "seed_b"} if name.startswith("stability") else {"seed"}
        assert {"l0", "l0_measured", *seeds} <= set(tables[name])
        assert not tables[name].duplicated().any()


def test_numbers_arrive_unchanged(study):
    tables = gather(study).tables
    folder = study.point_folder("decoder_metrics", "32", 1)
    row = tables["c_dec"].query("l0 == 32 and seed == 1").iloc[0]
    assert row["value"] == pd.read_csv(f"{folder}/c_dec.csv")["c_dec"][0]
    manifest = json.loads((POINT / "manifest.json").read_text())
    assert row["l0_measured"] == manifest["l0_measured"]
    fact = tables["points"].query("l0 == 32 and seed == 1").iloc[0]
    assert fact["fvu"] == manifest["fvu"]


def test_what_was_kept_along_the_training_has_a_row_for_each_tenth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = made_up.plan(l0=[8, 64], snapshots=True)
    made_up.write_study(plan)
    tables = gather(plan).tables
    along = tables["stability_training"]
    assert along.groupby("l0").size().to_dict() == {8: 10, 64: 10}
    tenths = [-(-i * 2048 // 10) for i in range(1, 11)]
    assert along.query("l0 == 64")["step"].tolist() == tenths
    final = tables["stability"].set_index("l0")["pw_mcc"]
    assert along.query("step == 2048").set_index("l0")["pw_mcc"].to_dict() == final.to_dict()
    last, course = (
        tables[name].query("l0 == 64 and seed == 1")["init_cosine_median"].tolist()
        for name in ("points", "c_dec_training")
    )
    assert course == [*(0.9 - step / 4096 for step in tenths[:-1]), *last]
    # A file that the manifest does not name is of an earlier comparison.
    comparison = Path(plan.results) / "stability" / "l0_8" / "manifest.json"
    manifest = json.loads(comparison.read_text())
    del manifest["outputs"]["stability_training.csv"]
    comparison.write_text(json.dumps(manifest))
    assert gather(plan).tables["stability_training"]["l0"].unique() == [64]


def test_loss_curves_are_averaged_to_few_rows(study):
    loss = gather(study).tables["loss"].query("l0 == 32 and seed == 1")
    raw = pd.read_csv(POINT / "loss.csv")
    assert len(loss) == 342  # 2048 steps in runs of 6
    assert loss["loss"].iloc[0] == pytest.approx(raw["loss"][:6].mean())


def test_c_dec_along_the_training_is_kept_apart_and_unthinned(study):
    tables = gather(study).tables
    assert "c_dec" not in tables["loss"]
    training = tables["c_dec_training"].query("l0 == 32 and seed == 1")
    # ceil(i * 2048 / 10)
    steps = [205, 410, 615, 820, 1024, 1229, 1434, 1639, 1844, 2048]
    assert training["step"].tolist() == steps
    assert training["tokens"].tolist() == [1024 * step for step in steps]
    raw = pd.read_csv(POINT / "loss.csv").set_index("step")["c_dec"]
    assert training["c_dec"].tolist() == raw[steps].tolist()
    assert len(tables["c_dec_training"]) == 8 * 2 * 10
    end = tables["c_dec"].query("l0 == 32 and seed == 1")["value"].iloc[0]
    assert training["c_dec"].iloc[-1] == pytest.approx(end)


def test_tables_survive_the_disk(study, tmp_path):
    tables = gather(study).tables
    files = save_tables(tables, tmp_path / "saved")
    assert len(files) == 2 * len(TABLES)
    facts = {"stage": "gather_tables", "recipe": 1, "parameters": "{}", "inputs": {}}
    write_manifest(tmp_path / "saved" / "manifest.json", outputs=files, **facts)
    for name, table in load_tables(tmp_path / "saved").items():
        pd.testing.assert_frame_equal(table, tables[name], check_dtype=False)
        assert len(pd.read_csv(tmp_path / "saved" / f"{name}.csv")) == len(table)


def test_a_table_changed_afterwards_is_refused(study, tmp_path):
    build_tables(study, tmp_path)
    points = pd.read_parquet(tmp_path / "points.parquet")
    points.assign(fvu=0.0123).to_parquet(tmp_path / "points.parquet")
    with pytest.raises(InputError, match=r"points\.parquet: .* delete .* and run again"):
        load_tables(tmp_path)


def test_weights_written_after_their_manifest_are_read(study):
    path = POINT / "sae" / "sae_weights.safetensors"
    path.write_bytes(b"whole")
    weights = {"bytes": 5, "sha256": sha256_of(path)}
    outputs = json.loads((POINT / "manifest.json").read_text())["outputs"]
    edit(POINT / "manifest.json", outputs=outputs | {"sae/sae_weights.safetensors": weights})
    path.write_bytes(b"other")
    written = (POINT / "manifest.json").stat().st_mtime
    os.utime(path, (written, written))
    assert len(gather(study, allow_gaps=True).tables["points"]) == 16
    os.utime(path, (written + 60, written + 60))
    with pytest.raises(InputError, match=r"L0 32 seed 1, saes: .*sae_weights.* bytes differ"):
        gather(study)


def test_a_torn_figure_is_not_put_into_a_page(study):
    results = Path(study.results)
    figure = results / "figures" / "f1.svg"
    figure.write_bytes(figure.read_bytes()[:500])
    tables, page = results / "tables", results / "report.html"
    before = page.read_bytes()
    with pytest.raises(InputError, match=r"f1\.svg: 500 bytes, not .*; delete .*figures and run"):
        build_page(study, tables, tables / "verdict.json", results / "figures", page)
    assert page.read_bytes() == before


@pytest.mark.parametrize("name", ["loss.csv", "decoder_init_cosine.npy"])
def test_a_changed_byte_beside_an_sae_is_refused(study, name):
    damaged = bytearray((POINT / name).read_bytes())
    damaged[-2] ^= 1
    (POINT / name).write_bytes(damaged)
    with pytest.raises(InputError, match=rf"{name}: bytes differ"):
        gather(study)


def edit(path: Path, **changes) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def test_other_settings_are_refused_with_the_difference(study):
    changed = made_up.plan(training={"training_tokens": 2_097_152, "batch_tokens": 512, "lr": 1e-3})
    with pytest.raises(InputError, match=r"L0 4 seed 0, saes: .*batch_tokens: 1024 -> 512"):
        gather(changed)


def test_an_override_refuses_only_its_point(study):
    changed = made_up.plan(overrides={"32": {"lr": 2e-3}})
    gaps = gather(changed, allow_gaps=True).tables["gaps"]
    assert gaps[["l0", "seed", "room"]].to_numpy().tolist() == [[32, 0, "saes"], [32, 1, "saes"]]
    assert "lr: 0.001 -> 0.002" in gaps["reason"][0]


def test_another_recipe_is_refused(study):
    edit(POINT / "manifest.json", recipe=0)
    with pytest.raises(InputError, match=rf"L0 32 seed 1, saes: .*recipe is 0, not {SAES_RECIPE};"):
        gather(study)


def test_a_retrained_sae_refuses_its_old_metrics(study):
    (POINT / "sae" / "cfg.json").write_text('{"a": 1}')
    manifest = json.loads((POINT / "manifest.json").read_text())
    manifest["outputs"]["sae/cfg.json"] |= {
        "bytes": 8,
        "sha256": sha256_of(POINT / "sae" / "cfg.json"),
    }
    write_json(POINT / "manifest.json", manifest)
    gaps = gather(study, allow_gaps=True).tables["gaps"]
    assert gaps["room"].tolist() == ["decoder_metrics", "probing", "stability"]
    for reason, made_from in zip(gaps["reason"], ["sae", "sae", "seed_1"], strict=True):
        assert f"made from another {made_from}" in reason


def test_another_cache_is_refused_with_the_difference(study):
    manifest = Path("results/activations/made-up/manifest.json")
    settings = json.loads(study.settings_source()) | {"context_size": 128}
    edit(manifest, parameters=json.dumps(settings, sort_keys=True, separators=(",", ":")))
    with pytest.raises(InputError, match=r"activations: .*context_size: 128 -> 1024"):
        gather(study)


def test_a_resealed_cache_refuses_everything_trained_on_the_old_one(study):
    edit(Path("results/activations/made-up/manifest.json"), inputs={"text": "other"})
    with pytest.raises(InputError, match=r"L0 4 seed 0, saes: .*made from another activations"):
        gather(study)


def test_other_probing_activations_are_refused_by_task(study):
    path = next(Path("results/activations/made-up/probing/tasks").glob("96_*.json"))
    edit(path, recipe=2)
    with pytest.raises(InputError, match=r"L0 4 seed 0, probing: .*made from another 96_spam_is"):
        gather(study)


def test_missing_probing_activations_are_named_and_nothing_is_to_be_deleted(study):
    path = next(Path("results/activations/made-up/probing/tasks").glob("96_*.json"))
    path.unlink()
    with pytest.raises(InputError, match=rf"L0 4 seed 0, probing: {path}: missing; run again$"):
        gather(study)
    shutil.rmtree("results/made-up/probing/l0_4/seed_0")
    with pytest.raises(InputError, match=r"L0 4 seed 0, probing: not run$"):
        gather(study)


def test_changed_scores_are_refused(study):
    path = Path(study.point_folder("probing", "32", 1)) / "scores.csv"
    path.write_text(path.read_text().replace("0.", "1."))
    with pytest.raises(InputError, match=r"L0 32 seed 1, probing: .*bytes differ"):
        gather(study)


def test_a_point_in_anothers_folder_is_refused(study):
    shutil.rmtree(POINT)
    shutil.copytree(POINT.with_name("seed_0"), POINT)
    with pytest.raises(InputError, match=r"L0 32 seed 1, saes: .*seed is 0, not 1"):
        gather(study)


def test_a_failed_point_is_a_gap_with_its_reason(study):
    (POINT / "manifest.json").unlink()
    write_json(POINT / "failure.json", {"reason": "loss is not finite at step 12"})
    shutil.rmtree(Path(study.point_folder("probing", "8", 0)))
    with pytest.raises(InputError, match="L0 8 seed 0, probing: not run"):
        gather(study)
    tables = gather(study, allow_gaps=True).tables
    assert tables["gaps"].to_numpy().tolist() == [
        [8, 0, "probing", "not run"],
        [32, 1, "saes", "loss is not finite at step 12"],
    ]
    assert len(tables["points"]) == 15
    assert len(tables["c_dec"]) == 15
    assert len(tables["probing"]) == 14 * 50


def test_the_reason_of_a_failed_measurement_is_the_error_in_its_log(study):
    folder = Path(study.point_folder("probing", "8", 0))
    shutil.rmtree(folder)
    log = Path("results/made-up/logs/probe_points/seed_0/l0_8.log")
    log.parent.mkdir(parents=True)
    log.write_text("loading\nerror: scores.csv: 3 bytes, not 4; run again\nTraceback\n")
    gaps = gather(study, allow_gaps=True).tables["gaps"]
    assert gaps["reason"].tolist() == ["scores.csv: 3 bytes, not 4; run again"]
    log.write_text("Killed\n")
    gaps = gather(study, allow_gaps=True).tables["gaps"]
    assert gaps["reason"].tolist() == [f"not made; see {log}"]


def test_without_a_cache_every_point_is_a_gap(study):
    Path("results/activations/made-up/manifest.json").unlink()
    gaps = gather(study, allow_gaps=True).tables["gaps"]
    assert len(gaps) == 16
    assert set(gaps["room"]) == {"activations"}


def test_missing_baselines_are_a_gap(study):
    shutil.rmtree("results/made-up/probing/baselines")
    with pytest.raises(InputError, match=r"probing baselines: .*missing"):
        gather(study)
    tables = gather(study, allow_gaps=True).tables
    assert len(tables["baselines"]) == 0
    assert tables["gaps"]["room"].tolist() == ["probing baselines"]


def test_partial_report_names_the_gaps(study, monkeypatch, capsys):
    (POINT / "manifest.json").unlink()
    write_json(POINT / "failure.json", {"reason": "loss is not finite at step 12"})
    shutil.rmtree("results/made-up/probing")
    monkeypatch.setattr("sys.stdin", io.StringIO(study.as_json()))
    assert main() == 0
    report = Path("results/made-up/partial/report.html")
    assert str(report) in capsys.readouterr().out
    page = report.read_text()
    assert "loss is not finite at step 12" in page
    assert "</abbr> about 1" in page
    assert "</abbr> scores to compare with" in page
    assert pd.read_csv("results/made-up/partial/tables/gaps.csv")["room"].value_counts()[
        "probing"
    ] == 15  # fmt: skip
    assert all(
        Path(f"results/made-up/partial/figures/{name}.png").exists() for name in figures_of(study)
    )


def test_partial_report_without_any_sae_says_so(study, monkeypatch, capsys):
    shutil.rmtree("results/made-up/saes")
    monkeypatch.setattr("sys.stdin", io.StringIO(study.as_json()))
    assert main() == 0
    assert "No SAE stands yet" in capsys.readouterr().out


def test_partial_report_names_the_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = Plan(parse_config({**made_up.config(), "sweep": "wide"}))
    monkeypatch.setattr("sys.stdin", io.StringIO(plan.as_json()))
    assert main() == 0
    assert capsys.readouterr().out == (
        "Sweep wide: No SAE stands yet, so there is no partial report; reasons in "
        "results/made-up/wide/partial/tables/gaps.csv\n"
    )


def test_a_report_that_stands_is_not_written_a_second_time(study, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(study.as_json()))
    assert main() == 0
    assert capsys.readouterr().out == "The report stands: results/made-up/report.html\n"
    assert not Path("results/made-up/partial").exists()


def test_report_settings_forget_order_and_what_changes_no_number():
    plan = made_up.plan()
    shuffled = made_up.plan(l0=[300, *made_up.L0[:-1]], seeds=[1, 0], checkpoint_min=3)
    assert report_settings(shuffled) == report_settings(plan)
    assert report_settings(made_up.plan(seeds=[0])) != report_settings(plan)
    assert plan_of(report_settings(plan)).study == plan.study


def test_of_a_point_whose_group_was_killed_the_groups_log_is_named(study):
    shutil.rmtree(POINT)
    logs = Path("results/made-up/logs/train_points/seed_1")
    logs.mkdir(parents=True)
    for name in ("l0_4-8.log", "l0_3-320.log", "l0_8-32.log"):
        (logs / name).write_text("Killed\n")
    gaps = gather(study, allow_gaps=True).tables["gaps"]
    assert gaps["reason"].tolist()[0] == f"not made; see {logs / 'l0_8-32.log'}"


def test_tables_are_gathered_without_torch():
    code = (
        "import sys; from correct_l0.metrics import metrics; import correct_l0.report.build; "
        "[metric.load() for metric in metrics().values()]; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
