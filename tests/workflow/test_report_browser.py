"""The report in a real browser: nothing missing, nothing fetched, readable wide and narrow."""

import json
import os
import time
from pathlib import Path

import pytest

import made_up
from chromium import INSTALL, OVERFLOWING, SIZES, open_chromium
from correct_l0.report import figures_of

UNFOLD = "document.querySelectorAll('details').forEach(fold => fold.open = true)"


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as page:
        yield page


@pytest.fixture(scope="module")
def url(made_up_study) -> str:
    return (made_up_study / "results" / "made-up" / "report.html").as_uri()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_report_is_quiet_offline_and_fits(browser, url, width, dark):
    browser.open(url, width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [url]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert json.loads(browser.evaluate(OVERFLOWING)) == []
    browser.evaluate(UNFOLD)
    assert json.loads(browser.evaluate(OVERFLOWING)) == []
    images = json.loads(browser.evaluate(SIZES))
    assert sorted(i["id"] for i in images) == sorted(
        f"figure-{name}" for name in figures_of(made_up.plan())
    )
    for image in images:
        assert image["loaded"], image
        assert image["width"] > 0.8 * min(width, 1120), image
        assert image["height"] > 100, image
        assert len(image["alt"]) > 20, image
        assert image["narrow"] == (width == 390), image


@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_large_enough_to_read(browser, url, width):
    browser.open(url, width)
    smallest = browser.evaluate(
        """Math.min(...[...document.querySelectorAll("p, li, td, dd, figcaption")]
        .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
    )
    assert smallest >= 12
    # Text in the figures is 8 points of a figure 720 points wide, or 309.6 where narrow.
    drawn = 720 if width == 1280 else 309.6
    shown = browser.evaluate('document.querySelector("#figure-f1 img").clientWidth')
    assert 8 * shown / drawn >= 8


def test_table_sorts_on_click(browser, url):
    browser.open(url, 1280)
    column = """JSON.stringify([...document.querySelectorAll(".sortable tbody tr")]
      .map(r => Number(r.cells[%d].dataset.sort)))"""
    click = 'document.querySelectorAll(".sortable th button")[%d].click()'
    before = json.loads(browser.evaluate(column % 3))
    assert before != sorted(before)
    browser.evaluate(click % 3)
    assert json.loads(browser.evaluate(column % 3)) == sorted(before)
    browser.evaluate(click % 3)
    assert json.loads(browser.evaluate(column % 3)) == sorted(before, reverse=True)
    state = 'document.querySelectorAll(".sortable th")[3].getAttribute("aria-sort")'
    assert browser.evaluate(state) == "descending"
    browser.evaluate(click % 0)
    assert json.loads(browser.evaluate(column % 0))[:3] == [4, 4, 8]
    assert browser.evaluate(state) == "none"


def test_complaints_and_requests_are_noticed(browser, tmp_path):
    (tmp_path / "noisy.js").write_text("throw new Error('thrown')")
    page = tmp_path / "noisy.html"
    page.write_text("<script>console.error('logged')</script><script src='noisy.js'></script>")
    browser.open(page.as_uri(), 800)
    complaints = "".join(browser.complaints())
    assert "logged" in complaints
    assert "thrown" in complaints
    assert len(browser.requests()) >= 2


def test_a_missing_chromium_fails_with_the_install_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt-get install -y chromium"), open_chromium():
        pass
    assert "apt-get install" in INSTALL
    assert Path(os.environ["PATH"]) == tmp_path


DRAWN = "!!document.querySelector('#explore-plot .main-svg')"


def wait_for(browser, condition):
    for _ in range(200):
        if browser.evaluate(condition):
            return
        time.sleep(0.1)
    raise AssertionError(f"never: {condition}")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_picture_is_drawn_when_it_comes_into_view(browser, url, width):
    browser.open(url, width)
    assert browser.evaluate("typeof Plotly") == "undefined"
    browser.evaluate("document.querySelector('#explore').scrollIntoView()")
    wait_for(browser, DRAWN)
    assert browser.complaints() == []
    assert browser.requests() == [url]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    shown = "document.querySelectorAll('#explore-plot .scatterlayer .trace').length"
    before = browser.evaluate(shown)
    place = "document.querySelector('#explore-plot')"
    of_seed = f"{place}.data.filter(t => t.legendgroup === 'seed 0').length"
    # What a click on the legend does.
    browser.evaluate(
        f"void Plotly.restyle({place}, {{visible: 'legendonly'}}, {place}.data"
        ".map((t, i) => t.legendgroup === 'seed 0' ? i : -1).filter(i => i >= 0))"
    )
    wait_for(browser, f"{shown} === {before - browser.evaluate(of_seed)}")
    hovered = f"void Plotly.Fx.hover({place}, [{{curveNumber: 1, pointNumber: 0}}])"
    browser.evaluate(hovered)
    wait_for(browser, "!!document.querySelector('#explore-plot .hovertext')")
    told = browser.evaluate("document.querySelector('#explore-plot .hovertext').textContent")
    assert "target L0 4" in told


def test_without_scripts_nothing_of_it_shows(made_up_study):
    text = (made_up_study / "results" / "made-up" / "report.html").read_text()
    assert '<section id="explore" hidden>' in text
    assert len(text) < 8_000_000
