"""The figures, the page and the summary of a made-up toy study."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from PIL import Image

import toy_made_up
from correct_l0.toy_model.report import FIGURES
from correct_l0.toy_model.report.build import build_toy_verdict
from correct_l0.toy_model.report.captions import NOT_RUN, toy_captions
from correct_l0.toy_model.report.claims.judgement import VERDICTS
from correct_l0.toy_model.report.claims.ledger import CLAIMS
from correct_l0.toy_model.report.data import TEXT_COLUMNS, open_toy_study, typed
from correct_l0.toy_model.report.figures import FIGURES as DRAWN
from correct_l0.toy_model.report.methods import SHARED, TOY_METHODS
from correct_l0.toy_model.report.page import MARKS, auto_table, toy_table
from correct_l0.toy_model.settings import ToyStudy
from correct_l0.toy_model.tables import COLUMNS

EXPERIMENTS = (
    "toy_transitions", "toy_transition_cosines", "toy_auto_l0", "toy_small_model", "toy_mixing",
    "toy_superposition", "toy_jumprelu",
)  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "results"
    return toy_made_up.build_report(toy_made_up.make_study(), toy_made_up.make_tables(), folder)


@pytest.fixture(scope="module")
def study(results):
    tables = results / "tables"
    return open_toy_study(toy_made_up.make_study(), tables, tables / "verdict.json")


@pytest.fixture(scope="module")
def lonely(tmp_path_factory):
    """One L0, one seed, no experiments: a study and the folder of its report."""
    config = toy_made_up.make_study().model_dump(mode="json", exclude_defaults=True)
    config["saes"] |= {"l0": [11], "seeds": [0]}
    config.pop("experiments")
    study = ToyStudy.model_validate(config)
    tables = toy_made_up.make_tables(grid=(11,), seeds=(0,), experiments=False)
    folder = tmp_path_factory.mktemp("lonely") / "results"
    toy_made_up.build_report(study, tables, folder)
    return open_toy_study(study, folder / "tables", folder / "tables" / "verdict.json"), folder


@pytest.fixture(scope="module")
def page(results) -> str:
    return (results / "report.html").read_text()


def test_names_of_the_figures_are_those_the_workflow_declares():
    assert tuple(DRAWN) == FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_there_sharp_and_not_empty(results, name):
    with Image.open(results / "figures" / f"{name}.png") as image:
        assert min(image.info["dpi"]) >= 150
        assert image.width >= 1500
        assert np.asarray(image.convert("L")).std() > 5
    wide, narrow = (
        (results / "figures" / f"{name}{kind}.svg").read_text() for kind in ("", ".narrow")
    )
    widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) for svg in (wide, narrow)]
    assert widths == [720, pytest.approx(309.6)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_figure_of_an_experiment_that_was_not_run_says_so(lonely, name):
    figure = DRAWN[name](lonely[0], True)
    (ax,) = figure.axes
    assert "not run in this study" in ax.texts[0].get_text()
    pyplot.close(figure)
    assert toy_captions(lonely[0])[name].text.endswith(NOT_RUN)


@pytest.mark.parametrize("name", FIGURES)
def test_no_rows_at_all_can_be_drawn(study, name):
    empty = {table: rows.iloc[:0] for table, rows in study.tables.items()}
    figure = DRAWN[name](type(study)(study.study, empty, study.verdict), False)
    figure.draw_without_rendering()
    pyplot.close(figure)


@pytest.mark.parametrize("name", [
    "toy_decoder_metrics", "toy_recovery", "toy_reconstruction", "toy_s_n_dec",
    "toy_superposition", "toy_jumprelu", "toy_auto_l0", "toy_transitions",
])  # fmt: skip
def test_the_truth_is_drawn_in(study, name):
    figure = DRAWN[name](study, False)
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    drawn = {x for line in lines for x in (*line.get_xdata(), *line.get_ydata())}
    assert toy_made_up.TRUTH in drawn
    pyplot.close(figure)


def test_every_seed_is_drawn(study):
    figure = DRAWN["toy_decoder_metrics"](study, False)
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == len(study.tables["c_dec"])
    pyplot.close(figure)


def test_runs_that_stop_on_their_way_are_drawn_open(study):
    figure = DRAWN["toy_transitions"](study, False)
    ends = figure.axes[1]
    faces = [line.get_markerfacecolor() for line in ends.get_lines() if line.get_marker() == "o"]
    labels = [label.get_text() for label in ends.get_yticklabels()]
    short = [face == "white" for face in faces]
    assert [("14.7" in label or "7.27" in label) for label in labels] == short
    assert sum(short) == 2
    pyplot.close(figure)


def test_captions_name_axes_n_samples_and_seeds(study):
    assert set(toy_captions(study)) == set(FIGURES)
    for name, caption in toy_captions(study).items():
        assert caption.alt, name
        assert "cross" in caption.text or "both axes" in caption.text, name
        assert re.search(r"\bseeds?\b|Seeds", caption.text), name
        assert re.search(r"\bn = |no n\b|n plays|n play\b|published n", caption.text), name
        assert re.search(r"[\d,]+ (other )?samples", caption.text), name
    assert "n = 12, 18, 20, 22" in toy_captions(study)["toy_decoder_metrics"].text


def test_the_page_opens_with_the_verdict_then_the_ledger_then_the_figures(page):
    body = page.split("<main>")[1]
    places = [
        body.index(mark)
        for mark in ('id="answer"', "L0 about 10 (between 8 and 12).", "The true L0 is 10.95",
                     'id="ledger"', "<figure", 'id="numbers"', 'id="methods"')
    ]  # fmt: skip
    assert places == sorted(places)
    assert tuple(re.findall(r'id="figure-(\w+)"', body)) == FIGURES


def test_the_page_is_one_file_of_modest_size(page):
    assert len(page.encode()) < 8e6
    addresses = re.findall(r'(?:src|href|srcset|action)\s*=\s*"([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in page
    assert not re.search(r"url\(\s*['\"]?(?!data:)", page)
    places = set(re.findall(r'id="([^"]*)"', page))
    assert {address[1:] for address in addresses if address.startswith("#")} <= places


@pytest.mark.parametrize("which", ["whole", "lonely"])
def test_nothing_is_left_unfilled(which, page, lonely):
    text = page if which == "whole" else (lonely[1] / "report.html").read_text()
    shown = re.sub(r"<(style|script)>.*?</\1>|base64,[^\"]*", "", text, flags=re.S)
    assert not re.search(r"\{\{|\}\}|\{%|%\}|\bnan\b|\bNone\b|\bundefined\b", shown)


def test_the_ledger_has_a_row_with_a_coloured_verdict_for_every_claim(page, study):
    rows = re.findall(r'<tr id="claim-(\w+)">(.*?)</tr>', page, flags=re.S)
    assert [name for name, _ in rows] == [claim.name for claim in CLAIMS]
    verdicts = study.tables["claims"].set_index("name")["verdict"]
    for name, row in rows:
        assert f'<span class="mark {MARKS[verdicts[name]]}">{verdicts[name]}</span>' in row
    assert set(MARKS) == set(VERDICTS)


def test_the_page_has_methods_configuration_and_provenance(page):
    assert "Where the paper contradicts itself" in page
    assert "features: 20" in page
    assert "Made with correct-l0 0.0." in page
    assert [name for name, _ in TOY_METHODS if name in SHARED] == list(SHARED)


def test_a_single_point_has_a_page(lonely):
    text = (lonely[1] / "report.html").read_text()
    assert "Too few points to read a curve (11)" in text
    assert "names no L0" in text
    assert "Not run in this study." in text


def test_the_table_of_points_has_every_number(study):
    table = toy_table(study)
    assert len(table["rows"]) == len(study.tables["points"])
    assert table["columns"][:4] == ["target L0", "seed", "measured L0", "c_dec"]
    assert "s_n^dec, n = 25, raw norms" in table["columns"]
    first = dict(zip(table["columns"], table["rows"][0], strict=True))
    expected = study.tables["c_dec"].query("l0 == 1 and seed == 0")["value"].iloc[0]
    assert float(first["c_dec"]["sort"]) == expected


def test_how_each_rule_fared_from_each_start(study, page, lonely):
    rows = auto_table(study.tables["auto_l0"], study.truth)
    assert [(row["rule"], row["start"]) for row in rows[:4]] == [
        ("the paper's, as the formula", start) for start in ("25", "20", "15", "5")
    ]  # fmt: skip
    assert rows[0]["found"] == "3 of 3"
    assert rows[0]["ends"] == "11.2 (11.2 in each seed)"
    assert rows[3]["found"] == "0 of 3"
    assert rows[3]["failed"] == "ended at 5.5"
    assert [row["rule"] for row in rows[4::4]] == ["the paper's, as the text", "step down"]
    assert page.count("<td>step down</td>") == 4
    assert 'id="auto"' not in (lonely[1] / "report.html").read_text()


def test_the_summary_has_verdict_truth_counts_every_claim_and_the_report(results):
    text = (results / "summary.txt").read_text()
    assert text.startswith("A made-up toy study\n\nL0 about 10 (between 8 and 12).\nThe true L0")
    assert f"Of the paper's {len(CLAIMS)} claims: " in text
    assert text.rstrip().endswith(f"Report: {results}/report.html")
    assert max(map(len, text.splitlines()[:-1])) <= 100
    flat = " ".join(text.split())
    for claim in CLAIMS:
        assert " ".join(claim.claim.split()) in flat


def test_the_claims_are_written_as_parquet_and_csv(results, study):
    read = pd.read_csv(results / "tables" / "claims.csv", keep_default_na=False)
    assert read["verdict"].tolist() == study.tables["claims"]["verdict"].tolist()


def test_the_same_tables_give_the_same_bytes(results, tmp_path):
    again = tmp_path / "tables"
    toy_made_up.write_tables(again, toy_made_up.make_tables())
    build_toy_verdict(toy_made_up.make_study(), again, again / "verdict.json")
    for name in ("verdict.json", "claims.csv"):
        assert (again / name).read_bytes() == (results / "tables" / name).read_bytes()


def test_a_table_without_rows_keeps_its_columns_as_numbers():
    table = typed(pd.DataFrame(), COLUMNS["auto_l0"])
    assert tuple(table.columns) == COLUMNS["auto_l0"]
    kinds = {name: kind.kind for name, kind in table.dtypes.items()}
    assert all(kinds[name] == "f" for name in kinds if name not in TEXT_COLUMNS)
