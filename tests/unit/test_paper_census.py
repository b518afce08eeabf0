"""The census of open SAEs: the paper's figure 9, and the page that is committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correct_l0.provenance.manifest import write_json
from correct_l0.saes.imported.listing import releases
from paper.census import PAGE, answers, census, draw, page, summary

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def saes():
    return census(releases())


def test_the_papers_figure_is_had_again(saes):
    by_rule = summary(saes[saes["on_neuronpedia"]])
    assert (by_rule["SAEs"], by_rule["median"]) == (739, 50)
    assert round(by_rule["below"], 2) == 0.96
    assert (saes["l0"] > 0).all() and len(saes) > 10_000


def test_the_page_is_what_is_committed(saes):
    assert page(saes, []) == (ROOT / PAGE).read_text()
    ax = draw(saes).axes[0]
    # Bars of both histograms add up to all SAEs of an L0 between 2 and 2,000.
    heights = [sum(bar.get_height() for bar in bars) for bars in ax.containers]
    assert heights == pytest.approx([100, 100], abs=0.5)


def test_answers_of_finished_studies_come_into_the_page(saes, tmp_path):
    for study, origin in (("scope", "google/gemma-scope-2b-pt-res"), ("other", "me/mine")):
        tables = tmp_path / study / "tables"
        settings = {"saes": {"origin": origin, "layer": "12", "d_sae": 16384}}
        write_json(tables / "manifest.json", {"parameters": json.dumps(settings)})
        said = {"headline": "L0 above 176.", "decision": {"low": None, "high": None}}
        write_json(tables / "verdict.json", said)
    (found,) = answers(tmp_path, {*saes["repository"]})
    assert (found["study"], found["headline"]) == ("scope", "L0 above 176.")
    row = "| scope | google/gemma-scope-2b-pt-res, layer 12, 16,384 latents | L0 above 176. |"
    assert row in page(saes, [found]).splitlines()
