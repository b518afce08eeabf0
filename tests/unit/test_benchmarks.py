"""The benchmarks: their arithmetic, their tables, and what the README says of them."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAMP = {
    "machine": "a machine",
    "cores": "2",
    "date": "2026-01-02",
    "commit": "abc",
    "versions": "torch 2",
}


@pytest.fixture(autouse=True)
def benchmarks_folder(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def made_up(**options):
    settings = {
        "name": "a",
        "room": "saes",
        "workload": "a step",
        "rival": "them",
        "prepare": dict,
        "target": 4.0,
        "unit": "ms per step",
        "units": 10,
        "memory_limit_mb": 100.0,
    }
    return module("comparison").Comparison(**{**settings, **options})


SECONDS = {"ours": [0.1, 0.2, 0.1], "rival": [0.5, 0.6, 0.7], "other": [9.0, 9.0, 9.0]}


def summary(**options):
    memory = {"ours": 90.4, "rival": 800.0}
    return module("result_tables").summary_row(made_up(**options), SECONDS, memory, STAMP)


def test_a_summary_is_the_median_of_the_rounds_ratios():
    # 0.5 / 0.1, 0.6 / 0.2, 0.7 / 0.1
    row = summary()
    assert [row[key] for key in ("ratio", "smallest", "largest")] == ["5", "3", "7"]
    assert (row["rounds"], row["target"], row["met"]) == ("3", "4", "yes")
    # Medians 0.1 s and 0.6 s of 10 steps.
    assert (row["ours"], row["rivals"]) == ("10", "60")


def test_a_summary_holds_speed_and_memory_against_what_is_wanted():
    assert summary(target=5.1)["met"] == "no"
    assert summary(target=None)["met"] == ""
    assert summary()["memory_met"] == "yes"
    assert summary(memory_limit_mb=90.0)["memory_met"] == "no"
    assert summary(memory_limit_mb=None)["memory_met"] == ""


def test_every_side_and_round_has_a_row():
    rows = module("result_tables").round_rows(made_up(curve=("d_sae", 3072)), SECONDS, STAMP)
    assert len(rows) == 9
    assert rows[4]["side"] == "rival"
    assert (rows[4]["round"], rows[4]["seconds"], rows[4]["units"]) == ("1", "0.6", "10")
    assert (rows[4]["curve"], rows[4]["x"]) == ("d_sae", "3072")


def test_new_rows_take_the_place_of_old_ones_of_the_same_comparison(tmp_path):
    tables, path = module("result_tables"), tmp_path / "summary.csv"
    columns = ("name", "ratio")
    for name, ratio in (("b", "1"), ("gone", "1"), ("a", "1"), ("b", "2")):
        rows = [{"name": name, "ratio": ratio}]
        tables.replace(path, columns, name, rows, ["a", "b", *(["gone"] if ratio == "1" else [])])
    assert tables.read(path) == [{"name": "a", "ratio": "1"}, {"name": "b", "ratio": "2"}]


def test_the_readme_marks_what_is_below_its_target_or_failed():
    readme, tables = module("readme"), module("result_tables")
    failed = tables.failed_row(made_up(name="c", workload="broken"), "ValueError: no", STAMP)
    rows = [summary(), summary(name="b", workload="slow", target=6.0), failed]
    text = readme.content(rows, [])
    assert "a machine, 2 cores, 2026-01-02, commit abc" in readme.content(rows, [], full=True)
    assert "| a step | them | 5 (3 to 7) | 4 | 90 / 800 (limit 100) |" in text
    assert "| slow | them | 5 (3 to 7) | **below the target of 6** |" in text
    assert "| broken | them | failed | **below the target of 4** |" in text
    assert "3 of 5 targets and limits met" in text


def test_memory_has_a_column_where_it_was_measured():
    readme, tables = module("readme"), module("result_tables")
    bare = tables.summary_row(made_up(), SECONDS, {}, STAMP)
    assert readme.ratio_table([bare], False)[0] == (
        "| workload | against | times as fast | target |"
    )
    assert readme.ratio_table([bare], False)[-1] == "| a step | them | 5 (3 to 7) | 4 |"
    both = readme.ratio_table([bare, summary(name="b")], False)
    assert both[0].endswith("| target | peak MB, ours / theirs |")
    assert both[-2:] == [
        "| a step | them | 5 (3 to 7) | 4 |  |",
        "| a step | them | 5 (3 to 7) | 4 | 90 / 800 (limit 100) |",
    ]
    # A curve's memory is not in the README: no column for it there.
    curve = summary(name="c", target=None, memory_limit_mb=None)
    assert "peak MB" not in readme.content([bare, curve], [])


def test_the_readme_has_the_first_of_each_room_and_all_that_is_missed():
    readme = module("readme")
    rows = [
        summary(name="a", workload="first"),
        summary(name="b", workload="second"),
        summary(name="c", workload="slow", target=6.0),
        summary(name="d", workload="large", memory_limit_mb=50),
        summary(name="e", workload="elsewhere", room="probing"),
    ]
    shown = [row["workload"] for row in readme.in_short(rows)]
    assert shown == ["first", "slow", "large", "elsewhere"]
    start_up = [{"what": "import", "seconds": "6", "limit": "5", "met": "no", **STAMP}]
    assert "| import | 6 | **above the limit of 5** |" in readme.content(rows, start_up)
    met = start_up[0] | {"met": "yes"}
    assert "| import |" not in readme.content(rows, [met])
    assert "| import | 6 | 5 |" in readme.content(rows, [met], full=True)


def test_a_quick_run_keeps_the_memory_of_the_same_code_alone(tmp_path, monkeypatch):
    run, tables = module("run"), module("result_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    rounds = []

    def measure(arguments, threads):
        if arguments[0] == "memory":
            return {"ours": 50.0, "rival": 70.0}[arguments[-1]]
        rounds.append(int(arguments[-1]))
        return SECONDS

    monkeypatch.setattr(run, "measure", measure)

    def memory_after(quick: bool, **stamp: str) -> str:
        monkeypatch.setattr(run.collect, "stamp", lambda: {**STAMP, **stamp})
        run.compare("module", made_up(rounds=2), quick, ["a"])
        (row,) = tables.read(tmp_path / tables.SUMMARY)
        return row["memory_mb_ours"] + row["memory_met"]

    assert memory_after(quick=True) == ""
    assert memory_after(quick=False) == "50yes"
    assert memory_after(quick=True, date="2026-01-03") == "50yes"
    assert memory_after(quick=True, commit="def") == ""
    assert memory_after(quick=False, commit="def+") == "50yes"
    assert memory_after(quick=True, commit="def+") == ""
    # Three rounds at most: of two there are two.
    assert set(rounds) == {2}


def test_memory_measured_alone_stands_beside_the_times_that_are_there(tmp_path, monkeypatch):
    run, tables, readme = module("run"), module("result_tables"), module("readme")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(run.collect, "stamp", lambda: stamp)
    memory = {"ours": 50.0, "rival": 70.0}
    monkeypatch.setattr(run, "measure", lambda arguments, threads: (
        memory[arguments[-1]] if arguments[0] == "memory" else SECONDS))  # fmt: skip
    stamp, there = STAMP, tmp_path / tables.SUMMARY
    with pytest.raises(run.Failed, match=r"no times of this machine .* run without --memory"):
        run.memory_alone("module", made_up(), ["a"])
    run.compare("module", made_up(), True, ["a"])
    (bare,) = tables.read(there)
    stamp = {**STAMP, "commit": "def", "date": "2026-01-03"}
    assert run.memory_alone("module", made_up(), ["a"]) == "50 and 70 MB"
    (row,) = tables.read(there)
    new = {"memory_mb_ours": "50", "memory_mb_rival": "70", "memory_met": "yes",
           "memory_commit": "def"}  # fmt: skip
    assert row == {**bare, **new}
    assert readme.provenance([row])[1:] == ["memory of 1 of them, measured alone: commit def"]
    # A quick run of that commit keeps it, as one of the times' own commit no longer would.
    assert tables.memory_of_same_code(row, STAMP) == {}
    assert tables.memory_of_same_code(row, stamp) == memory
    for other in ({"machine": "another"}, {"versions": "torch 3"}):
        stamp = {**STAMP, **other}
        with pytest.raises(run.Failed, match="no times of this machine"):
            run.memory_alone("module", made_up(), ["a"])
    assert tables.read(there) == [row]


def test_what_a_trainer_keeps_from_its_first_step_on_is_of_its_memory():
    """Before the first call there are only steps of another SAE; that call warms up as well."""
    step, taken = module("training_step"), []

    def counted(d_in, d_sae, batch, l0, n_dead):
        number = len(taken)
        taken.append([])
        return lambda rows: taken[number].append(len(rows)) or SimpleNamespace(loss=rows.sum())

    found = step.sides(4, 8, 6, 2, steps=2, rival=counted)
    assert taken == [[step.SMALL_BATCH] * 4, []]
    for calls in (1, 2):
        found["rival"]()
        assert taken[1] == [6] * (step.WARM_UP + 2 * calls)


def test_memory_is_not_measured_at_a_point_of_a_curve_of_times():
    assert made_up(target=None, memory_limit_mb=None).measures_memory
    point = {"curve": ("d_sae", 768), "memory_limit_mb": None}
    assert not made_up(target=None, **point).measures_memory
    assert made_up(target=4.0, **point).measures_memory
    assert made_up(target=None, **{**point, "memory_limit_mb": 9.0}).measures_memory


def test_probing_is_not_timed_where_result_files_differ():
    probing = module("probing")
    probing.compare({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, ["a", "b"])
    for ours, rival in (
        ({"a": "1"}, {"a": "1", "b": "2"}),
        ({"a": "1", "b": "2"}, {"a": "1"}),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}),
    ):
        with pytest.raises(SystemExit, match=r"differ.*: b$"):
            probing.compare(ours, rival, ["a", "b"])
    with pytest.raises(SystemExit, match="1 result files for 2 tasks"):
        probing.compare({"a": "1"}, {"a": "1"}, ["a", "b"])


def test_the_readme_leaves_what_has_no_target_to_the_full_table():
    readme = module("readme")
    row = summary(workload="a point of a curve", target=None)
    assert "a point of a curve" not in readme.content([row], [])
    assert "| 10 ms per step | 60 ms per step |" in readme.content([row], [], full=True)


def test_start_up_times_are_held_against_their_limits():
    readme, tables = module("readme"), module("result_tables")
    found = [
        {"what": "import", "seconds": 0.2, "limit": 0.3},
        {"what": "dry run", "seconds": 6.0, "limit": 5.0},
        {"what": "other", "seconds": 1.0, "limit": None},
    ]
    rows = tables.start_up_rows(found, STAMP)
    assert [row["met"] for row in rows] == ["yes", "no", ""]
    text = "\n".join(readme.start_up_table(rows))
    assert "| import | 0.2 | 0.3 |" in text
    assert "| dry run | 6 | **above the limit of 5** |" in text


def test_the_documents_say_what_the_results_say():
    for path, wanted in module("readme").documents().items():
        assert path.read_text() == wanted, f"{path.name}: run python benchmarks/readme.py"


def test_the_summary_follows_from_the_rounds():
    tables = module("result_tables")
    rounds = tables.read(tables.RESULTS / tables.ROUNDS)
    for row in tables.read(tables.RESULTS / tables.SUMMARY):
        sides = {
            side: [
                float(r["seconds"]) for r in rounds if (r["name"], r["side"]) == (row["name"], side)
            ]
            for side in ("ours", "rival")
        }
        if row["error"]:
            assert sides == {"ours": [], "rival": []}
            continue
        found = sorted(tables.ratios(sides["ours"], sides["rival"]))
        assert float(row["smallest"]) == pytest.approx(found[0], rel=0.01), row["name"]
        assert float(row["largest"]) == pytest.approx(found[-1], rel=0.01), row["name"]
        middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
        assert float(row["ratio"]) == pytest.approx(middle, rel=0.01), row["name"]


def test_comparisons_are_named_once_and_have_finite_targets():
    known = [comparison for _, comparison in module("collect").everything()]
    names = [comparison.name for comparison in known]
    assert sorted(set(names)) == sorted(names)
    assert len(names) > 3
    for comparison in known:
        assert re.fullmatch(r"[a-z0-9._-]+", comparison.name), comparison.name
        assert comparison.room in module("readme").ROOMS, comparison.name
        assert comparison.unit.split()[0] in ("ms", "s"), comparison.name
        assert comparison.units >= 1
        assert comparison.rounds >= 1
        for wanted in (comparison.target, comparison.memory_limit_mb):
            assert wanted is None or (math.isfinite(wanted) and wanted > 0), comparison.name


def test_versions_of_rivals_are_those_pinned():
    collect = module("collect")
    pinned = set(collect.locked_versions().values())
    assert collect.version("sae-lens") == collect.locked_versions()["sae-lens"]
    for _, comparison in collect.everything():
        named = set(re.findall(r"\d+\.\d+(?:\.\d+)+", comparison.rival))
        assert named <= pinned, comparison.name


def test_a_comparison_that_fails_is_recorded_and_its_old_rows_go(tmp_path, monkeypatch):
    run, tables = module("run"), module("result_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(run.collect, "stamp", lambda: STAMP)
    found = {"time": SECONDS, "memory": 50.0}
    monkeypatch.setattr(run, "measure", lambda arguments, threads: found[arguments[0]])
    for name in ("a", "b"):
        assert "5 (3 to 7)" in run.compare("module", made_up(name=name), False, ["a", "b"])

    def fails(arguments, threads):
        raise run.Failed("ValueError: no")

    monkeypatch.setattr(run, "measure", fails)
    with pytest.raises(run.Failed):
        run.compare("module", made_up(name="a"), False, ["a", "b"])
    rows = tables.read(tmp_path / tables.SUMMARY)
    assert [(row["name"], row["ratio"], row["error"]) for row in rows] == [
        ("a", "", "ValueError: no"),
        ("b", "5", ""),
    ]
    assert {row["name"] for row in tables.read(tmp_path / tables.ROUNDS)} == {"b"}


def test_sides_take_turns_after_a_round_that_is_not_kept():
    calls = []
    sides = {side: (lambda side=side: calls.append(side)) for side in ("ours", "rival")}
    seconds = module("measuring").rounds_of(sides, 2)
    assert calls == ["ours", "rival", "ours", "rival", "rival", "ours"]
    assert {side: len(values) for side, values in seconds.items()} == {"ours": 2, "rival": 2}


def test_memory_is_what_a_call_holds_at_most():
    megabytes = module("measuring").memory_of(lambda: bytearray(64 * 2**20).count(0))
    assert 60 < megabytes < 80
