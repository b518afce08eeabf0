"""The sweeps of a made-up study side by side: rows, page, summary and figure."""

from __future__ import annotations

import re
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

import made_up
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest, write_json
from correct_l0.reading.calibrated import NOMINAL
from correct_l0.report.build import build_tables, build_verdict
from correct_l0.report.comparison.along import TOKENS, curves, growth, legend_of, width
from correct_l0.report.comparison.answers import answers_of, columns_of
from correct_l0.report.comparison.build import build_comparison
from correct_l0.report.comparison.figure import COLORS, MARKERS, compare
from correct_l0.report.comparison.page import caption_of, render_comparison_summary
from correct_l0.report.comparison.settings import comparison_figures, differing_settings
from correct_l0.report.data import StudyData
from correct_l0.report.names import preferred
from correct_l0.report.study import read_study
from correct_l0.saes.sections import Saes
from correct_l0.standing.stale import CODE_CHANGED
from correct_l0.standing.stale_comparison import find_comparison
from correct_l0.standing.stale_words import LOST, Stale
from correct_l0.study.config import parse_study
from correct_l0.study.plan import Plan

LOW, _, HIGH = made_up.interval(made_up.PEAKED)
TRAINING = {"training_tokens": 2_097_152, "batch_tokens": 1024, "lr": 1e-3}


def plans() -> list[Plan]:
    """The made-up study as two sweeps, the second wider and trained more gently."""
    raw = made_up.config()
    saes = raw.pop("saes")
    raw["sweeps"] = {
        "narrow": saes,
        "wide": {**saes, "d_sae": 1536, "training": {**TRAINING, "lr": 5e-4}},
    }
    return [Plan(config) for config in parse_study(raw)]


def read(plan: Plan, mcc=None, **shape) -> StudyData:
    """A sweep whose tables are made up, read as a study is."""
    tables = made_up.tables(**shape)
    if mcc is not None:
        tables["recovery"] = tables["points"][["l0", "l0_measured", "seed"]].assign(
            mcc=np.repeat(mcc, 2), share_recovered=0.5, true_l0=float("nan")
        )
    saes = plan.study.saes
    verdict = read_study(
        tables,
        d_sae=saes.d_sae,
        l0=sorted(saes.l0),
        training_tokens=saes.training.training_tokens,
    )
    mean_l0 = tables["points"].groupby("l0")["l0_measured"].mean()
    placed = {
        name: table.assign(x=table["l0"].map(mean_l0)) if "l0_measured" in table else table
        for name, table in tables.items()
    }
    return StudyData(plan, placed, verdict)


@pytest.fixture(scope="module")
def sweeps() -> list[StudyData]:
    """One whose peak is at 128, of known truth and stable; one that is flat and knows nothing."""
    narrow, wide = plans()
    first = read(narrow, mcc=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.7, 0.6), shared=made_up.PEAKED)
    first.verdict["true_l0"] = 118.04
    second = read(wide, c_dec=made_up.LEVEL, s_n={400: made_up.LEVEL})
    return [first, second]


class TestSettings:
    def test_only_what_differs_is_told_and_what_one_lacks_is_a_dash(self):
        plain = Saes(d_sae=64, l0=(2, 4), training=TRAINING)
        other = Saes(
            d_sae=64,
            l0=(4, 2),
            training={**TRAINING, "l0_schedule": {"kind": "linear", "end_l0": 8, "ramp_steps": 9}},
            overrides={4: {"lr": 0.5}},
            checkpoint_min=1,
            points_per_job=4,
        )
        assert differing_settings({"a": plain, "b": other}) == {
            "l0_schedule": ["–", "kind linear, end_l0 8, ramp_steps 9"],
            "lr at l0 4": ["–", "0.5"],
        }

    def test_architectures_and_what_they_sweep(self):
        topk = Saes(d_sae=64, l0=(2, 4), training=TRAINING, architecture={"name": "topk"})
        gated = Saes(d_sae=64, l0=(0.5, 1), training=TRAINING, architecture={"name": "gated"})
        told = differing_settings({"a": topk, "b": gated})
        assert told["architecture"] == ["topk", "gated"]
        assert (told["l0"], told["coefficient"]) == (["2 and 4", "–"], ["–", "0.5 and 1"])

    def test_sweeps_that_are_alike_differ_in_nothing(self):
        saes = Saes(d_sae=64, l0=(2, 4), training=TRAINING)
        named = Saes(d_sae=64, l0=(2, 4), training=TRAINING, architecture={"name": "batchtopk"})
        assert differing_settings({"a": saes, "b": named}) == {}


class TestAnswers:
    def test_rows(self, sweeps):
        narrow, wide = answers_of(sweeps)
        assert narrow.sweep == "narrow"
        assert narrow.settings == {"d_sae": "768", "lr": "0.001"}
        assert wide.settings == {"d_sae": "1,536", "lr": "0.0005"}
        # Of 0.85 x share + 0.15 at L0 128, where the share is 0.8: a mean cosine of 0.83.
        assert narrow.cells == {
            "l0": "120",
            "interval": " to ".join(f"{preferred(x):g}" for x in (LOW, HIGH)),
            "saes": "16",
            "stability": "80% (mean cosine 0.83)",
            "best_recovery": "128 (mean cosine 0.80)",
            "true_l0": "118",
        }
        assert wide.cells == dict.fromkeys(narrow.cells, "–") | {"saes": "16"}
        assert wide.headline.startswith("Flat: ")

    def test_a_best_recovery_at_an_end_is_said_to_be_one(self):
        sweep = read(plans()[0], mcc=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
        (answer,) = answers_of([sweep])
        assert answer.cells["best_recovery"] == "300, an end of the grid (mean cosine 0.80)"

    def test_columns_without_a_value_are_left_out(self, sweeps):
        assert list(columns_of(answers_of(sweeps))) == [
            "l0", "interval", "saes", "stability", "best_recovery", "true_l0",
        ]  # fmt: skip
        assert list(columns_of(answers_of(sweeps[1:]))) == ["l0", "interval", "saes"]


class TestFigure:
    def test_panels_bars_and_curves(self, sweeps):
        figure = compare(sweeps, False)
        top, c_dec, stability, f1, recovery = figure.axes
        assert [label.get_text() for label in top.get_yticklabels()] == ["narrow", "wide"]
        (bar,) = [line for line in top.get_lines() if line.get_linewidth() == 7]
        assert bar.get_xdata() == pytest.approx([LOW, HIGH])
        assert bar.get_ydata() == pytest.approx([0, 0])
        assert "no L0 named: flat" in {text.get_text() for text in top.texts}
        colors = [line.get_color() for line in c_dec.get_lines() if len(line.get_xdata()) == 8]
        assert colors == list(COLORS[:2])
        (curve,) = [line for line in stability.get_lines() if len(line.get_xdata()) == 8]
        assert curve.get_ydata() == pytest.approx(made_up.PEAKED)
        curves = [line.get_ydata() for line in f1.get_lines() if len(line.get_xdata()) == 8]
        assert curves == [pytest.approx(x.verdict["f1"]["16"]["means"]) for x in sweeps]
        for ax, y in ((recovery, 0.8), (top, 0)):
            (star,) = [line for line in ax.get_lines() if line.get_marker() == "*"]
            assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((128 * 1.003, y))
        assert recovery.get_xlim() == c_dec.get_xlim()
        labels = [label.get_text() for label in recovery.get_xticklabels()]
        assert labels == ["4", "8", "16", "32", "64", "128", "192", "300"]
        pyplot.close(figure)

    def test_without_truth_pairs_of_seeds_and_probes_there_is_c_dec_alone(self, sweeps):
        wide = sweeps[1]
        figure = compare([replace(wide, verdict=wide.verdict | {"f1": {}})], True)
        figure.draw_without_rendering()
        assert len(figure.axes) == 2
        pyplot.close(figure)

    def test_colour_and_mark_together_tell_many_sweeps(self):
        pairs = {(COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]) for i in range(56)}
        assert len(pairs) == 56

    def test_a_sweep_that_has_no_point_is_drawn_as_nothing(self, sweeps):
        empty = {name: table.iloc[:0] for name, table in sweeps[1].tables.items()}
        lost = StudyData(sweeps[1].plan, empty, sweeps[1].verdict)
        figure = compare([sweeps[0], lost], False)
        assert len([line for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 8]) == 1
        pyplot.close(figure)


def longer(*lengths: int, **changed) -> list[Plan]:
    """The made-up study as sweeps that are trained on so many tokens each."""
    raw = made_up.config()
    saes = raw.pop("saes") | changed
    raw["sweeps"] = {
        str(n): {**saes, "training": {**TRAINING, "training_tokens": n}} for n in lengths
    }
    return [Plan(config) for config in parse_study(raw)]


class TestGrowth:
    def test_it_is_drawn_of_three_lengths_and_nothing_else(self):
        assert comparison_figures(longer(10_240, 20_480, 40_960)) == ("comparison", "growth")
        assert comparison_figures(longer(10_240, 20_480)) == ("comparison",)
        wider = longer(10_240, 20_480)
        assert comparison_figures([*wider, plans()[1]]) == ("comparison",)

    def test_answers_and_curves_over_tokens(self):
        short, middle, long = longer(1_000_448, 2_000_896, 4_001_792)
        sweeps = [
            read(long, shared=made_up.PEAKED),
            read(short, c_dec=made_up.LEVEL, shared=(0.0,) * 8),
            read(middle, shared=made_up.PEAKED),
        ]
        means = curves(TOKENS, sweeps, "c_dec", "value")
        assert list(means.index) == [1_000_448, 2_000_896, 4_001_792]
        assert means.loc[1_000_448].to_numpy() == pytest.approx([0.05] * 8, abs=0.02)
        figure = growth(sweeps, False)
        figure.draw_without_rendering()
        named, c_dec, stability = figure.axes
        bars = [line for line in named.get_lines() if line.get_linewidth() == 7]
        assert [list(bar.get_xdata()) for bar in bars] == [[4_001_792] * 2, [2_000_896] * 2]
        assert bars[0].get_ydata() == pytest.approx([LOW, HIGH])
        (refused,) = named.texts
        assert refused.get_text() == "none: not reproducible"
        lines = [line for line in stability.get_lines() if len(line.get_xdata()) == 3]
        assert len(lines) == len(made_up.L0)
        assert lines[5].get_ydata() == pytest.approx([0.0, 0.8, 0.8])
        assert [text.get_text() for text in c_dec.get_xticklabels()] == ["1M", "2M", "4M"]


class TestWidth:
    WIDTHS = (768, 1536, 3072)

    def plans(self):
        raw = made_up.config() | {"hedging": {"new_latents": 4, "steps": 100}}
        saes = raw.pop("saes")
        raw["sweeps"] = {str(width): {**saes, "d_sae": width} for width in self.WIDTHS}
        # The widest has one L0 fewer: sweeps along a width may have other L0.
        raw["sweeps"]["3072"]["l0"] = saes["l0"][:-1]
        return [Plan(config) for config in parse_study(raw)]

    def test_it_is_drawn_of_three_widths_that_differ_in_nothing_else(self):
        plans = self.plans()
        assert comparison_figures(plans) == ("comparison", "width")
        assert comparison_figures(plans[:2]) == ("comparison",)

    def test_l0_named_and_metrics_over_the_latents(self):
        sweeps = []
        for plan, rate in zip(self.plans(), (0.3, 0.2, 0.1), strict=True):
            study = read(plan, mcc=made_up.MCC, shared=made_up.PEAKED)
            points = study.tables["points"][["l0", "l0_measured", "seed", "x"]]
            study.tables["hedging"] = points.assign(rate=rate)
            sweeps.append(replace(study, verdict=study.verdict | {"true_l0": 100.0}))
        figure = width(sweeps, False)
        figure.draw_without_rendering()
        named, _, _, hedging = figure.axes
        assert [ax.get_title() or ax.get_title("left") for ax in figure.axes][2:] == [
            "Stability: reproduced share", "Hedging rate",
        ]  # fmt: skip
        bars = [line for line in named.get_lines() if line.get_linewidth() == 7]
        assert [bar.get_xdata()[0] for bar in bars] == list(self.WIDTHS)
        for marker, l0 in (("*", 128 * 1.003), ("_", 100)):
            marks = [line for line in named.get_lines() if line.get_marker() == marker]
            assert [mark.get_ydata()[0] for mark in marks] == [pytest.approx(l0)] * 3
        assert hedging.get_lines()[0].get_ydata() == pytest.approx([0.3, 0.2, 0.1])
        assert [text.get_text() for text in named.get_xticklabels()] == ["768", "1,536", "3,072"]
        assert legend_of(sweeps) == {l0: f"{l0:g}" for l0 in made_up.L0}
        assert figure.axes[-1].get_legend().get_title().get_text() == "L0"
        told = [text.get_text() for text in named.get_yticklabels()]
        assert [f"{made_up.L0[0]:g}", f"{made_up.L0[-1]:g}"] == [told[0], told[-1]]

    def test_coefficients_have_the_measured_l0_beside_them(self):
        """L0 is half of the coefficient here, and 2% lower in the wider two."""
        raw = made_up.config()
        tanh = {"name": "jumprelu", "jumprelu_sparsity_loss_mode": "tanh"}
        saes = raw.pop("saes") | {"architecture": tanh}
        raw["sweeps"] = {
            "768": {**saes, "d_sae": 768},
            "1536": {**saes, "d_sae": 1536, "l0": saes["l0"][1:]},
            "3072": {**saes, "d_sae": 3072, "l0": saes["l0"][1:]},
        }
        plans = [Plan(config) for config in parse_study(raw)]
        assert comparison_figures(plans) == ("comparison", "width")
        sweeps = []
        for plan, factor in zip(plans, (0.5, 0.49, 0.49), strict=True):
            study = read(plan, shared=made_up.PEAKED)
            for table in study.tables.values():
                for name in {"x", "l0_measured"} & set(table):
                    table[name] = factor * table["l0"]
            sweeps.append(study)
        lowest, second, *_, top = made_up.L0
        told = legend_of(sweeps)
        assert told[second] == f"{second:g} ({0.49 * second:.3g} to {0.5 * second:.3g})"
        figure = width(sweeps, False)
        figure.draw_without_rendering()
        legend = figure.axes[-1].get_legend()
        assert legend.get_title().get_text() == "coefficient\n(measured L0)"
        assert legend.get_texts()[1].get_text() == told[second]
        ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert (ticks[0], ticks[-1]) == (f"{0.49 * lowest:g}", f"{0.5 * top:g}")


def test_caption_tells_of_what_is_drawn_only(sweeps):
    answers = answers_of(sweeps)
    assert "Dashed: the true L0" in caption_of(answers).text
    assert "star, on top too: best" in caption_of(answers).text
    plain = caption_of(answers[1:])
    assert not re.search("Stability|Recovery|true L0", plain.text)
    assert "within one architecture and loss only" in plain.text
    assert "wide: Flat: " in plain.alt


def test_summary_names_every_sweep_with_its_answer_and_report(sweeps):
    report = Path("results/made-up/report.html")
    text = render_comparison_summary("A study", answers_of(sweeps), report, [])
    lines = text.splitlines()
    assert lines[:4] == [
        "A study",
        "",
        f"narrow: {made_up.answer_in_words(made_up.PEAKED)}.",
        "  d_sae 768; lr 0.001",
    ]
    assert "  true L0: 118" in lines
    assert lines[-3:] == [
        "Report: results/made-up/report.html",
        "  narrow: results/made-up/narrow/report.html",
        "  wide: results/made-up/wide/report.html",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with two sweeps that are gathered and read, and their comparison."""
    folder = tmp_path_factory.mktemp("sweeps")
    with chdir(folder):
        for plan in plans():
            made_up.write_study(plan)
            tables = Path(plan.results) / "tables"
            build_tables(plan, tables, allow_gaps=True)
            build_verdict(plan, tables, tables / "verdict.json")
        build_comparison(plans(), Path("results/made-up/report.html"))
    return folder


def test_the_page_needs_nothing_and_links_to_the_reports(folder):
    page = (folder / "results" / "made-up" / "report.html").read_text()
    assert re.findall(r'href="([^"]*)"', page) == [
        "data:,", "narrow/report.html", "wide/report.html",
    ]  # fmt: skip
    assert not re.search(r"https?://|\bsrc=\"(?!data:)", page)
    assert page.count(f'class="headline">L0 about 120 ({NOMINAL:.0%} interval ') == 2
    assert "d_sae 1,536; lr 0.0005" in page
    assert "A made-up study" in page
    assert "best recovery" not in page


def test_the_manifest_says_what_the_page_was_made_from(folder):
    results = folder / "results" / "made-up"
    manifest = read_manifest(results / "report.manifest.json")
    assert manifest["parameters"] == '{"sweeps":["narrow","wide"]}'
    assert sorted(manifest["inputs"]) == [
        "narrow/tables", "narrow/verdict", "wide/tables", "wide/verdict",
    ]  # fmt: skip
    assert sorted(manifest["outputs"]) == [
        "figures/comparison.narrow.svg", "figures/comparison.png", "figures/comparison.svg",
        "report.html", "summary.txt",
    ]  # fmt: skip
    assert "results/made-up/wide/report.html" in (results / "summary.txt").read_text()


@pytest.fixture
def changed(folder, monkeypatch):
    """Change the content of a file below the study's folder; it is put back afterwards."""
    monkeypatch.chdir(folder)
    kept: dict[Path, bytes] = {}

    def change(name: str, content: bytes | None) -> None:
        path = Path("results/made-up") / name
        kept.setdefault(path, path.read_bytes())
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    yield change
    for path, content in kept.items():
        path.write_bytes(content)


def stale(which: list[Plan]) -> list[tuple[str, str]]:
    """Return room and reason of what does not stand of the comparison."""
    return [(x.room, x.reason) for x in find_comparison(which, {p.results: [] for p in which})]


class TestStale:
    def test_it_stands(self, changed):
        assert stale(plans()) == []

    def test_a_sweep_more_or_in_another_place(self, changed):
        assert stale(plans()[:1]) == [("comparison", "sweeps without wide")]
        assert stale(plans()[::-1]) == [("comparison", "sweeps in another order")]

    def test_a_verdict_of_another_digest(self, changed):
        manifest = read_manifest("results/made-up/wide/tables/verdict.manifest.json")
        changed("wide/tables/verdict.manifest.json", None)
        write_json("results/made-up/wide/tables/verdict.manifest.json", {**manifest, "recipe": 99})
        assert stale(plans()) == [("comparison", "made from another wide/verdict")]

    def test_other_code(self, changed):
        manifest = read_manifest("results/made-up/report.manifest.json")
        changed("report.manifest.json", None)
        write_json("results/made-up/report.manifest.json", {**manifest, "code": "x"})
        assert stale(plans()) == [("comparison", CODE_CHANGED)]

    def test_a_page_that_was_written_over(self, changed):
        changed("summary.txt", b"nothing")
        ((room, reason),) = stale(plans())
        assert (room, reason.startswith("summary.txt 7 bytes, not ")) == ("comparison", True)

    def test_a_lost_manifest(self, changed):
        changed("report.manifest.json", None)
        assert stale(plans()) == [("comparison", LOST)]

    def test_behind_a_sweep_that_does_not_stand_nothing_is_looked_at(self, changed):
        changed("summary.txt", b"nothing")
        narrow, wide = plans()
        found = {narrow.results: [], wide.results: [Stale("saes", "4", 0, "x", "damaged")]}
        assert find_comparison([narrow, wide], found) == []
        changed("wide/tables/verdict.manifest.json", None)
        assert stale([narrow, wide]) == []


def test_a_damaged_table_is_named(folder, changed):
    changed("wide/tables/c_dec.parquet", b"x")
    with pytest.raises(InputError, match=r"wide/tables/c_dec.parquet: 1 bytes, not"):
        build_comparison(plans(), Path("results/made-up/report.html"))
