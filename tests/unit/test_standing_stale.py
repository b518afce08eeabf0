"""What does not stand of a study, and why; no Snakemake."""

import json
import os
import shutil
import sys
from pathlib import Path
from subprocess import run

import pytest

import made_up
from correct_l0.provenance import source_digest
from correct_l0.provenance.manifest import read_manifest, write_json
from correct_l0.standing import stale
from correct_l0.standing.stale import find
from correct_l0.standing.stale_words import LOST, describe
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan

RESULTS = Path("results/made-up")


@pytest.fixture
def study(made_up_study, tmp_path, monkeypatch) -> Plan:
    """A copy of the made-up study that a test may damage."""
    shutil.copytree(made_up_study, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made_up.plan()


def edit(path: Path, **changes) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def test_a_finished_study_stands(study):
    assert find(study) == []


def test_nothing_is_stale_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find(made_up.plan()) == []


def test_a_new_point_is_not_stale_but_the_tables_are(study):
    wider = made_up.plan(l0=[*made_up.L0, 400.0], seeds=[0, 1])
    assert describe(find(wider)) == ["tables: saes.l0 with 400.0"]


def test_changed_settings_are_named_by_point(study):
    changed = made_up.plan(overrides={"32": {"lr": 2e-3}})
    found = find(changed)
    assert [(s.room, s.l0, s.seed) for s in found] == [
        ("saes", "32", 0), ("saes", "32", 1), ("tables", None, None),
    ]  # fmt: skip
    assert found[0].reason == "lr 0.001 -> 0.002"
    assert found[0].path == "results/made-up/saes/l0_32/seed_0/manifest.json"
    changed = made_up.plan(training={"training_tokens": 2_097_152, "batch_tokens": 512, "lr": 1e-3})
    assert describe(find(changed))[0] == "saes of 16 points: batch_tokens 1024 -> 512"


def test_an_n_more_projects_again_and_trains_nothing(study):
    config = made_up.config()
    config["decoder_metrics"]["n"].append(400)
    found = find(Plan(parse_config(config)))
    assert describe(found) == [
        "decoder_metrics of 16 points: n with 400",
        "tables: decoder_metrics.n with 400.0",
    ]


def test_another_sae_makes_its_metrics_stale(study):
    manifest = RESULTS / "saes/l0_8/seed_0/manifest.json"
    outputs = json.loads(manifest.read_text())["outputs"]
    path = manifest.parent / "decoder_init_cosine.npy"
    shutil.copy(RESULTS / "saes/l0_8/seed_1/decoder_init_cosine.npy", path)
    outputs[path.name]["sha256"] = read_manifest(RESULTS / "saes/l0_8/seed_1/manifest.json")[
        "outputs"
    ][path.name]["sha256"]
    edit(manifest, outputs=outputs)
    assert [(s.room, s.l0, s.reason) for s in find(study)] == [
        ("decoder_metrics", "8", "made from another sae"),
        ("probing", "8", "made from another sae"),
        ("stability", "8", "made from another seed_0"),
        ("tables", None, "made from another saes/l0_8/seed_0"),
    ]


def test_a_cache_deleted_after_training_makes_nothing_stale(study):
    shutil.rmtree("results/activations")
    assert find(study) == []


def test_another_cache_makes_every_sae_stale(study):
    edit(Path("results/activations/made-up/manifest.json"), inputs={"text": "other"})
    assert describe(find(study)) == ["saes of 16 points: made from another activations"]


def test_the_recipe_of_a_cache_counts(study):
    edit(Path("results/activations/made-up/manifest.json"), recipe=0)
    assert describe(find(study)) == ["activations: manifest.json recipe 0 -> 1"]


def test_a_cache_is_sealed_anew_for_another_rule_on_outlying_rows(study):
    config = made_up.config()
    config["activations"]["outlying"] = {"norm": 20, "rows": "keep"}
    assert describe(find(Plan(parse_config(config)))) == [
        'activations: manifest.json outlying.norm 10.0 -> 20.0; outlying.rows "drop" -> "keep"',
        "tables: activations.outlying.norm 10.0 -> 20.0; "
        'activations.outlying.rows "drop" -> "keep"',
    ]


def test_a_cache_of_unknown_norms_is_sealed_anew(study):
    path = Path("results/activations/made-up/manifest.json")
    write_json(path, {k: v for k, v in read_manifest(path).items() if k != "norms"})
    assert describe(find(study)) == [
        "activations: manifest.json tells nothing of the norms of rows"
    ]


def test_results_that_are_gone_are_lost_only_where_others_were_made_from_them(study):
    shutil.rmtree(RESULTS / "tables")
    (RESULTS / "report.html").unlink()
    shutil.rmtree(RESULTS / "saes/l0_4/seed_0")
    shutil.rmtree(RESULTS / "probing/l0_8/seed_0")
    assert describe(find(study)) == [f"saes l0 4 seed 0: {LOST}"]


def test_large_files_are_looked_at_by_size_unless_written_after_their_manifest(study, monkeypatch):
    path = RESULTS / "saes/l0_32/seed_1/loss.csv"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    differs = ["loss.csv bytes differ from its manifest's checksum"]
    assert [s.reason for s in find(study)] == differs
    monkeypatch.setattr("correct_l0.provenance.findings.LARGE_BYTES", len(content))
    written = (path.parent / "manifest.json").stat().st_mtime
    os.utime(path, (written + 60, written + 60))
    assert [s.reason for s in find(study)] == differs
    os.utime(path, (written, written))
    assert find(study) == []
    path.write_bytes(content[1:])
    assert [s.reason for s in find(study)] == [
        f"loss.csv {len(content) - 1} bytes, not {len(content)}"
    ]


MANIFEST = RESULTS / "probing/l0_4/seed_0/manifest.json"


@pytest.mark.parametrize("content", ["", "{}", '{"outputs": 3}'])
def test_a_damaged_manifest_is_stale_and_no_traceback(study, content):
    MANIFEST.write_text(content)
    (found,) = find(study)
    assert (found.room, found.l0) == ("probing", "4")


@pytest.mark.parametrize(
    "changes",
    [{"outputs": None}, {"outputs": 3}, {"inputs": [1]}, {"outputs": {"scores.csv": {"bytes": 1}}}],
)
def test_a_manifest_without_its_inputs_or_outputs_is_damaged(study, changes):
    edit(MANIFEST, **changes)
    damaged = "damaged, without its inputs or outputs"
    assert describe(find(study)) == [f"probing l0 4 seed 0: {damaged}"]
    cache = Path("results/activations/made-up/manifest.json")
    edit(cache, outputs=None)
    assert describe(find(study))[0] == "activations: manifest.json damaged"


def test_a_manifest_that_cannot_be_read_is_named(study):
    MANIFEST.unlink()
    MANIFEST.mkdir()
    assert describe(find(study)) == ["probing l0 4 seed 0: cannot be read (Is a directory)"]


def test_missing_activations_of_tasks_are_lost_where_scores_were_made_from_them(study):
    cache = Path("results/activations/made-up")
    write_json(cache / "cache.json", {})
    missing = sorted((cache / "probing" / "tasks").glob("9*.json"))[:2]
    for path in missing:
        path.unlink()
    assert [s.path for s in find(study)] == [str(path) for path in missing]
    assert describe(find(study)) == [f"activations: probing/tasks {LOST}"]
    shutil.rmtree(RESULTS / "probing")
    assert all(Path(s.path) not in missing for s in find(study))


@pytest.mark.parametrize(
    ("name", "room", "reason"),
    [
        ("figures/f1.svg", "figures", "f1.svg bytes differ from its manifest's checksum"),
        ("figures/manifest.json", "figures", LOST),
        ("report.html", "page", "report.html bytes differ from its manifest's checksum"),
        ("summary.txt", "page", "summary.txt bytes differ from its manifest's checksum"),
        ("report.manifest.json", "page", LOST),
    ],
)
def test_damaged_figures_and_pages_are_stale(study, name, room, reason):
    path = RESULTS / name
    if path.suffix == ".json":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-9] + b"torn here")
    assert [(s.room, s.reason) for s in find(study)] == [(room, reason)]


def test_a_page_of_other_figures_is_stale(study):
    manifest = RESULTS / "figures/manifest.json"
    outputs = json.loads(manifest.read_text())["outputs"]
    path = RESULTS / "figures/f1.svg"
    shutil.copy(RESULTS / "figures/training.svg", path)
    edit(manifest, outputs=outputs | {"f1.svg": outputs["training.svg"]})
    assert describe(find(study)) == ["page: made from another figures"]


def test_another_code_of_the_report_makes_the_verdict_stale(study, monkeypatch):
    monkeypatch.setattr(stale, "report_source_digest", lambda *_: "other")
    assert describe(find(study)) == ["verdict: the report's code or text changed"]


def test_the_digest_follows_texts_and_code_but_not_their_form(tmp_path, monkeypatch):
    room = tmp_path / "report"
    (room / "templates").mkdir(parents=True)
    (room / "words.py").write_text("COLOUR = 'red'\n\n\ndef f():\n    return 'text'\n")
    (room / "templates" / "report.css").write_text("a { color: red; }")
    monkeypatch.setattr(source_digest, "PACKAGE", tmp_path)

    def digest():
        source_digest.report_source_digest.cache_clear()
        return source_digest.report_source_digest("reading", "report")

    seen = {digest()}
    (room / "words.py").write_text(
        '"""Words."""\nCOLOUR = (\n    "red"  # as a rose\n)\ndef f():\n  "F."\n  return "text"\n'
    )
    assert {digest()} == seen
    for name, old, new in (
        ("words.py", "red", "blue"),
        ("words.py", 'return "text"', 'return "a text"'),
        ("templates/report.css", "red", "blue"),
    ):
        path = room / name
        path.write_text(path.read_text().replace(old, new))
        assert digest() not in seen
        seen.add(digest())
    source_digest.report_source_digest.cache_clear()


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'pandas', 'sae_lens', 'transformers', 'sklearn', 'zarr'}"
    code = f"import sys, correct_l0.standing.stale; print({heavy} & set(sys.modules))"
    found = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
