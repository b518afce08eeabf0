"""The toy report in a real browser: nothing missing, nothing fetched, readable wide and narrow."""

import json

import pytest

import toy_made_up
from chromium import OVERFLOWING, SIZES, open_chromium
from correct_l0.toy_model.report import FIGURES


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as page:
        yield page


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    results = tmp_path_factory.mktemp("toy") / "results"
    toy_made_up.build_report(toy_made_up.make_study(), toy_made_up.make_tables(), results)
    return (results / "report.html").as_uri()


@pytest.mark.parametrize("width", [1280, 800, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_report_is_quiet_offline_and_fits(browser, url, width, dark):
    browser.open(url, width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [url]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert json.loads(browser.evaluate(OVERFLOWING)) == []
    images = json.loads(browser.evaluate(SIZES))
    assert [i["id"] for i in images] == [f"figure-{name}" for name in FIGURES]
    for image in images:
        assert image["loaded"], image
        assert image["height"] > 60, image
        assert len(image["alt"]) > 20, image
        assert image["narrow"] == (width == 390), image


@pytest.mark.parametrize("width", [1280, 390])
def test_the_whole_ledger_can_be_read_without_scrolling_sideways(browser, url, width):
    browser.open(url, width)
    hidden = """(() => { const box = document.querySelector("#ledger .scroll");
      return box.scrollWidth - box.clientWidth; })()"""
    assert browser.evaluate(hidden) <= 0
    smallest = browser.evaluate(
        """Math.min(...[...document.querySelectorAll("p, li, td, td span, dd, figcaption")]
        .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
    )
    assert smallest >= 12


def test_a_row_of_the_ledger_leads_to_its_figure(browser, url):
    browser.open(url, 1280)
    browser.evaluate('document.querySelector("#claim-c_dec a").click()')
    assert browser.evaluate("location.hash") == "#figure-toy_decoder_metrics"
    top = 'document.querySelector(":target").getBoundingClientRect().top'
    assert abs(browser.evaluate(top)) < 5
