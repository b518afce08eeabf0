"""The settings of sparse probing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, Section

CONTROLLED = 8
"""One task in so many has controls: with three seeds they then add a seventh to probing's time,
as fits to nothing are slow."""

SHUFFLED_LABELS, PERMUTED_LATENTS = "f1_shuffled_labels", "f1_permuted_latents"
CONTROLS = (SHUFFLED_LABELS, PERMUTED_LATENTS)


class Probing(Section):
    """Sparse probing after Kantamneni et al."""

    kept = True

    tasks: Literal["none", "default", "all"] | Annotated[tuple[str, ...], Field(min_length=1)] = (
        "none"
    )
    """`none`: no probing. The `default` subset of 25 (chosen by cost alone), `all` 113 tasks, or a
    list of task names."""

    probe_k: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 16)
    """Numbers of latents in a probe."""

    engine: Literal["exact", "reference"] = "exact"
    """`exact`: the same protocol with shared work. `reference`: sae-probes' own `run_sae_evals`."""

    controls: bool = False
    """Also fit probes that should find nothing, on every eighth task and the SAEs of the first
    seed: on shuffled labels, and on latents drawn at random in place of those chosen."""

    @model_validator(mode="after")
    def _controls_are_exact(self) -> Probing:
        if self.controls and self.engine == "reference":
            raise ValueError(
                "controls true with engine reference, sae-probes has none; use engine exact"
            )
        return self


def tasks_with_controls(tasks: Sequence[str]) -> tuple[str, ...]:
    """Return every eighth task, beginning with the first.

    Examples
    --------
    >>> tasks_with_controls(["a", "b", "c", "d", "e", "f", "g", "h", "i"])
    ('a', 'i')
    """
    return tuple(tasks[::CONTROLLED])
