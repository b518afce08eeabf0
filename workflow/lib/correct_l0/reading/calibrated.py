"""Constants of the reading that are held against worlds whose truth is known.

`make calibrate` prints what the worlds to choose on ask for, and how often the interval holds the
right L0 in the others; docs/calibration.md has the tables.
"""

from __future__ import annotations

from correct_l0.reading.reading import FALLS, READ, TOO_HIGH

NOMINAL = 0.9
"""Share of right answers that intervals are made for."""

DROP = 0.02
"""By how much the share of latents that two seeds reproduce may lie below its peak within the
interval. As much as a peak has to stand out: the worlds to choose on ask for less, but less would
promise more than a grid can."""

RIGHT_OF_HINTS: dict[str, dict[bool, tuple[int, int]]] = {
    READ: {True: (9, 27), False: (23, 61)},
    FALLS: {True: (0, 16), False: (0, 45)},
    TOO_HIGH: {True: (0, 12), False: (0, 5)},
}
"""Of what the decoder metrics say of a single seed of all worlds, by outcome: how often it is right
(the interval holds the right L0; it lies beyond the grid's last gap; at its start or below), and of
how many. With s_n^dec, and with c_dec alone."""

PULL_TOO_LOW, PULL_TOO_HIGH = -0.15, -0.45
"""Of a single SAE that is trained on: its pull (`single.pull_of`) above which its L0 is called too
low, and that below which it is called too high."""

STAYS = 0.3
"""How much further it has to turn on both sides than at its own L0 (`single.stays_of`) before that
is called about right."""

CONFIDENCE = {"too low": 0.68, "about right": 0.67, "too high": 0.77}
"""Of unseen worlds' SAEs that are called so, the share that is so: (right + 1) / (called + 2)."""
