"""What a benchmark is: the same work done in several ways, timed in turns in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Sides = Mapping[str, Callable[[], object]]
"""What each side does in one timed call: `ours`, `rival`, and others to be drawn beside them."""


@dataclass(frozen=True)
class Comparison:
    """One workload, done by this project and by a named rival.

    A module of this folder lists its comparisons in `COMPARISONS`; `run.py` collects them. The
    ratio of a round is the rival's time over ours.
    """

    name: str
    """Unique, in file names: `step-384x3072-l0-32`."""
    room: str
    """Room of the package it belongs to: `saes`, `activations`, `decoder_metrics`, ..."""
    workload: str
    """The work in words, for the README's table: `384 x 3072, batch 4096, L0 32`."""
    rival: str
    """The rival in words, with its version: `SAELens 6.54.12, its trainer`."""
    prepare: Callable[[], Sides]
    """Makes the data and returns the sides; heavy imports belong in here. Not timed."""
    target: float | None = None
    """Smallest ratio wanted; None: measured only."""
    unit: str = "ms"
    """What one call is timed in, `ms` or `s`, and of what: `ms per step`."""
    units: int = 1
    """Units of work in one call."""
    rounds: int = 7
    """Rounds timed, after one that is not; each calls every side once, in turns."""
    curve: tuple[str, float] | None = None
    """The curve it is a point of, and its abscissa: `("d_sae", 3072)`."""
    memory_limit_mb: float | None = None
    """Largest growth of our side's resident memory wanted, beyond what `prepare` left; None:
    measured only."""
    threads: int = 1
    """Threads of both sides."""

    @property
    def measures_memory(self) -> bool:
        """Whether memory is measured: not at a point that is there for its curve of times alone."""
        return not self.curve or self.target is not None or self.memory_limit_mb is not None
