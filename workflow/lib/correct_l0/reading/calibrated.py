"""What was measured on worlds whose truth is known: constants of the reading.

`make calibrate` prints them; docs/calibration.md has the tables. They are chosen on one half of the
worlds, and how often they hold is reported on the other.
"""

NOMINAL = 0.9
"""Share of right answers that intervals are made for."""

DROP = 0.02
"""By how much the share of latents that two seeds reproduce may lie below its peak within the
interval. As much as a peak has to stand out: less would hold the right grid point as often, and
promise more than a grid can."""
