"""The ledger's figures, page and words, of made-up studies."""

from __future__ import annotations

import pytest
from matplotlib import pyplot

import paper_made_up
from correct_l0.report.figures import draw_figures
from paper.claims.judgement import VERDICTS
from paper.claims.table import counts, judge_claims
from paper.figures import CAPTIONS, FIGURES
from paper.page import MARKS, render_page, render_summary

REFUSED = {"other/wide": "another world than the paper's (features: 50 -> 12)"}


@pytest.fixture(scope="module")
def tables():
    return paper_made_up.make_tables()


def test_every_figure_has_a_caption_and_every_verdict_a_colour():
    assert set(CAPTIONS) == set(FIGURES)
    assert set(MARKS) == set(VERDICTS)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_what_was_not_run_says_so(name, narrow):
    figure = FIGURES[name](paper_made_up.make_tables(experiments=False), narrow)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == ["not run"]
    pyplot.close(figure)


def test_transitions_are_drawn_one_line_each_and_open_where_they_stop(tables):
    figure = FIGURES["transitions"](tables, False)
    left, right = figure.axes
    ends = {
        round(float(line.get_ydata()[-1]), 2) for line in left.lines if len(line.get_xdata()) > 2
    }
    assert ends == {11.0, 7.27, 14.7}
    dots = [line for line in right.lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [False, False, True] * 2
    pyplot.close(figure)


def test_the_automatic_l0_has_a_panel_for_each_rule(tables):
    figure = FIGURES["auto_l0"](tables, False)
    titles = [ax.get_title("left") or ax.get_title() for ax in figure.axes]
    assert titles == [
        "The paper's rule, as the formula", "The paper's rule, as the text", "Beside it: descent",
        "Where it ends",
    ]  # fmt: skip
    pyplot.close(figure)


def test_page_and_words_have_every_claim_and_what_was_refused(tables, tmp_path):
    ledger = judge_claims(tables, {"sweep": ("toy-model/main", "lr 0.001 for 0.0003")})
    draw_figures(FIGURES, tables, tmp_path)
    page = render_page("A ledger", ledger, REFUSED, tmp_path)
    assert page.count('<tr id="claim-') == len(ledger) == 54
    assert page.count("toy-model/main") == page.count("lr 0.001 for 0.0003") > 10
    assert "http" not in page.replace("http://www.w3.org", "")
    words = render_summary("A ledger", ledger, REFUSED, "ledger.html")
    assert max(map(len, words.splitlines())) <= 100
    for name, count in counts(ledger).items():
        assert not count or f"{count} {name}" in words
    for text in (page, words):
        assert "another world than the paper" in text
