"""What is measured on trained SAEs: the metrics of a point, by name, with lazy loaders.

A metric of a point is a function `measure(sae, facts, source, settings, folder)` that writes its
files into a folder and returns them with what else is worth keeping. Sparse probing, which needs
the activations of prompts, and the comparison of seeds have rules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from correct_l0.saes.saved import SavedSae
    from correct_l0.sources import Source


@dataclass(frozen=True)
class Measured:
    """What a metric left.

    Attributes
    ----------
    outputs
        The files it wrote.
    facts
        What its manifest says besides.
    """

    outputs: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """A metric of one SAE."""

    def __call__(
        self,
        sae: SavedSae,
        facts: Mapping[str, Any],
        source: Source,
        settings: str,
        folder: Path,
    ) -> Measured:
        """Measure an SAE and write the files of the metric.

        Parameters
        ----------
        sae
            The SAE, on the device to compute on.
        facts
            Its manifest.
        source
            What it was trained on.
        settings
            Canonical settings of the metric.
        folder
            Where the files go.
        """


METRICS = {
    "decoder_metrics": "correct_l0.metrics.decoder.point",
    "recovery": "correct_l0.metrics.recovery.point",
}
"""The module with the function `measure` of each metric of a point, by its room."""


def load_metric(room: str) -> Measure:
    """Return a metric's function."""
    measure: Measure = import_module(METRICS[room]).measure
    return measure
