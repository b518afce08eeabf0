"""The figures, the page and the summary of a made-up study."""

import re
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

import made_up
from correct_l0.report import FIGURES
from correct_l0.report.build import build_tables, build_verdict
from correct_l0.report.captions import captions
from correct_l0.report.data import open_study
from correct_l0.report.figures import FIGURES as DRAWN
from correct_l0.report.figures.style import BLUE, GREY
from correct_l0.report.page import full_table, notation, render_page
from correct_l0.report.summary import StageTime, render_summary, stage_times


@pytest.fixture(scope="module")
def results(made_up_study) -> Path:
    return made_up_study / "results" / "made-up"


@pytest.fixture(scope="module")
def study(made_up_study):
    with chdir(made_up_study):
        plan = made_up.plan()
        tables = Path(plan.results) / "tables"
        return open_study(plan, tables, tables / "verdict.json", with_cosines=True)


@pytest.fixture(scope="module")
def lonely_study(tmp_path_factory):
    """One L0, one seed, no probing."""
    with chdir(tmp_path_factory.mktemp("lonely")):
        plan = made_up.plan(l0=[32], seeds=[0])
        made_up.write_study(plan)
        shutil.rmtree(f"{plan.results}/probing")
        tables = Path(plan.results) / "tables"
        build_tables(plan, tables, allow_gaps=True)
        build_verdict(plan, tables, tables / "verdict.json")
        return open_study(plan, tables, tables / "verdict.json", with_cosines=True)


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


@pytest.mark.parametrize("name", FIGURES)
def test_a_single_point_without_probing_can_be_drawn(lonely_study, name):
    figure = DRAWN[name](lonely_study, True)
    figure.draw_without_rendering()
    pyplot.close(figure)


def test_a_single_point_has_a_page(lonely_study, results):
    page = render_page(lonely_study, results / "figures", {"code_versions": [], "packages": {}})
    assert "Too few points to read a curve (32)" in page
    assert 'id="gaps"' in page
    assert '<td>32</td><td>0</td><td>probing</td><td class="text">not run</td>' in page
    assert "<td>–</td><td>–</td><td>probing baselines</td>" in page


def test_histograms_and_cosines_are_those_of_the_lowest_middle_and_highest_l0(study):
    assert study.drawn_l0 == [4, 64, 300]
    assert sorted(study.cosines) == [4, 64, 300]
    assert study.cosines[64].shape == (768, 768)


def test_captions_name_axes_tokens_and_seeds(study):
    assert tuple(captions(study)) == FIGURES
    for caption in captions(study).values():
        assert caption.alt
        assert "cross" in caption.text or "both axes" in caption.text
        assert "seed" in caption.text
    main = captions(study)["decoder_metrics"].text
    assert "n = 48, 96, 154, 192, 230, 300, 340, 384" in main
    assert "131,072 held-out tokens" in main
    assert "dotted where L0 is not below n" in main
    assert "dotted where L0 is not below n" in captions(study)["s_n_dec"].text


def test_s_n_dec_is_solid_below_its_n_and_grey_where_it_is_not_counted(study):
    # the made-up curves name 128: not below 48 and 96
    figure = DRAWN["s_n_dec"](study, False)
    for ax in figure.axes[:3]:
        n = float(ax.get_title(loc="left").removeprefix("n = "))
        solid = [line for line in ax.get_lines() if line.get_color() == BLUE]
        drawn = np.concatenate([line.get_xdata() for line in solid if line.get_marker() != "v"])
        assert 32 < drawn.max() < n
        (minimum,) = [line for line in ax.get_lines() if line.get_marker() == "v"]
        assert minimum.get_color() == (GREY if n < 128 else BLUE)
    pyplot.close(figure)


def test_the_page_opens_with_the_answer(page):
    body = page.split("<main>")[1]
    assert body.index("L0 about 128 (between 64 and 192).") < body.index("<figure")
    figures = re.findall(r'id="figure-(\w+)"', body)
    assert figures[:3] == ["decoder_metrics", "f1", "reconstruction"]
    assert sorted(figures) == sorted(FIGURES)


def test_the_page_is_one_file_of_modest_size(page):
    assert len(page.encode()) < 8e6
    addresses = re.findall(r'(?:src|href|srcset|action)\s*=\s*"([^"]*)"', page)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in page
    assert not re.search(r"url\(\s*['\"]?(?!data:)", page)


def test_the_page_has_configuration_methods_and_provenance(page):
    assert "hook_name: blocks.3.hook_resid_post" in page
    assert "How each number was computed" in page
    assert "Held out by text" in page
    assert "of the default subset" in page
    assert "Made with correct-l0 0." in page
    assert "misleading" in page
    assert 'id="gaps"' not in page


def test_the_health_section_says_whether_c_dec_still_moved(page, study):
    health = page.split('id="figure-training"')[1].split("<section>")[0]
    for line in study.verdict["training_lines"]:
        assert str(notation(line)) in health
    assert "Stopped at half or at nine tenths of its training" in health
    assert "Was the training long enough?" in page
    assert study.verdict["training_lines"][1] in render_summary(study.verdict, "r", "t", [])


def test_full_table_has_every_point_and_sorts_by_full_numbers(study):
    table = full_table(study)
    assert len(table["rows"]) == 16
    assert table["columns"][:4] == ["target L0", "seed", "measured L0", "c_dec"]
    assert "s_n^dec, n = 384" in table["columns"]
    assert "F1, probe_k = 16" in table["columns"]
    first = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert first["target L0"] == {"text": "4", "sort": "4.0"}
    expected = study.tables["c_dec"].query("l0 == 4 and seed == 0")["value"].iloc[0]
    assert float(first["c_dec"]["sort"]) == expected
    training = study.tables["c_dec_training"].query("l0 == 4 and seed == 0")["c_dec"].tolist()
    moved = first["move of c_dec in the last tenth of training"]
    assert float(moved["sort"]) == pytest.approx(training[-2] - training[-1])
    assert float(first["waiting for data (share of training time)"]["sort"]) == 0.01


def test_the_page_tells_how_long_training_waited_for_data(page):
    """Sixteen trainings of 85 s, each with 1% waiting."""
    assert "23 min, 1.0% of it waiting for data" in page


def test_notation_escapes_everything_else():
    assert notation("<b>s_n^dec</b>") == "&lt;b&gt;<i>s</i><sub>n</sub><sup>dec</sup>&lt;/b&gt;"


def test_stage_times_sum_over_jobs(made_up_study, tmp_path):
    with chdir(made_up_study):
        times = stage_times("results/made-up/benchmarks")
    assert StageTime("train_sae", 16, 24.0, 1.5) in times
    (tmp_path / "read_curves.tsv").write_text("s\th:m:s\n0.25\t0:00:00\n")
    assert stage_times(tmp_path) == [StageTime("read_curves", 1, 0.25, 0.25)]
    assert stage_times(tmp_path / "none") == []


def test_summary_has_verdict_path_and_times(study):
    text = render_summary(study.verdict, "results/x/report.html", "Title", [
        StageTime("train_sae", 16, 1234.56, 99.5)
    ])  # fmt: skip
    assert text.startswith("Title\n\nL0 about 128 (between 64 and 192).\n")
    assert "Report: results/x/report.html" in text
    assert re.search(r"train_sae +16 +1234\.6 +99\.5", text)
    assert max(map(len, text.splitlines())) < 250
