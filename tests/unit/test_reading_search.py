"""The policy of a search on made-up readings."""

from __future__ import annotations

import math

import pytest

from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH
from correct_l0.reading.search import Said, next_points
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.voices import DISAGREE
from correct_l0.saes.search import L0Search
from correct_l0.why.search import most_points

GRID = (4, 8, 16, 32, 64, 128)


def search(**given) -> L0Search:
    return L0Search(**{"lowest": 4, "highest": 128, "first": 6, "until": 1.5} | given)


def chosen(said, grid=GRID, seeds=1, *, whole=False, factor=1, spent=None, **given):
    more = {"whole": whole, "factor": factor, "spent": spent}
    return next_points(search(**given), said, grid, seeds, **more)


@pytest.mark.parametrize(
    ("outcome", "remedy", "setting"),
    [
        (NOT_TRAINED, "train longer", "longer"),
        (NOT_REPRODUCIBLE, "fewer latents", "longer"),
        (ABOVE_N, "raise n", None),
    ],
)
def test_a_refusal_that_no_point_mends_ends_it_with_the_remedy(outcome, remedy, setting):
    end = chosen(Said(outcome, 16, 64), longer=1)
    assert end.stops
    assert remedy in end.why
    assert "training_tokens" not in end.why
    assert end.setting == setting


FIRST = (5.3, 9.5, 17, 30, 54, 96)
"""Gaps of 32^(1/6) = 1.78, from half a one above 4."""


def test_where_training_fails_the_first_points_are_trained_again_longer():
    # Twice where SAEs are not trained enough, four times where twice is no help.
    again = chosen(Said(NOT_TRAINED, 16, 64), (*FIRST, 68))
    assert (again.add_l0, again.factor, again.setting) == (FIRST, 2, None)
    assert again.why == (
        "the SAEs are not trained enough: the first points again, on 2 times the training_tokens"
    )
    assert chosen(Said(NOT_REPRODUCIBLE), FIRST).factor == 4
    # From there on to the limit, however near it is.
    assert chosen(Said(NOT_TRAINED), FIRST, factor=2, longer=3).factor == 3
    end = chosen(Said(NOT_REPRODUCIBLE), FIRST, factor=4)
    assert (end.add_l0, end.setting) == ((), "longer")
    assert end.why == (
        "two seeds do not find the same latents, not even on 4 times the training_tokens, which no "
        "further L0 mends: train longer or use fewer latents"
    )


def test_longer_trainings_take_as_much_of_the_budget():
    # 7 points of two seeds, 14 trainings; the 6 first ones on twice the tokens are 24 more.
    grid = (*FIRST, 68)
    assert chosen(Said(NOT_TRAINED), grid, seeds=2, budget=38).factor == 2
    end = chosen(Said(NOT_TRAINED), grid, seeds=2, budget=37)
    assert (end.stops, end.setting) == (True, "budget")
    assert "would take a budget of 38 trainings, not 37" in end.why
    # Of 38 spent, a point on twice the tokens takes 4 more, two 8.
    said = Said(READ, 17, 54)
    more = {"seeds": 2, "factor": 2, "spent": 38}
    assert chosen(said, FIRST, budget=41, **more).setting == "budget"
    step = chosen(said, FIRST, budget=42, **more)
    assert (step.add_l0, step.factor) == ((40,), 2)
    assert chosen(said, FIRST, budget=46, **more).add_l0 == (23, 40)


def test_it_ends_at_exactly_the_ratio_that_was_asked():
    assert chosen(Said(READ, 32, 48)).setting == "until"
    assert not chosen(Said(READ, 32, 48.5)).stops


def test_gaps_that_the_interval_reaches_are_halved():
    # sqrt(16 * 32) = 22.6 and sqrt(32 * 64) = 45.3; rounded to whole from 10 on.
    assert chosen(Said(READ, 16, 64)).add_l0 == (23, 45)
    # Ends between points: sqrt(8 * 16) = 11.3 too, as the interval begins inside that gap.
    assert chosen(Said(READ, 14, 64)).add_l0 == (11, 23, 45)
    # An interval inside a single gap.
    assert chosen(Said(READ, 34, 60)).add_l0 == (45,)


def test_without_until_it_goes_on_where_an_interval_is_narrow():
    assert chosen(Said(READ, 32, 34), until=None, budget=9).add_l0 == (45,)


def test_neighbours_near_enough_get_no_point_between_them():
    grid = (4, 32, 36, 41, 128)
    for seeds, further in ((1, False), (2, True)):
        end = chosen(Said(READ, 32, 41), grid, seeds, until=1.1)
        assert end.stops
        assert end.why.startswith("points in the interval are as close as they get")
        assert ("further seeds hardly" in end.why) == further


def test_the_end_of_the_range_is_looked_at_closely_before_it_is_called_too_low():
    assert chosen(Said(FALLS)).add_l0 == (91,)  # sqrt(64 * 128) = 90.5
    assert chosen(Said(TOO_HIGH)).add_l0 == (5.7,)  # sqrt(4 * 8) = 5.66
    assert chosen(Said(FALLS), (4, 16, 115, 128)).setting == "to"
    assert chosen(Said(TOO_HIGH), (4, 4.5, 16, 128)).setting == "from"


def test_the_ends_of_the_range_are_trained_where_the_best_point_is_next_to_them():
    inside = (5, 8, 16, 32, 64, 100)
    assert chosen(Said(FALLS), inside).add_l0 == (128,)
    said = "the last point, L0 100, is the best so far: whether the best lies beyond it"
    assert chosen(Said(FALLS), inside).why == said
    assert chosen(Said(NO_PEAK), inside).add_l0 == (4,)
    assert chosen(Said(NO_PEAK), inside).why.endswith("whether the best lies before it")
    few = Said(TOO_FEW, best=100)
    assert chosen(few, (5, 16, 32, 100), seeds=2).add_l0 == (57, 128)  # sqrt(32 * 100) = 56.6
    # An interval that ends where the trained points do may go on: 100 is its end, not 99.
    assert chosen(Said(READ, 64, 100), inside).add_l0 == (80, 128)
    assert chosen(Said(READ, 64, 97), inside).add_l0 == (80,)
    assert chosen(Said(READ, 5, 8), inside).add_l0 == (4, 6.3)
    # 103.1 of 100 and 128 of 126 are the same points.
    assert chosen(Said(FALLS), (*inside[:-1], 126)).add_l0 == (90,)


def test_without_a_peak_it_looks_beside_the_start_of_the_range_and_then_ends_there():
    said = Said(NO_PEAK, add_l0=(1.0, 2.0))
    # sqrt(4 * 8) = 5.66, sqrt(4 * 5.7) = 4.77; 1 and 2, which the reading proposes, are outside
    first = chosen(said)
    assert first.add_l0 == (5.7,)
    assert first.why == "the first point, L0 4, is the best so far: whether the best lies beyond it"
    assert chosen(said, (4, 5.7, 8, 128)).add_l0 == (4.8,)
    end = chosen(said, (4, 4.5, 8, 128))
    assert (end.stops, end.setting) == (True, "from")
    assert end.why == "the best point is its start, L0 4"
    assert chosen(said, budget=6).setting == "budget"


def test_where_metrics_disagree_it_looks_between_what_they_name():
    # 500 is outside the range
    assert chosen(Said(DISAGREE, add_l0=(45.0, 91.0, 500.0))).add_l0 == (45, 91)
    assert chosen(Said(DISAGREE)).stops
    # A reading that names an L0 has its interval; its own proposal is not asked.
    assert chosen(Said(READ, 16, 32, add_l0=(91.0,))).add_l0 == (23,)


def test_flat_curves_end_it_and_too_few_points_do_not():
    assert chosen(Said(FLAT)).why == "no further point would help (flat)"
    assert chosen(Said(TOO_FEW), (4, 16, 128)).add_l0 == (8, 45)


def test_with_few_points_of_several_seeds_it_looks_beside_the_best_so_far():
    # The middles of 8 to 16 and 16 to 128; what metrics of the decoder say is not asked.
    said = Said(NOT_REPRODUCIBLE, best=16)
    step = chosen(said, (4, 8, 16, 128), seeds=2)
    assert (step.add_l0, step.why) == (
        (11, 45), "too few points for a reading: beside the best so far, L0 16"
    )  # fmt: skip
    assert chosen(Said(READ, 8, 9, best=4), (4, 8, 16, 128), seeds=2).add_l0 == (5.7,)
    assert chosen(said, (4, 8, 16, 32, 128), seeds=2, longer=1).stops


def test_an_interval_is_no_narrower_than_the_gaps_beside_its_best_point():
    grid = (4, 8, 16, 20, 32, 128)
    step = chosen(Said(READ, 15, 18, best=16), grid, seeds=2)
    # 8 to 16 is a ratio of 2; 16 to 20 one of 1.25, but in the interval.
    assert step.add_l0 == (11, 18)
    assert chosen(Said(READ, 15, 18, best=16), grid, seeds=2, budget=14).add_l0 == (11,)
    fine = (4, 11, 16, 20, 32, 128)
    assert chosen(Said(READ, 15, 18, best=16), fine, seeds=2).setting == "until"


def test_points_beside_the_best_come_first_where_the_budget_is_short():
    # Beside 8 the ratios are 2, of 16 to 48 it is 3.
    said = Said(READ, 8, 64, best=8)
    assert chosen(said, (4, 8, 16, 48, 64, 128), budget=8).add_l0 == (5.7, 11)


def test_the_budget_takes_the_widest_gaps_first_and_then_ends_it():
    grid = (4, 8, 16, 48, 64, 128)  # gaps of 2, 2, 3, 1.33 and 2
    said = Said(READ, 8, 64)
    assert chosen(said, grid).add_l0 == (11, 28, 55)
    assert chosen(said, grid, budget=7).add_l0 == (28,)
    assert chosen(said, grid, budget=8).add_l0 == (11, 28)
    assert chosen(said, grid, budget=6).setting == "budget"
    # Of three seeds a point costs three trainings: 20 // 3 = 6 points are there already.
    assert chosen(said, grid, seeds=3, budget=20).setting == "budget"
    assert chosen(said, grid, seeds=3, budget=21).add_l0 == (28,)


def test_an_architecture_may_take_whole_l0_only():
    ends = {"lowest": 2, "highest": 10}
    assert chosen(Said(READ, 2, 8), (2, 5, 10), **ends).add_l0 == (3.2, 7.1)
    assert chosen(Said(READ, 2, 8), (2, 5, 10), whole=True, **ends).add_l0 == (3, 7)
    end = chosen(Said(READ, 3, 5), (2, 3, 4, 5, 10), whole=True, **ends)
    assert "as close as they get" in end.why


@pytest.mark.parametrize("true_l0", [4.0, 5.1, 11.0, 60.0, 127.0])
def test_a_search_for_a_known_l0_ends_around_it(true_l0):
    """A reading that names the neighbours of the point nearest to the truth."""
    asked = search(until=1.5)
    grid = sorted(asked.first_points())
    for _ in range(20):
        best = min(range(len(grid)), key=lambda i: abs(math.log(grid[i] / true_l0)))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        step = next_points(asked, Said(READ, low, high), grid, 1)
        if step.stops:
            break
        grid = sorted([*grid, *step.add_l0])
    assert step.setting == "until"
    assert low <= true_l0 <= high <= 1.5 * low
    assert len(grid) <= 11 < most_points(asked)
