"""The curves of a toy study held against the truth."""

import json

import pytest

import toy_made_up
from correct_l0.reading.verdict import Decision
from correct_l0.report import words
from correct_l0.toy_model.report.truth import (
    EXACT,
    INSIDE,
    MISSED,
    SILENT,
    hold,
    minima_lines,
    read_toy_curves,
    truth_sentence,
)

GRID = [5.0, 8.0, 11.0, 14.0, 18.0]
NAMES = words.Names({x: x for x in GRID})


def answer(l0: float | None, low: float | None, high: float | None) -> Decision:
    return Decision("read", (), l0=l0, low=low, high=high)


@pytest.mark.parametrize(("decision", "truth", "outcome"), [
    (answer(11.0, 8.0, 14.0), 10.95, EXACT),
    (answer(11.0, 8.0, 14.0), 9.4, INSIDE),
    (answer(11.0, 8.0, 14.0), 9.6, EXACT),
    (answer(11.0, 8.0, 14.0), 8.0, INSIDE),
    (answer(11.0, 8.0, 14.0), 7.9, MISSED),
    (answer(11.0, 8.0, 14.0), 14.0, INSIDE),
    (answer(11.0, 8.0, 14.0), 14.1, MISSED),
    (answer(None, None, None), 10.95, SILENT),
    (answer(11.0, 8.0, 14.0), float("nan"), SILENT),
])  # fmt: skip
def test_an_answer_is_held_against_the_truth(decision, truth, outcome):
    assert hold(decision, truth, GRID) == outcome


@pytest.mark.parametrize(("outcome", "l0", "sentence"), [
    (EXACT, 11.0, "The true L0 is 10.00: the curves name the grid's nearest point to it, without "
     "being told."),
    (INSIDE, 11.0, "The true L0 is 10.00, inside the interval; the L0 named, 11, is 10% above it."),
    (MISSED, 5.0, "The true L0 is 10.00, outside the interval; the L0 named, 5, is 50% below it."),
    (SILENT, None, "The true L0 is 10.00; the curves name no L0 to hold against it."),
])  # fmt: skip
def test_how_it_stands_in_words(outcome, l0, sentence):
    assert truth_sentence(answer(l0, 4.0, 12.0), 10.0, outcome, NAMES) == sentence


def test_the_curves_are_read_as_in_the_language_model_study_and_not_told_the_truth():
    tables = toy_made_up.make_tables()
    truth = tables["truth"]
    other = truth.assign(value=truth["value"].where(truth["quantity"] != "true_l0_measured", 2.0))
    found, misled = (
        read_toy_curves(tables | {"truth": table}, 26) for table in (truth, other)
    )  # fmt: skip
    # Made up: linear from 11 down to 1, so 10% of the rise is reached at 10.
    assert found["headline"] == misled["headline"] == "L0 about 10 (between 8 and 12)."
    assert found["truth"]["outcome"] == INSIDE
    assert misled["truth"]["outcome"] == MISSED
    assert found["c_dec"]["minimum"] == 11
    json.dumps(found, allow_nan=False)


def test_the_n_that_find_the_truth_are_named_by_norm_and_in_superposition():
    lines = minima_lines(toy_made_up.make_tables(), toy_made_up.TRUTH)
    assert lines == [
        "s_n^dec on unit decoder norms is lowest at the true L0 for n = 12 to 25.",
        "s_n^dec on raw decoder norms is lowest at the true L0 for n = 12 to 19; lowest elsewhere "
        "for n = 20 to 25.",
        "In superposition s_n^dec is lowest at the true L0 for n = 12, 18, 20, 22.",
    ]


def test_what_speaks_against_it():
    tables = toy_made_up.make_tables(seeds=(0,))
    points = tables["points"]
    tables["points"] = points.assign(dead_latents=points["l0"].isin([5, 25]) * 2.0)
    caveats = read_toy_curves(tables, 26)["caveats"]
    assert caveats == [
        "One seed per L0: the spread over seeds is unknown.",
        "Some latents are dead at L0 5, 25.",
    ]


@pytest.mark.parametrize(("quantity", "value", "other"), [
    ("features", 50, False), ("features", 49, True), ("true_l0_measured", 11.5, False),
    ("true_l0_measured", 11.6, True),
])  # fmt: skip
def test_a_toy_model_that_is_not_the_papers_is_named(quantity, value, other):
    tables = toy_made_up.make_tables()
    truth = tables["truth"]
    changed = truth["value"].where(truth["quantity"] != quantity, value)
    caveats = read_toy_curves(tables | {"truth": truth.assign(value=changed)}, 26)["caveats"]
    assert any("not the paper's" in caveat for caveat in caveats) == other


def test_one_point_names_no_l0():
    verdict = read_toy_curves(toy_made_up.make_tables(grid=(5,), experiments=False), 26)
    assert verdict["truth"]["outcome"] == SILENT
    assert verdict["headline"].startswith("Too few points")
