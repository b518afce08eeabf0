"""No activations at all: what a study of imported SAEs has instead, where only weights are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from correct_l0.errors import InputError
from correct_l0.provenance.checks import checked_digest_of
from correct_l0.provenance.manifest import read_manifest
from correct_l0.sources.settings import SourceSection


class WeightsOnly(SourceSection):
    """The settings of a source without activations."""

    kind = "weights"
    stage = "fetch_weights"

    d_in: int
    """Width of the activations that the SAEs take."""

    held_out_tokens: int = 0
    """None are there."""


NO_ROWS = "the study has no activations, only weights; name a source of activations"


@dataclass
class WeightsSource:
    """A source without activations; see `Source`."""

    d_in: int
    digest: str
    mean_norm: float = float("nan")
    norms: dict[str, Any] | None = None
    n_held_out: int = 0
    metadata: dict[str, str | int | None] = field(default_factory=dict)
    truth: Any = None

    def held_out(self, start: int, stop: int) -> NoReturn:
        """Refuse: there are no rows."""
        raise InputError(NO_ROWS)

    def set_aside(self, most: int) -> NoReturn:
        """Refuse: there are no rows."""
        raise InputError(NO_ROWS)

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> NoReturn:
        """Refuse: there are no rows."""
        raise InputError(NO_ROWS)


def open_weights(manifest_path: Path | str) -> WeightsSource:
    """Open the record of fetched weights as a source without activations.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    digest = checked_digest_of(manifest_path)
    return WeightsSource(int(read_manifest(manifest_path)["d_in"]), digest)
