"""The check of a GPU, on a CPU: it runs, with and without its packages, and it can fail."""

from __future__ import annotations

import csv
import doctest
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
CARRIED = ("pydantic", "zarr", "sae_lens", "transformer_lens", "datasets", "zstandard")
"""What a bare GPU machine lacks, and the wheels bring."""
ABSENT = ("sae_probes", "snakemake", "pandera", "matplotlib", "seaborn", "plotly", "statsmodels")
ABSENT += ("xgboost", "sparsify", "nltk", "sqlmodel", "sqlalchemy", "git", "psutil")
"""What it lacks even with them."""
PRECISIONS = ("float32", "reduced")
HIDE = """
from importlib.machinery import PathFinder

ABSENT = {}
found, listed = PathFinder.find_spec, PathFinder.find_distributions


def absent(name):
    return name.split(".")[0].replace("-", "_") in ABSENT


@staticmethod
def find_spec(name, path=None, target=None):
    return None if absent(name) else found(name, path, target)


@staticmethod
def find_distributions(context):
    return () if absent(context.name or "") else listed(context)


PathFinder.find_spec, PathFinder.find_distributions = find_spec, find_distributions
"""
MODULES = ("floors", "measuring", "reference", "rows", "correctness", "study")


@pytest.fixture(autouse=True)
def repository_root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def module(name):
    return importlib.import_module(f"benchmarks.gpu_check.{name}")


def check(folder, *parts, hidden=(), arguments=("--device", "cpu", "--small")):
    """Run the check; return its exit status, what it printed and its rows."""
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if hidden:
        (folder / "sitecustomize.py").write_text(HIDE.format(hidden))
        environment["PYTHONPATH"] = str(folder)
    out = folder / "table.csv"
    command = [sys.executable, "-m", "benchmarks.gpu_check", *arguments, "--out", str(out), *parts]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    rows = list(csv.DictReader(out.open())) if out.exists() else []
    return done.returncode, done.stdout + done.stderr, rows


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(module(name)).failed == 0


def test_on_a_bare_machine_all_but_what_is_missing_runs(tmp_path):
    parts = ("correctness", "steps", "study", "utilisation")
    status, printed, rows = check(tmp_path / "run", hidden=ABSENT + CARRIED)
    assert status == 0, printed
    assert {row["part"] for row in rows} == set(parts)
    assert "not installed: pydantic" in printed
    skipped = {row["what"]: row["note"] for row in rows if row["verdict"] == "skipped"}
    assert skipped == {
        "step, SAELens": "package sae_lens is not installed",
        "caching on disk": "package pydantic is not installed",
    }
    assert all(row["device"].startswith("CPU") and "torch" in row["versions"] for row in rows)
    checked = [row for row in rows if row["verdict"] == "ok"]
    for case in ("random", "dead latents", "ties", "zeros"):
        for precision in PRECISIONS:
            for l0 in (8, 50, 200, 1000):
                start = f"step, {case}, {precision}, dense, L0 {l0}: "
                assert sum(row["what"].startswith(start) for row in checked) == 2
    names = {row["what"] for row in rows}
    assert {"SAEs with other bits in a group, float32", "c_dec, relative"} <= names
    assert {"group of 4, all its SAEs", "forward, kept in memory"} <= names
    assert {"group of 4: device waits", "group of 4, 5% dead: device waits"} <= names
    timed = {f"step, ours, {name}, reduced, L0 50" for name in module("steps").OTHERS}
    assert timed < names
    right = {f"step of jumprelu, {precision}: loss and gradients" for precision in PRECISIONS}
    assert right < {row["what"] for row in checked}


def test_with_the_wheels_alone_the_rival_and_the_cache_on_disk_are_measured(tmp_path):
    status, printed, rows = check(tmp_path / "run", "steps", "study", hidden=ABSENT)
    assert status == 0, printed
    values = {row["what"]: row["value"] for row in rows if row["value"]}
    for l0 in (20, 50, 200, 500):
        sides = ("ours, reduced, dense", "SAELens, autocast")
        ours, theirs = (float(values[f"step, {side}, L0 {l0}"]) for side in sides)
        ratio = float(values[f"SAELens, autocast / ours, L0 {l0}"])
        assert ratio == pytest.approx(theirs / ours, rel=1e-4)
        assert f"step, SAELens, L0 {l0}" in values
    alone = float(values["forward alone, 2 layers, bfloat16"])
    assert {"group: time waiting for data", "s_n^dec / its product", "c_dec"} <= values.keys()
    assert 0 < float(values["group: start, the first step included"]) < 60
    assert 0 < float(values["group: calibrating, saving and measuring an SAE"]) < 60
    share = float(values["caching on disk"]) / alone
    assert float(values["caching / forward alone"]) == pytest.approx(share, rel=1e-4)


def test_the_best_rival_is_timed_at_every_l0_before_the_slowest(monkeypatch):
    steps = module("steps")
    made = []

    def step(_start, l0, _batch, _device, *, autocast, compiled):
        made.append((l0, autocast, compiled))
        return lambda batch: SimpleNamespace(loss=batch.sum())

    monkeypatch.setattr(steps.package, "saelens_step", step)
    shapes = SimpleNamespace(
        batch_tokens=4, step_l0=(20, 50), timed_steps=1, rounds=1, compiled_rival=True
    )
    report = module("rows").Report("steps", io.StringIO())
    steps.time_rivals(report, None, [torch.ones(4, 2)], shapes, {}, "cpu")
    kinds = ((True, False), (True, True), (False, False))
    assert made == [(l0, *kind) for kind in kinds for l0 in (20, 50)]


def test_without_a_gpu_the_check_fails_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status, printed, rows = check(tmp_path / "run", "steps", arguments=())
    assert status == 1
    assert "1 rows, 1 wrong or broken" in printed
    assert "sees no CUDA device; install a build for CUDA" in printed
    # A table of something measured stays where it is.
    assert rows == []


def test_the_arguments_are_checked(tmp_path):
    status, printed, _ = check(tmp_path / "a", "speed")
    assert status == 2
    assert "no part 'speed'; there are correctness, steps, study, utilisation" in printed
    status, printed, _ = check(tmp_path / "b", arguments=("--wheels", str(tmp_path)))
    assert status == 2
    assert f"no wheel in {tmp_path}; name a folder that holds *.whl files" in printed


def test_the_parts_round_no_float32_product_whatever_the_environment_says(tmp_path, monkeypatch):
    main = module("__main__")
    assert importlib.import_module("correct_l0.jobs.job").ROUNDED == main.ROUNDED
    monkeypatch.setenv(main.ROUNDED, "1")
    assert main.ROUNDED not in main.environment_with(None, str(tmp_path))


def test_wheels_are_found_by_the_parts_and_not_installed(tmp_path):
    """A wheel is a zip file: one module, and what pip asks for."""
    about = "carried-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "carried-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "answer = 42\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tag)
        wheel.writestr(f"{about}/RECORD", f"carried.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")
    environment = module("__main__").environment_with(tmp_path, str(tmp_path))
    command = [sys.executable, "-c", "import carried; print(carried.answer)"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    assert importlib.util.find_spec("carried") is None


def test_the_list_of_wheels_names_locked_packages():
    names = (ROOT / "benchmarks" / "gpu_check" / "wheels.txt").read_text().split()
    lock = (ROOT / "envs" / "requirements.lock").read_text().splitlines()
    assert [sum(line.startswith(name[1:]) for line in lock) for name in names] == [1] * 29


def test_what_is_watched_are_plain_steps(monkeypatch):
    """A training measures c_dec at each tenth of its steps: none is in those that are watched."""
    utilisation, store = module("utilisation"), module("memory_store").MemoryStore
    package, seen = utilisation.package, []
    watched = SimpleNamespace(c_dec=seen.append, s_n_dec=lambda *_: seen.append("s_n^dec"))
    monkeypatch.setattr(package, "measures", lambda: watched)
    shapes = SimpleNamespace(d_sae=64, batch_tokens=16)
    rows = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    stream = io.StringIO()
    report = module("rows").Report("utilisation", stream)
    utilisation.watch(report, "two", shapes, store(rows, held_out=32), (2, 4), "cpu")
    assert seen == []
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (rows[0]["what"], rows[0]["note"]) == ("step, two", "products as a CPU chooses")
    settings = package.settings_json(64, 2, 16, package.LONG, "reduced", gpu_products="sparse")
    assert package.products_in_training(settings, "cuda") == "sparse products"


def test_the_same_latents_are_dead_in_every_step_that_is_watched(monkeypatch):
    """Of 64 latents the first 12, from the second step on, and no other in 1000 steps."""
    utilisation, store = module("utilisation"), module("memory_store").MemoryStore
    trainer = utilisation.package.FusedTrainer
    looked, seen = trainer._dead, []

    def dead(self):
        seen.append((self.n_steps, None if (found := looked(self)) is None else found.tolist()))
        return found

    monkeypatch.setattr(trainer, "_dead", dead)
    shapes = SimpleNamespace(d_sae=64, batch_tokens=16)
    rows = store(torch.randn(256, 8, generator=torch.Generator().manual_seed(0)), held_out=32)
    report = module("rows").Report("utilisation", io.StringIO())
    utilisation.watch(report, "two", shapes, rows, (2, 4), "cpu", dead=0.2)
    steps = utilisation.WARM_UP + 2 * utilisation.WINDOW
    assert seen[:2] == [(0, None)] * 2
    assert seen[2:] == [(step, [*range(12)]) for step in range(1, steps) for _ in range(2)]


def test_the_floor_is_that_of_the_paper_s_shape():
    floors = module("floors")
    rates = floors.Rates(790e12, 3e12)
    # 2 * 4096 * 2304 * 32768 / 790e12 s, and 28 * 2 * 2304 * 32768 / 3e12 s.
    floor = floors.step_floor(2304, 32768, 4096, 50, rates)
    assert floor.encoder == pytest.approx(0.7829, abs=1e-4)
    assert floor.adam == pytest.approx(1.4093, abs=1e-4)
    # 4 * 50 * 4096 rows of 2304 * 2 bytes / 3e12 s.
    assert (floor.others, floor.pre_acts, floor.sparse) == (
        pytest.approx(1.2583, abs=1e-4),
        0,
        True,
    )
    floor = floors.step_floor(2304, 32768, 4096, 200, rates)
    # 4 products, and 8 * 4096 * 32768 bytes / 3e12 s.
    assert (floor.others, floor.sparse) == (pytest.approx(3.1315, abs=1e-4), False)
    assert floor.pre_acts == pytest.approx(0.3579, abs=1e-4)
    assert floor.ms == pytest.approx(0.7829 + 3.1315 + 1.4093 + 0.3579, abs=3e-4)


def test_the_selection_is_that_of_a_stable_sort():
    reference = module("reference")
    acts = torch.randint(-3, 4, (7, 9), generator=torch.Generator().manual_seed(0)).double()
    order = acts.view(-1).sort(descending=True, stable=True).indices
    for count in range(1, 64):
        expected = torch.zeros(63, dtype=torch.bool)
        expected[order[:count]] = True
        expected &= acts.view(-1) > 0
        assert torch.equal(reference.selection(acts, count), expected.view_as(acts))


def test_the_reference_is_what_the_chain_rule_gives():
    """By hand, with two dead latents that reconstruct the error; the product's order is another."""
    generator = torch.Generator().manual_seed(0)

    def some(*shape):
        return torch.randn(*shape, generator=generator)

    x, W_enc, W_dec = some(6, 8), some(8, 5), some(5, 8)
    weights = {"W_enc": W_enc, "b_enc": some(5), "W_dec": W_dec, "b_dec": some(8)}
    selected, dead = some(6, 5) > 0, torch.tensor([1, 3])
    truth = module("reference").Truth(x, weights, dead, 0.5)
    found = truth.step(selected)
    x, W_enc, b_enc, W_dec, b_dec = (v.double().numpy() for v in (x, *weights.values()))
    kept, dead = selected.numpy(), dead.numpy()
    acts = (x - b_dec) @ W_enc + b_enc
    assert truth.acts.numpy() == pytest.approx(acts * (W_dec**2).sum(1) ** 0.5)
    error = (acts * kept) @ W_dec + b_dec - x
    # Two of d_in / 2 = 4 latents: half of the weight.
    left, share = error + acts[:, dead] @ W_dec[dead], 0.5 * 2 / 4
    assert float(found.loss) == pytest.approx(((error**2).sum() + share * (left**2).sum()) / 6)
    of_acts = 2 * error @ W_dec.T * kept
    of_acts[:, dead] += 2 * share * left @ W_dec[dead].T
    of_W_dec = 2 * (acts * kept).T @ error
    of_W_dec[dead] += 2 * share * acts[:, dead].T @ left
    right = {
        "W_enc": (x - b_dec).T @ of_acts,
        "b_enc": of_acts.sum(0),
        "W_dec": of_W_dec,
        "b_dec": 2 * error.sum(0) - of_acts.sum(0) @ W_enc.T,
    }
    for name, value in right.items():
        assert found.gradients[name].numpy() == pytest.approx(value / 6), name


def test_the_reference_of_a_selection_is_computed_once():
    correctness, reference = module("correctness"), module("reference")
    truth = reference.Truth(*correctness.random_case(8, 40, 16), 1.0)
    chosen = truth.selection(64)
    assert truth.step(chosen) is truth.step(chosen.clone())
    other = chosen.clone()
    other[0, 0] = ~other[0, 0]
    assert float(truth.step(other).loss) != float(truth.step(chosen).loss)
    again = reference.Truth(*correctness.random_case(8, 40, 16), 1.0).step(other)
    assert torch.equal(again.gradients["W_dec"], truth.step(other).gradients["W_dec"])


def rows_of(text):
    return {row["what"]: row["verdict"] for row in map(json.loads, text.splitlines())}


@pytest.mark.parametrize("wrong", ["nothing", "W_dec", "loss", "selection", "bits"])
def test_a_wrong_step_fails(wrong, monkeypatch):
    correctness = module("correctness")
    package, right = correctness.package, correctness.package.loss_and_gradients
    calls = []

    def step(*arguments):
        loss, result, gradients = right(*arguments)
        calls.append(loss)
        if wrong == "W_dec":
            gradients.W_dec.mul_(1.01)
        if wrong == "loss":
            loss = loss * 1.01
        if wrong == "selection":
            acts = result.selected.acts
            acts[acts == acts.max()] = 0
        if wrong == "bits" and len(calls) > 1:
            gradients.b_enc[0] += 1e-9
        return loss, result, gradients

    monkeypatch.setattr(package, "loss_and_gradients", step)
    stream = io.StringIO()
    case = correctness.random_case(8, 40, 16)
    report = module("rows").Report("correctness", stream)
    correctness.check_steps(report, "random", case, (4,), ("float32",), "cpu")
    verdicts = rows_of(stream.getvalue())
    numbers = verdicts["step, random, float32, dense, L0 4: loss and gradients"]
    assert numbers == ("FAILED" if wrong in ("W_dec", "loss", "selection") else "ok")
    chosen = verdicts["step, random, float32, dense, L0 4: wrongly selected"]
    assert chosen == ("FAILED" if wrong == "selection" else "ok")
    repeated = verdicts["step, random, float32, dense: other bits when repeated"]
    assert repeated == ("FAILED" if wrong == "bits" else "ok")


@pytest.mark.parametrize("wrong", ["nothing", "threshold", "W_enc"])
def test_a_wrong_step_of_jumprelu_fails(wrong, monkeypatch):
    others, correctness = module("others"), module("correctness")
    right = others.package.jump_loss_and_gradients

    def step(x, *arguments):
        loss, result, d_threshold = right(x, *arguments)
        if x.dtype == torch.float32 and wrong == "threshold":
            d_threshold.mul_(1.01)
        if x.dtype == torch.float32 and wrong == "W_enc":
            arguments[-1].gradients.W_enc.mul_(1.01)
        return loss, result, d_threshold

    monkeypatch.setattr(others.package, "jump_loss_and_gradients", step)
    stream = io.StringIO()
    x, weights, _ = correctness.ties_case(16, 64, 128)
    report = module("rows").Report("correctness", stream)
    weights = [weights[key] for key in correctness.ORDER]
    others.check_jumprelu(report, x, weights, correctness.LIMITS, "cpu")
    expected = "ok" if wrong == "nothing" else "FAILED"
    assert rows_of(stream.getvalue())["step of jumprelu, float32: loss and gradients"] == expected


@pytest.mark.parametrize(("tokens_per_s", "tokens"), [(1e9, 1024), (1689.6, 512), (1, 128)])
def test_on_few_processors_fewer_tokens_are_checked_and_it_is_said(
    tokens_per_s, tokens, monkeypatch
):
    """Four cases of 33 products of 1024 tokens in 40 s are 3379.2 tokens per s."""
    correctness = module("correctness")

    def seconds(sizes, steps):
        return sizes[2] * (1 + 4 * steps) / tokens_per_s

    monkeypatch.setattr(correctness.reference, "seconds", seconds)
    shapes = SimpleNamespace(checked=(2304, 8192, 1024), checked_l0=(8, 50, 200, 1000))
    stream = io.StringIO()
    report = module("rows").Report("correctness", stream)
    assert correctness.affordable(report, shapes, 4) == (2304, 8192, tokens)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["verdict"] for row in rows] == ["skipped"] * (tokens < 1024)
    for row in rows:
        assert row["what"] == f"checked steps of more than {tokens} tokens"
        assert row["note"].endswith("processors; give it more")


def test_activations_that_do_not_fit_are_kept_in_memory_and_it_is_said(tmp_path, monkeypatch):
    study = module("study")
    monkeypatch.setattr(study.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    stream = io.StringIO()
    report = module("rows").Report("study", stream)
    assert study.room(report, tmp_path, 9 * 10**8)
    assert not stream.getvalue()
    assert not study.room(report, tmp_path, 10**9)
    row = json.loads(stream.getvalue())
    assert (row["what"], row["verdict"]) == ("caching on disk", "skipped")
    assert row["note"].startswith("1.1 GB do not fit: ")
    assert row["note"].endswith(" has 1.0 GB free; name another folder by TMPDIR")


def test_a_check_that_was_stopped_leaves_the_table_of_the_one_before(tmp_path):
    main, row = module("__main__"), module("rows").Row("steps", "a", 1.0)
    out = tmp_path / "table.csv"
    for error in (None, KeyboardInterrupt):
        try:
            with main.Table(out) as table:
                table.write(row, {})
                if error:
                    table.write(row, {})
                    raise error
        except KeyboardInterrupt:
            pass
        assert len(out.read_text().splitlines()) == 2
    assert len((tmp_path / "table.csv.partial").read_text().splitlines()) == 3


def test_nan_is_never_right():
    stream = io.StringIO()
    report = module("rows").Report("correctness", stream)
    report.must("a", float("nan"), "", 1)
    report.target("b", float("nan"), "", at_least=1)
    assert rows_of(stream.getvalue()) == {"a": "FAILED", "b": "below target"}


def test_an_error_or_a_missing_package_ends_one_number_only(capsys):
    stream = io.StringIO()
    report = module("rows").Report("steps", stream)
    with report.trying("a"):
        raise RuntimeError("out of memory\nmore")
    with report.trying("b"):
        importlib.import_module("no_such_package.inside")
    with report.trying("c"):
        importlib.import_module("correct_l0.no_such_module")
    rows = list(map(json.loads, stream.getvalue().splitlines()))
    assert [(row["verdict"], row["note"]) for row in rows] == [
        ("ERROR", "RuntimeError: out of memory"),
        ("skipped", "package no_such_package is not installed"),
        ("ERROR", "ModuleNotFoundError: No module named 'correct_l0.no_such_module'"),
    ]
    assert "Traceback" in capsys.readouterr().err


def test_a_part_that_takes_too_long_is_ended_and_reported(monkeypatch):
    main = module("__main__")
    monkeypatch.setitem(main.LIMITS_S, "correctness", 0.125)
    options = SimpleNamespace(device="cpu", small=True)
    rows = list(main.run_part("correctness", options, {**os.environ}, {}))
    assert (rows[-1].verdict, rows[-1].note) == ("ERROR", "over 0.5 s")


def test_the_parts_together_take_less_than_eight_minutes():
    assert sum(module("__main__").LIMITS_S.values()) < 480


def test_the_stand_in_s_settings_are_those_of_pydantic():
    """In processes of their own: which pydantic is there is found out at the first import."""
    code = (
        "import json, sys\n"
        "sys.path[:0] = [{root!r}, {lib!r}]\n"
        "if {hidden}:\n"
        "    from benchmarks.gpu_check.without_pydantic import stand_in\n"
        "    stand_in()\n"
        "from correct_l0.saes.settings import parse_settings\n"
        'text = \'{{"d_sae": 8, "l0": 2, "training": {{"lr": 0.1, "training_tokens": 10000}}}}\'\n'
        "found = parse_settings(text).training\n"
        "names = sorted(set(type(found).__annotations__))\n"
        "print(names, [getattr(found, name) for name in names], found.steps)\n"
    )
    printed = [
        subprocess.run(
            [
                sys.executable,
                "-c",
                code.format(root=str(ROOT), lib=str(ROOT / "workflow" / "lib"), hidden=hidden),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hidden in (False, True)
    ]
    assert "'batch_tokens'" in printed[0] and printed[0].endswith("2\n")
    assert printed[0] == printed[1]


def test_precisions_are_the_pipeline_s():
    from correct_l0.saes.training.train import PRECISIONS

    assert module("measuring").PRECISIONS == PRECISIONS
