"""When a search trains longer, and on how many times the tokens."""

from __future__ import annotations

from dataclasses import dataclass

from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.remedy import LONGER, MUCH_LONGER
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.saes.search import L0Search


@dataclass(frozen=True)
class Short:
    """What a refusal for want of training says.

    Attributes
    ----------
    said
        What is wrong.
    remedy
        What a person can do.
    times
        How many times longer the next trainings are.
    """

    said: str
    remedy: str
    times: int


TOO_SHORT = {
    NOT_TRAINED: Short("the SAEs are not trained enough", "train longer", LONGER),
    NOT_REPRODUCIBLE: Short(
        "two seeds do not find the same latents", "train longer or use fewer latents", MUCH_LONGER
    ),
}
"""Outcomes that no further L0 mends and longer training may."""


def next_factor(search: L0Search, outcome: str, factor: int) -> int:
    """Return how many times the file's tokens come next; as many as now where `longer` ends it.

    Examples
    --------
    >>> search = L0Search(lowest=4, highest=300, until=1.5, longer=6)
    >>> next_factor(search, NOT_TRAINED, 1), next_factor(search, NOT_REPRODUCIBLE, 4)
    (2, 6)
    """
    return min(search.longer, factor * TOO_SHORT[outcome].times)


def later_factors(search: L0Search, factor: int) -> list[int]:
    """Return how many times the file's tokens may come yet, where each step is the smallest.

    Examples
    --------
    >>> later_factors(L0Search(lowest=4, highest=300, until=1.5, longer=6), 1)
    [2, 4, 6]
    """
    found = [factor]
    while (after := next_factor(search, NOT_TRAINED, found[-1])) > found[-1]:
        found.append(after)
    return found[1:]


def budget_for(search: L0Search, factor: int, spent: int, seeds: int, *, whole: bool) -> int:
    """Return the budget in which the first points are trained on so many times the tokens.

    Examples
    --------
    Of 12 trainings spent, 6 points of two seeds and 4 times the tokens:

    >>> budget_for(L0Search(lowest=4, highest=300, until=1.5), 4, 12, 2, whole=False)
    60
    """
    return spent + len(search.first_points(whole=whole)) * seeds * factor
