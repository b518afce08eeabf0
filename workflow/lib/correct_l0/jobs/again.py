"""Typing a command once more, as a search does after each round."""

from __future__ import annotations

from collections.abc import Sequence

FORCES = ("-f", "--force", "-F", "--forceall")
FORCES_NAMED = ("-R", "--forcerun", "--force-run")


def again(command: Sequence[str]) -> list[str]:
    """Return a Snakemake command without what it forces: that was made again the first time.

    Examples
    --------
    >>> again(["snakemake", "-F", "--cores", "2", "-R", "train_sae", "measure_points", "--quiet"])
    ['snakemake', '--cores', '2', '--quiet']
    """
    kept: list[str] = []
    named = False
    for argument in command:
        named = argument in FORCES_NAMED or (named and not argument.startswith("-"))
        if not named and argument not in FORCES:
            kept.append(argument)
    return kept
