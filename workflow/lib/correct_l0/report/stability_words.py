"""Whether two seeds find the same latents, in words."""

from __future__ import annotations

from correct_l0.reading.reading import READ
from correct_l0.reading.stability import NOT_REPRODUCIBLE, Reproducibility, StabilityReading
from correct_l0.reading.verdict import Decision
from correct_l0.report.names import Names, cosines, percents


def stability_lines(reading: StabilityReading, decision: Decision, names: Names) -> list[str]:
    """Return where seeds agree most, and how they agree at the L0 that an answer names."""
    lines = [_peak_line(reading, names)]
    named = decision.reproducibility
    if decision.outcome == READ and named and named.points:
        lines.append(
            f"At the L0 named ({names.span(named.points)}) {percents(named.share)} of the latents "
            f"come back (mean cosine {cosines(named.pw_mcc)}, by chance {cosines(named.chance)})."
        )
    return lines


def stability_caveats(reading: StabilityReading, decision: Decision, names: Names) -> list[str]:
    """Return what speaks against an answer by how seeds agree, where that does not refuse it."""
    caveats = []
    named = decision.reproducibility
    if named and named.differing and decision.outcome != NOT_REPRODUCIBLE:
        words = differing_words(named, names)
        caveats.append(f"{words[0].upper()}{words[1:]}.")
    if named and named.unknown and decision.outcome == READ:
        caveats.append(
            f"There is one seed at L0 {names.list(named.unknown)}: whether another finds the same "
            "latents there is unknown."
        )
    inner = [peak.l0 for peak in reading.share_peaks if not peak.at_start]
    if decision.outcome == READ and decision.low is not None and decision.high is not None:
        low, high = decision.low, decision.high
        if inner and not any(low <= x <= high for x in inner):
            caveats.append(
                f"The latents that come back with another seed peak at L0 {names.list(inner)}, "
                "outside the interval named."
            )
    return caveats


def differing_words(named: Reproducibility, names: Names) -> str:
    """Return that seeds disagree, where, and by how much; without a full stop."""
    rows = [
        row
        for row in zip(named.points, named.share, named.pw_mcc, named.chance, strict=True)
        if row[0] in named.differing
    ]
    points, shares, means, chance = zip(*rows, strict=True)
    return (
        f"at L0 {names.span(points)} two seeds do not find the same latents ({percents(shares)} "
        f"matched above 0.9; mean cosine {cosines(means)}, by chance {cosines(chance)})"
    )


def _peak_line(reading: StabilityReading, names: Names) -> str:
    share = dict(zip(reading.points, reading.share.means, strict=True))
    if not any(share.values()):
        return "No latent of one seed is found by another (matched above 0.9) at any L0."
    peaks = reading.share_peaks
    if not peaks:
        return f"At every L0 {percents(list(share.values()))} of the latents come back."
    top = max(peaks, key=lambda peak: peak.value)
    end = ", the end of the grid" if top.at_end else ", its start" if top.at_start else ""
    line = (
        f"Another seed finds most of the same latents at L0 {names(top.l0)}{end} "
        f"({percents([top.value])} matched above 0.9)"
    )
    if others := [p for p in peaks if p is not top]:
        line += f"; local peak at L0 {names.list([p.l0 for p in others])}"
    if peaks[0].at_start:
        line += "; at an L0 of a few it is high for reasons of its own"
    return line + "."
