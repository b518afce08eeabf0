"""Whether two seeds find the same latents, in words."""

from __future__ import annotations

import math

from correct_l0.reading.peak import FEWEST_POINTS
from correct_l0.reading.reading import READ, TOO_FEW
from correct_l0.reading.stability import (
    NOT_REPRODUCIBLE,
    SHARE_LIMIT,
    Reproducibility,
    StabilityReading,
)
from correct_l0.reading.verdict import Decision
from correct_l0.report.names import Names, cosines, percents


def stability_lines(reading: StabilityReading, decision: Decision, names: Names) -> list[str]:
    """Return where seeds agree most, and how they agree at the L0 that an answer names."""
    lines = [_peak_line(reading, names)]
    named = decision.reproducibility
    if decision.outcome == READ and named and named.points:
        lines.append(
            f"At the L0 named ({names.span(named.points)}) {percents(named.share)} of the latents "
            f"come back (matched above 0.9; mean cosine {cosines(named.pw_mcc)}, by chance "
            f"{cosines(named.chance)})."
        )
    return lines


def stability_caveats(reading: StabilityReading, decision: Decision, names: Names) -> list[str]:
    """Return what speaks against an answer by how seeds agree, where that does not refuse it."""
    caveats = []
    if reading.peak.outcome == TOO_FEW and decision.outcome != TOO_FEW:
        caveats.append(
            f"The agreement of seeds is read from {FEWEST_POINTS} L0 on: until then c_dec and "
            "s_n^dec give a hint."
        )
    named = decision.reproducibility
    if named and named.differing and decision.outcome != NOT_REPRODUCIBLE:
        words = differing_words(named, names)
        caveats.append(f"{words[0].upper()}{words[1:]}.")
    if named and named.unknown and decision.outcome == READ:
        caveats.append(
            f"There is one seed at L0 {names.list(named.unknown)}: whether another finds the same "
            "latents there is unknown."
        )
    return caveats


def differing_words(named: Reproducibility, names: Names) -> str:
    """Return that seeds disagree, and where; without a full stop.

    Of how much, the limit alone: shares differ by a percent from processor to processor.
    """
    return (
        f"at L0 {names.span(named.differing)} two seeds do not find the same latents (fewer than "
        f"{SHARE_LIMIT:.0%} matched above 0.9)"
    )


def _peak_line(reading: StabilityReading, names: Names) -> str:
    """Return what the curve of reproduced latents looks like."""
    share = dict(zip(reading.points, reading.reproduced.means, strict=True))
    if not any(share.values()):
        return "Of no latent of one seed does another know more than by chance, at any L0."
    peak = reading.peak
    if peak.outcome == READ:
        witnesses = math.isfinite(peak.seeds_agree)
        line = (
            f"Two seeds agree best at L0 {names(peak.seeds_agree if witnesses else peak.l0)}: "
            f"there they agree by {percents([peak.height])} (1 - angle over chance, mean over "
            "latents)"
        )
        if math.isfinite(peak.overlapping):
            line += f"; another at L0 {names(peak.overlapping)} does not count, as latents overlap"
        elif peak.start_is_higher:
            line += "; more still at the start of the grid, where L0 is a few, which does not count"
        if witnesses:
            line += (
                ". At its lowest, c_dec is far below that of random directions, so that it is a "
                "witness as well: the interval holds both, and the L0 named is halfway between"
            )
        return line + "."
    best = max(share, key=lambda x: share[x])
    return (
        f"Two seeds agree best at L0 {names(best)} (they agree by {percents([share[best]])}), "
        f"least at L0 {names(min(share, key=lambda x: share[x]))}."
    )
