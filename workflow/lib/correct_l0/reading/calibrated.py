"""Constants of the reading that are held against worlds whose truth is known.

`make calibrate` prints what the worlds to choose on ask for, and how often the interval holds the
right L0 in the others; docs/calibration.md has the tables.
"""

NOMINAL = 0.9
"""Share of right answers that intervals are made for."""

DROP = 0.02
"""By how much the share of latents that two seeds reproduce may lie below its peak within the
interval. As much as a peak has to stand out: less would hold the right grid point as often, and
promise more than a grid can."""
