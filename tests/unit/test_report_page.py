"""The figures, the page and the summary of a made-up study."""

import inspect
import re
import shutil
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from PIL import Image

import made_up
from correct_l0.reading.calibrated import NOMINAL
from correct_l0.reading.reading import FALLS, READ
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.report import FIGURES, figures_of
from correct_l0.report.build import build_tables, build_verdict
from correct_l0.report.captions import captions
from correct_l0.report.data import open_study
from correct_l0.report.figures import FIGURES as DRAWN
from correct_l0.report.figures.style import BLUE, GREY, set_theme
from correct_l0.report.figures.training import _l0_of_coefficients
from correct_l0.report.full_table import full_table
from correct_l0.report.names import preferred
from correct_l0.report.page import notation, render_page, tone_of
from correct_l0.report.summary import StageTime, render_summary, stage_times
from correct_l0.report.terms import TERMS, what_is_right


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
def world(tmp_path_factory):
    """The same curves over a synthetic world whose true L0 is 120: nothing probed."""
    return _read(tmp_path_factory.mktemp("world"), made_up.world_plan())


@pytest.fixture(scope="module")
def world_of_one_seed(tmp_path_factory):
    """The world with one seed: nothing to compare, either."""
    return _read(tmp_path_factory.mktemp("one_seed"), made_up.world_plan(seeds=[0]))


def _read(folder, plan):
    with chdir(folder):
        made_up.write_study(plan)
        tables = Path(plan.results) / "tables"
        build_tables(plan, tables)
        build_verdict(plan, tables, tables / "verdict.json")
        return open_study(plan, tables, tables / "verdict.json", with_cosines=True)


def page_of(study, folder) -> str:
    """The page of a study, every figure an empty one."""
    for name in figures_of(study.plan):
        for kind in ("svg", "narrow.svg"):
            (folder / f"{name}.{kind}").write_text('<svg viewBox="0 0 720 300"/>')
    return render_page(study, folder, {"code_versions": [], "packages": {}})


def drawn(study, name, narrow=False):
    set_theme()
    figure = DRAWN[name](study, narrow)
    figure.draw_without_rendering()
    pyplot.close(figure)
    return figure


def titles(figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in figure.axes]


@pytest.fixture(scope="module")
def page(results) -> str:
    return (results / "report.html").read_text()


def test_names_of_the_figures_are_those_the_workflow_declares():
    assert tuple(DRAWN) == FIGURES


OF_WORLD_ALONE = {"recovery"}
ASKED_FOR = {"trained_on", "hedging", "published"}
"""Those that a study has to ask for."""
OF_MODEL = [name for name in FIGURES if name not in OF_WORLD_ALONE | ASKED_FOR]


def test_a_study_has_the_figures_that_it_has_data_for(study, world, world_of_one_seed):
    probing, seeds = {"f1", "probing_tasks"}, {"stability"}
    assert list(figures_of(study.plan)) == OF_MODEL
    assert set(figures_of(world.plan)) == set(FIGURES) - ASKED_FOR - probing
    assert set(figures_of(world_of_one_seed.plan)) == set(FIGURES) - ASKED_FOR - probing - seeds
    wide = made_up.world_plan(d_sae=1025)
    assert set(figures_of(world.plan)) - set(figures_of(wide)) == {"decoder_cosines"}


@pytest.mark.parametrize("name", OF_MODEL)
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


@pytest.mark.parametrize("name", ["answer", "stability", "recovery"])
def test_every_figure_of_a_world_can_be_drawn(world, name):
    for narrow in (False, True):
        assert drawn(world, name, narrow).axes


def test_the_answers_picture_has_a_panel_for_what_the_study_has(study, world, world_of_one_seed):
    overlap = "$c_{dec}$: overlap of latents, lower is better"
    stability, recovery = (
        "Stability: latents that another seed finds",
        "Recovery of the true features",
    )
    probing, past = "Sparse probing: F1", "What $c_{dec}$ said with less training"
    assert titles(drawn(study, "answer")) == [overlap, stability, probing, past]
    assert titles(drawn(world, "answer")) == [overlap, stability, recovery, past]
    assert titles(drawn(world_of_one_seed, "answer")) == [overlap, recovery, past]


def lines_at(ax, value) -> list:
    """The lines across a panel, vertical or horizontal, that stand at a value."""
    return [
        line
        for line in ax.get_lines()
        for across in (list(line.get_xdata()), list(line.get_ydata()))
        if len(across) == 2 and across == pytest.approx([value, value])
    ]


def test_all_panels_of_the_picture_share_an_axis_the_interval_and_the_truth(world):
    decision, recovery = world.verdict["decision"], world.verdict["recovery"]
    figure = drawn(world, "answer")
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    for ax in figure.axes:
        (band,) = [patch for patch in ax.patches if patch.get_label() == "answer's interval"]
        left, right = band.get_extents().transformed(ax.transData.inverted()).intervalx
        assert (left, right) == pytest.approx((decision["low"], decision["high"]))
        assert len(lines_at(ax, 120.0)) == 1
        for where, label in (
            (decision["l0"], "answer's interval"), (recovery["best"], "L0 of best recovery"),
        ):  # fmt: skip
            assert [line.get_label() for line in lines_at(ax, where)] == [label]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        f"the answer: L0 about 120 ({interval_of(world)})", "L0 of best recovery: 128",
        "true L0: 120",
    ]  # fmt: skip


def interval_of(study) -> str:
    """The interval of a study's answer, in preferred numbers."""
    decision = study.verdict["decision"]
    return " to ".join(f"{preferred(decision[end]):g}" for end in ("low", "high"))


def test_the_peak_that_the_answer_is_read_from_is_marked(study):
    _, stability, *_ = drawn(study, "answer").axes
    peak = study.verdict["stability"]["peak"]
    assert marks(stability, "^") == [(peak["l0"], peak["height"])]
    table = study.tables["stability"]
    assert peak["height"] < table["reproduced_share"].iloc[0]


@pytest.mark.parametrize(
    "name", ["stability", "recovery", "reconstruction", "measured_l0", "training", "s_n_dec"]
)
def test_the_truth_is_drawn_into_every_figure_over_l0(world, name):
    over_l0 = [ax for ax in drawn(world, name).axes if "L0 (log)" in ax.get_xlabel()]
    assert over_l0
    assert all(lines_at(ax, 120.0) for ax in over_l0)


def test_the_truth_is_drawn_level_where_l0_goes_up(world):
    (ax,) = _l0_of_coefficients(world, False).axes
    levels = {line.get_label(): line.get_ydata()[0] for line in ax.get_lines()}
    assert levels["true L0"] == 120.0
    assert levels["L0 of best recovery"] == world.verdict["recovery"]["best"]


def test_no_truth_is_drawn_where_it_is_not_known(study):
    assert not any(lines_at(ax, 120.0) for ax in drawn(study, "answer").axes)


def test_chance_is_drawn(study):
    table = study.tables["stability"]
    overlap, stability, probing, _ = drawn(study, "answer").axes
    assert lines_at(overlap, study.tables["c_dec"]["random"].iloc[0])
    assert lines_at(stability, table["chance_share_above"].iloc[0])
    assert lines_at(stability, table["chance_reproduced_share"].iloc[0])
    assert lines_at(probing, 0.5)
    share, cosine, *_ = drawn(study, "stability").axes
    chance = table["chance_pw_mcc"].iloc[0]
    assert lines_at(share, 0.0)
    assert lines_at(share, 0.25)
    assert lines_at(cosine, chance)
    # halfway between chance and equal decoders
    assert lines_at(cosine, (1 + chance) / 2)


def test_controls_of_probing_are_drawn_where_there_are_any(study):
    *_, probing, _ = drawn(study, "answer").axes
    *_, whole = drawn(study, "f1").axes
    for ax in (probing, whole):
        crosses = [line for line in ax.get_lines() if line.get_marker() == "x"]
        assert [line.get_ydata() for line in crosses] == [pytest.approx([0.45] * 8)] * 2
        dotted = [line for line in ax.get_lines() if line.get_label() == "latents at random"]
        assert [line.get_ydata() for line in dotted] == [pytest.approx([0.47] * 8)] * 2
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend.count("shuffled labels") == 1
    for name in ("answer", "f1"):
        assert "both over 4 of the tasks" in captions(study)[name].text
    scores = study.tables["probing"].assign(f1_shuffled_labels=None, f1_permuted_latents=None)
    without = replace(study, tables=study.tables | {"probing": scores})
    assert "Controls" not in captions(without)["f1"].text
    *_, whole = drawn(without, "f1").axes
    assert not [line for line in whole.get_lines() if line.get_marker() == "x"]


def without_an_answer(study, outcome, leaning):
    """The study with another verdict: `decision` as that of a study that is refused."""
    decision = study.verdict["decision"] | {"leaning": leaning}
    return replace(study, verdict=study.verdict | {"outcome": outcome, "decision": decision})


@pytest.mark.parametrize("name", ["answer", "stability", "f1", "reconstruction", "s_n_dec"])
def test_without_an_answer_nothing_is_shaded_but_what_the_refusal_rests_on(study, name):
    refused = without_an_answer(study, "not trained enough", [64.0, 128.0])
    figure = drawn(refused, name)
    marked = [ax for ax in figure.axes if lines_at(ax, 64.0)]
    assert [ax.get_title("left") for ax in figure.axes if ax.get_lines() and ax not in marked] == (
        ["Whole scale"] if name == "f1" else []
    )
    for ax in marked:
        bars = [line for line in ax.get_lines() if line.get_label().startswith("points that a")]
        assert [list(bar.get_xdata()) for bar in bars] == [[64.0, 64.0], [128.0, 128.0]]
        assert "answer's interval" not in [patch.get_label() for patch in ax.patches]
    assert "Orange bars: the points" in captions(refused)[name].text
    assert "Shaded" not in captions(refused)[name].text


def test_without_an_answer_the_picture_says_so(study):
    points = [study.l0_of(64), study.l0_of(128)]
    for leaning, where in ((points, ", by the points at L0 64 to 128"), ([], "")):
        figure = drawn(without_an_answer(study, "metrics disagree", leaning), "answer")
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend == [f"no L0 is named: metrics disagree{where}"]


def test_where_seeds_differ_the_points_at_which_they_do_are_shaded(study):
    refused = without_an_answer(study, NOT_REPRODUCIBLE, [study.l0_of(x) for x in (4, 64, 128)])
    differing = [study.l0_of(64), study.l0_of(128)]
    refused.verdict["decision"]["reproducibility"] = {"differing": differing}
    assert refused.refused_by == differing
    legend = [text.get_text() for text in drawn(refused, "answer").legends[0].get_texts()]
    assert legend == ["no L0 is named: not reproducible, by the points at L0 64 to 128"]


def marks(ax, marker) -> list[tuple[float, float]]:
    """Where a panel has a marker."""
    found = [line for line in ax.get_lines() if line.get_marker() == marker]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in found]


def test_what_less_training_said_is_drawn_on_the_axis_of_the_answer(study):
    *_, past = drawn(study, "answer").axes
    c_dec = study.verdict["c_dec"]
    assert [y for _, y in marks(past, "o")] == pytest.approx([i / 10 for i in range(1, 11)])
    assert marks(past, "o")[-1] == (c_dec["best"], 1.0)
    (interval,) = [
        list(line.get_xdata()) for line in past.get_lines() if list(line.get_ydata()) == [1.0, 1.0]
    ]
    assert interval == [c_dec["low"], c_dec["high"]]


def test_a_tenth_that_named_no_l0_is_drawn_where_its_curve_was_lowest(study):
    """At first c_dec fell to the end of the grid, then from its start, then it was level."""
    table = study.tables["c_dec_training"].copy()
    tenth = (10 * table["step"] / table["step"].max()).astype(int)
    order = np.log(table["l0"])
    table.loc[tenth == 1, "c_dec"] = 0.07 - 0.005 * order
    table.loc[tenth == 2, "c_dec"] = 0.03 + 0.005 * order
    table.loc[tenth == 3, "c_dec"] = 0.05 + 1e-6 * table["seed"]
    changed = replace(study, tables=study.tables | {"c_dec_training": table})
    *_, past = drawn(changed, "answer").axes
    grid = sorted(study.tables["points"]["x"].unique())
    assert marks(past, ">") == [(pytest.approx(grid[-1]), 0.1)]
    assert marks(past, "<") == [(pytest.approx(grid[0]), 0.2)]
    assert [y for _, y in marks(past, "x")] == [0.3]
    assert len(marks(past, "o")) == 7


def test_the_answer_after_each_tenth_is_drawn_where_it_is_known(study):
    """At first refused, then above the grid, then nowhere, and named from the fourth tenth on."""
    end = sorted(study.tables["points"]["x"].unique())[-1]
    refused = [("not trained enough", 60.0), (FALLS, end), ("no peak", None)]
    stops = [
        {"tenth": i, "outcome": outcome, "place": place, "l0": None, "low": None, "high": None}
        for i, (outcome, place) in enumerate(refused, 1)
    ] + [
        {
            "tenth": i,
            "outcome": READ,
            "place": 60 + i,
            "l0": 60 + i,
            "low": 50.0,
            "high": 90.0,
        }
        for i in range(4, 11)
    ]
    along = pd.concat(
        study.tables["stability"].assign(step=100 * i, tokens=1000 * i) for i in range(1, 11)
    )
    known = replace(
        study,
        verdict=study.verdict | {"course": {"stops": stops, "unknown": ""}},
        tables=study.tables | {"stability_training": along},
    )
    *_, past = drawn(known, "answer").axes
    assert past.get_title(loc="left") == "The answer with less training"
    assert marks(past, "x") == [(60.0, 0.1)]
    assert marks(past, ">") == [(end, 0.2)]
    assert marks(past, "o") == [(60 + i, i / 10) for i in range(4, 11)]
    course = [ax for ax in drawn(known, "stability").axes
              if ax.get_title(loc="left") == "Along the training"]  # fmt: skip
    assert len(course) == 2
    first, *_ = course[0].get_lines()
    assert list(first.get_xdata()) == [1000 * i for i in range(1, 11)]
    column = "reproduced share at half of the training"
    assert column not in full_table(study)["columns"]
    with_course = full_table(replace(known, tables=known.tables | {
        "stability_training": along.assign(reproduced_share=0.25)}))  # fmt: skip
    row = dict(zip(with_course["columns"], with_course["rows"][0], strict=True))
    assert float(row[column]["sort"]) == 0.25
    assert "as they stood after each tenth" in captions(known)["stability"].text
    assert "the answer as it would have been" in captions(known)["answer"].text


@pytest.mark.parametrize("name", OF_MODEL)
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
    assert list(captions(study)) == OF_MODEL
    for caption in captions(study).values():
        assert caption.alt
        assert "cross" in caption.text or "both axes" in caption.text
        assert "seed" in caption.text
    main = captions(study)["s_n_dec"].text
    assert "n = 48, 96, 154, 192, 230, 300, 340, 384" in main
    assert "131,072 held-out tokens" in main
    assert "dotted where L0 is n or more" in main
    assert "chance" in captions(study)["answer"].text
    assert "1 pair at each L0" in captions(study)["stability"].text


def test_no_caption_names_a_side():
    """On a phone panels stand under each other."""
    source = Path(inspect.getfile(captions)).read_text()
    assert re.findall(r"\b(?:Left|Right|Top|Bottom)\b|\bon the (?:left|right)\b", source) == []


def test_a_true_l0_that_a_person_tells_is_drawn_like_that_of_a_world(study):
    def places(study) -> list[float]:
        lines = drawn(study, "reconstruction").axes[0].lines
        return [line.get_xdata()[0] for line in lines if line.get_label() == "true L0"]

    told = replace(study, verdict={**study.verdict, "true_l0": 120.0})
    assert places(told) == [120.0] and places(study) == []
    assert " Vertical: dotted, the true L0." in captions(told)["reconstruction"].text


def test_captions_speak_of_the_truth_where_it_is_known(study, world):
    assert "true L0" in captions(world)["reconstruction"].text
    assert "true L0" not in captions(study)["reconstruction"].text
    assert "Recovery: true features" in captions(world)["answer"].text
    assert "probes" not in captions(world)["answer"].text


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


def test_the_page_opens_with_the_answer(page, study):
    body = page.split("<main>")[1]
    assert body.index("</abbr> about 120 (<abbr") < body.index("<figure")
    assert f">{NOMINAL:.0%} interval</abbr> {interval_of(study)})." in body
    figures = re.findall(r'id="figure-(\w+)"', body)
    assert figures[:3] == ["answer", "stability", "f1"]
    assert sorted(figures) == sorted(OF_MODEL)
    assert body.index('id="detail"') < body.index('id="figure-s_n_dec"')


def test_terms_are_explained_once_in_the_answer_and_all_in_a_box(page):
    answer, rest = page.split("<main>")[1].split('id="words"')
    assert answer.count("<abbr title") == len(set(re.findall(r"<abbr[^>]*>(.*?)</abbr>", answer)))
    for term in ("elbow", "L0", "F1", "matched above 0.9"):
        assert f">{term}</abbr>" in answer
        assert f"<dt>{term}</dt>" in rest
    assert "<abbr" not in rest
    for word in ("raggedness", "training unit", "names an L0 not below n."):
        assert word not in page


def test_the_page_of_a_world_says_what_it_is_and_holds_the_answer_against_the_truth(
    world, tmp_path
):
    text = page_of(world, tmp_path)
    assert "600 features that fire, in 384 dimensions" in text
    assert "random directions and fire with probabilities of 0.2, independently" in text
    assert "<dt>True L0</dt><dd>120</dd>" in text
    truth = world.verdict["truth_line"]
    assert truth.endswith(f"Both lie inside the answer's interval, {interval_of(world)}.")
    assert "recovered best at" in text.split('class="truth"')[1].split("</p>")[0]
    for absent in ("Held out by text", "robing", "F1 with", "no F1 scores", 'id="figure-f1"'):
        assert absent not in text
    assert world.verdict["agreement"] == (
        "c_dec says about 128 (between 64 and 192), inside the interval and s_n^dec says about 128 "
        "(between 64 and 192), inside the interval."
    )


def test_the_page_of_one_seed_has_no_stability(world_of_one_seed, tmp_path):
    text = page_of(world_of_one_seed, tmp_path)
    assert 'id="figure-stability"' not in text
    assert "<dt>Stability</dt>" not in text
    assert "matched above 0.9" not in text.split("<main>")[1].split("<details")[0]
    assert "Whether another seed finds the same latents is unknown" in text


def test_what_an_answer_is_right_for(study, world, world_of_one_seed):
    assert what_is_right(study.verdict) == (
        "Right means latents that mix features least, and that another seed finds too: where the "
        "features are known, the L0 that recovers them best; F1 may peak at another L0 (in "
        "SynthSAEBench it does so below the true one)."
    )
    assert what_is_right(world.verdict) == what_is_right(study.verdict)
    assert (tone_of(study.verdict), tone_of(world_of_one_seed.verdict)) == ("answer", "open")
    assert what_is_right(world_of_one_seed.verdict).startswith(
        "Right means latents that mix features least; F1 may"
    )
    unscored = world_of_one_seed.verdict | {"f1": {}, "recovery": None}
    assert what_is_right(unscored) == "Right means latents that mix features least."
    assert what_is_right(study.verdict | {"outcome": "flat"}) == ""
    assert all(text.endswith(".") for text in TERMS.values())


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
    assert str(notation(study.verdict["course_line"])) in health
    summary = render_summary(study.verdict, "r", "t", [])
    assert study.verdict["training_lines"][1] in summary
    assert study.verdict["course_line"] in summary


def test_full_table_has_every_point_and_sorts_by_full_numbers(study):
    table = full_table(study)
    assert len(table["rows"]) == 16
    assert table["columns"][:4] == ["target L0", "seed", "measured L0", "c_dec"]
    assert "s_n^dec, n = 384" in table["columns"]
    assert "F1, probe_k = 16" in table["columns"]
    assert "MCC with the true features" not in table["columns"]
    first = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert first["target L0"] == {"text": "4", "sort": "4.0"}
    expected = study.tables["c_dec"].query("l0 == 4 and seed == 0")["value"].iloc[0]
    assert float(first["c_dec"]["sort"]) == expected
    training = study.tables["c_dec_training"].query("l0 == 4 and seed == 0")["c_dec"].tolist()
    moved = first["move of c_dec in the last tenth of training"]
    assert float(moved["sort"]) == pytest.approx(training[-2] - training[-1])
    assert float(first["waiting for data (share of training time)"]["sort"]) == 0.01


def test_full_table_of_a_world_has_stability_and_recovery(world, world_of_one_seed):
    table = full_table(world)
    row = dict(zip(table["columns"], table["rows"][11], strict=True))
    assert (row["target L0"]["text"], row["seed"]["text"]) == ("128", "1")
    # 461 of 768 latents; recovery of the second seed is .95 + .002
    shared = "latents that another seed finds (share matched above 0.9)"
    assert float(row[shared]["sort"]) == pytest.approx(461 / 768)
    assert float(row["MCC with the true features"]["sort"]) == pytest.approx(0.952)
    assert float(row["features recovered (share above 0.9)"]["sort"]) == pytest.approx(0.952**2)
    assert shared not in full_table(world_of_one_seed)["columns"]
    assert not any("probe_k" in column for column in table["columns"])


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
    assert text.startswith(
        f"Title\n\nL0 about 120 ({NOMINAL:.0%} interval {interval_of(study)}).\n"
    )
    assert "Report: results/x/report.html" in text
    assert re.search(r"train_sae +16 +1234\.6 +99\.5", text)
    assert max(map(len, text.splitlines())) < 250
