"""The interactive picture's data, held against the tables that it is made from."""

import base64
import gzip
import json
from contextlib import chdir
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import made_up
from correct_l0.report.data import open_study
from correct_l0.report.explore import (
    COLORS,
    curves_of,
    explore_seeds,
    explore_sweeps,
    packed_library,
)


@pytest.fixture(scope="module")
def study(made_up_study):
    with chdir(made_up_study):
        plan = made_up.plan()
        tables = Path(plan.results) / "tables"
        return open_study(plan, tables, tables / "verdict.json")


def test_every_value_of_every_seed_is_there(study):
    picture = json.loads(explore_seeds(study))
    titles = [curves.title for curves in curves_of(study)]
    assert titles[:2] == ["c_dec", "stability"]
    assert {"FVU", "dead latents"} <= set(titles)
    axes = {f"y{i + 1}".replace("y1", "y"): title for i, title in enumerate(titles)}
    points, table = {}, study.tables["c_dec"]
    for trace in picture["data"]:
        if axes[trace["yaxis"]] == "c_dec":
            assert len(trace["x"]) == len(trace["y"]) == len(trace["text"])
            points |= dict(zip(trace["text"], trace["y"], strict=True))
    assert points == {
        f"seed {seed}, target L0 {l0:g}": pytest.approx(value, rel=1e-4)
        for l0, seed, value in table[["l0", "seed", "value"]].itertuples(index=False)
    }


def test_a_legend_entry_switches_the_curves_of_a_seed_in_every_panel(study):
    data = json.loads(explore_seeds(study))["data"]
    entries = [trace["name"] for trace in data if trace["showlegend"]]
    assert len(entries) == len(set(entries))
    assert entries[: len(study.seeds)] == [f"seed {seed}" for seed in study.seeds]
    assert {trace["legendgroup"] for trace in data} == set(entries)
    of_seed = [trace for trace in data if trace["legendgroup"] == "seed 0"]
    assert len({trace["yaxis"] for trace in of_seed}) == len(of_seed) > 3
    assert {trace["line"]["color"] for trace in of_seed} == {COLORS[0]}


def test_the_answer_is_shaded_where_one_is_named(study):
    shapes = json.loads(explore_seeds(study))["layout"]["shapes"]
    named = study.named
    wanted = [(named["low"], named["high"]), (named["l0"], named["l0"])] if named else []
    assert [(shape["x0"], shape["x1"]) for shape in shapes] == wanted


def test_the_truth_is_drawn_where_it_is_known(study):
    verdict = study.verdict | {"true_l0": 11.0, "recovery": {"best": 12.0}}
    known = replace(study, verdict=verdict)
    wanted = [("L0 of best recovery", 12.0), ("true L0", 11.0)]
    sweeps = [("narrow", known, "#111111"), ("wide", known, "#222222"), ("real", study, "#333333")]
    for picture in (explore_seeds(known), explore_sweeps(sweeps)):
        shapes = json.loads(picture)["layout"]["shapes"]
        lines = [(x["label"]["text"], x["x0"]) for x in shapes if "label" in x]
        assert lines == wanted
        assert len({x["label"]["textposition"] for x in shapes if "label" in x}) == 2


def test_sweeps_are_switched_by_name(study):
    data = json.loads(explore_sweeps([("narrow", study, "#111111"), ("wide", study, "#222222")]))
    entries = [trace["name"] for trace in data["data"] if trace["showlegend"]]
    assert entries == ["narrow", "wide"]
    first = data["data"][0]
    assert first["text"][0].startswith("narrow, seed 0, target L0 ")
    colors = {trace["name"]: trace["line"]["color"] for trace in data["data"]}
    assert colors == {"narrow": "#111111", "wide": "#222222"}


def test_panels_lie_one_under_the_other(study):
    layout = json.loads(explore_seeds(study))["layout"]
    domains = [axis["domain"] for name, axis in layout.items() if name.startswith("yaxis")]
    assert domains[0][1] == 1
    assert all(low > below for (low, _), (_, below) in pairwise(domains))
    assert min(low for low, _ in domains) >= 0


def test_no_name_ends_the_script(study):
    text = explore_sweeps([("</script>", study, "#111111")])
    assert "</script>" not in text
    assert json.loads(text)["data"][0]["name"] == "</script>"


def test_of_no_point_there_is_no_picture(study):
    empty = replace(study, tables={name: table[:0] for name, table in study.tables.items()})
    assert explore_seeds(empty) == ""


def test_the_library_is_the_package_s_and_always_the_same_bytes():
    from plotly.offline import get_plotlyjs

    packed = packed_library()
    assert packed == packed_library()
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert len(packed) < 2_500_000
