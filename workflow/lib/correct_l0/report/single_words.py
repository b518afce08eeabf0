"""What is said of the L0 of a single SAE that was trained on."""

from __future__ import annotations

from collections.abc import Mapping

from correct_l0.reading.single import (
    ABOUT_RIGHT,
    CANNOT_TELL,
    TOO_HIGH,
    TOO_LOW,
    SingleReading,
)
from correct_l0.report.names import percents
from correct_l0.settings.base import format_l0


def single_headline(reading: SingleReading) -> str:
    """Return the answer in a sentence or two, with its confidence."""
    own = _short(reading.own_l0)
    why = {
        TOO_LOW: "its latents turn hardly further when it is trained on with fewer active latents "
        "than at its own L0",
        TOO_HIGH: "its latents turn much further when it is trained on with fewer active latents "
        "than at its own L0",
        ABOUT_RIGHT: "its latents turn somewhat further when it is trained on with fewer active "
        "latents than at its own L0, and with more as well",
        CANNOT_TELL: "its latents turn neither much nor hardly further when it is trained on with "
        "fewer active latents than at its own L0",
    }[reading.outcome]
    if reading.outcome == CANNOT_TELL:
        return f"Cannot tell whether L0 {own} is too low for this SAE: {why}."
    sure = "" if reading.confidence is None else f" (confidence {percents([reading.confidence])})"
    return f"L0 {own} is {reading.outcome} for this SAE{sure}: {why}."


def single_lines(reading: SingleReading) -> list[str]:
    """Return the numbers that the answer stands on, a line each."""
    turned = _list(reading.l0, [f"{x:.2g}°" for x in reading.turned])
    c_dec = _list(reading.l0, [f"{x:.3g}" for x in reading.c_dec])
    return [
        f"Trained on at L0 {turned[0]}, its latents turn by {turned[1]} on average.",
        f"c_dec is then {c_dec[1]}; of the SAE itself {reading.own_c_dec:.3g}, of random "
        f"directions {reading.random:.3g}.",
    ]


def next_of_single(reading: SingleReading) -> Mapping[str, str | None]:
    """Return what would help: a sentence, and no line to add."""
    sentence = {
        TOO_LOW: f"Use an SAE of the same layer and width with an L0 above "
        f"{_short(reading.own_l0)}; a sweep says which.",
        TOO_HIGH: f"Use an SAE of the same layer and width with an L0 below "
        f"{_short(reading.own_l0)}; a sweep says which.",
        ABOUT_RIGHT: "A sweep of this layer and width around this L0 would say it more closely.",
        CANNOT_TELL: "Train on for longer (train_on.training_tokens), or train a sweep of this "
        "layer and width.",
    }[reading.outcome]
    return {"sentence": sentence, "line": None}


def _list(l0: tuple[float, ...], values: list[str]) -> tuple[str, str]:
    """Return L0 values and what belongs to them, in words."""
    return ", ".join(_short(x) for x in l0), ", ".join(values)


def _short(l0: float) -> str:
    return format_l0(float(f"{l0:.3g}"))
