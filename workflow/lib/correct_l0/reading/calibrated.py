"""What was measured on worlds whose truth is known: constants of the reading.

`make calibrate` prints them; docs/calibration.md has the tables. They are chosen on one half of the
worlds, and how often they hold is reported on the other.
"""

NOMINAL = 0.9
"""Share of right answers that intervals are made for."""

BELOW = ABOVE = 0.7
"""Grid steps by which an interval reaches below and above the peak of stability."""
