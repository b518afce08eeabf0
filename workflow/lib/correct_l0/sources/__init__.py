"""Where activations come from: what every source offers, and the one door that opens them.

A source is made by the rules of its kind (`workflow/rules/language_model.smk`, `stored.smk`,
`synthetic.smk`, `semi_synthetic.smk`), which end in one manifest. Everything behind it asks for no
more than `Source`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from correct_l0.sources.semi_synthetic.generator import LoadSae

OPENERS = {
    "seal_activations": ("correct_l0.sources.language_model.reader", "open_store"),
    "make_world": ("correct_l0.sources.synthetic.store", "open_world"),
    "make_semi_synthetic": (
        "correct_l0.sources.semi_synthetic.store",
        "open_semi_synthetic",
    ),
    "index_stored": ("correct_l0.sources.stored.store", "open_stored"),
    "fetch_weights": ("correct_l0.sources.weights", "open_weights"),
}
"""What opens a source, by the stage that its manifest names: module and function."""


class Batches(Protocol):
    """A stream of training batches that is a function of the step: it can go on anywhere."""

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the raw rows of one step, which are not to be changed, of any floating type."""


class Source(Protocol):
    """Activations to train on and to measure on.

    Attributes
    ----------
    d_in
        Width of the activations.
    mean_norm
        Mean norm of the raw training rows that are not outlying, a constant of the source.
    norms
        What is known of the rows' norms (`outlying.norm_facts`); None where nothing is.
    digest
        Identifies the source's content.
    n_held_out
        Rows that train no SAE and are measured on.
    metadata
        What a saved SAE tells about its input: model_name, hook_name, context_size.
    truth
        What is known of the true features (`synthetic.store.Truth`); None where nothing is.
    """

    d_in: int
    mean_norm: float
    norms: dict[str, Any] | None
    digest: str
    n_held_out: int
    metadata: dict[str, str | int | None]
    truth: Any

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return raw held-out rows [start, stop), in float32."""

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return the first raw held-out rows that are left out, at most so many."""

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> Batches:
        """Return the training batches of a seed; `prefetch` makes the next ones in `threads`."""


def open_source(manifest_path: Path | str, load_sae: LoadSae) -> Source:
    """Open a source by its manifest.

    Parameters
    ----------
    manifest_path
        The manifest.
    load_sae
        Loads an SAE (`saes.saved.load_saved_sae`), where one generates the rows.

    Raises
    ------
    InputError
        If the manifest is missing, damaged or not that of a source, or what it stands for is.
    """
    stage = read_manifest(manifest_path).get("stage")
    if stage not in OPENERS:
        raise InputError(
            f"{manifest_path}: stage is {stage!r}, not that of a source "
            f"({', '.join(map(repr, OPENERS))}); name the manifest.json in the source's own folder"
        )
    module, name = OPENERS[stage]
    opener: Callable[..., Source] = getattr(import_module(module), name)
    wanted = (load_sae,) if stage == "make_semi_synthetic" else ()
    return opener(manifest_path, *wanted)
