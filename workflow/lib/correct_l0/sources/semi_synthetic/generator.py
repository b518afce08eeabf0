"""Activations as an SAE decodes them from its own codes, row by row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from correct_l0.sources import Batches
    from correct_l0.sources.language_model.reader import Store


class Codec(Protocol):
    """An inference SAE on raw activations (`saes.saved.SavedSae`)."""

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_in"]:
        """Decoder."""

    @property
    def b_dec(self) -> Float[Tensor, " d_in"]:
        """Bias of the decoder."""

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        """Return latent activations."""

    def decode(self, acts: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_in"]:
        """Return the reconstruction of raw activations."""


LoadSae = Callable[[Path | str], Codec]
"""Loads the SAE in a folder."""


class Generator:
    """The rows of a cache, each as an SAE decodes it from its own codes.

    Parameters
    ----------
    sae
        The SAE.
    cache
        The activations that it was trained on.
    shuffled
        Whether the part that the SAE does not explain of another row is added to each.
    n_held_out
        How many held-out rows are used, the first ones.
    """

    def __init__(self, sae: Codec, cache: Store, *, shuffled: bool, n_held_out: int) -> None:
        self.sae = sae
        self.cache = cache
        self.shuffled = shuffled
        self.n_held_out = n_held_out

    def decoded(self, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_in"]:
        """Return what the SAE makes of some rows."""
        return self.sae.decode(self.sae.encode(x)).float()

    def mixed(self, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_in"]:
        """Return a training batch: its rows decoded, each with the residual of the row before it.

        Rows of a batch are in random order, so that the row before is any other one.
        """
        rows = self.decoded(x)
        return rows + (x - rows).roll(1, dims=0) if self.shuffled else rows

    def codes(self, start: int, stop: int) -> Float[Tensor, "rows d_sae"]:
        """Return the codes of held-out rows [start, stop)."""
        return self.sae.encode(self.cache.held_out(start, stop))

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return held-out rows [start, stop) decoded.

        They may be in order: the residual is that of the row half of them away.
        """
        rows = self.decoded(self.cache.held_out(start, stop))
        if self.shuffled:
            other = self._half_away(start, stop)
            rows += other - self.decoded(other)
        return rows

    def _half_away(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return the rows half of them after [start, stop), in a circle."""
        n = self.n_held_out
        first, last = start + n // 2, stop + n // 2
        parts = ((min(first, n), min(last, n)), (max(first, n) - n, max(last, n) - n))
        return torch.cat([self.cache.held_out(*part) for part in parts])


class Stream:
    """Training batches of a generator: a function of the cache, the seed and the step.

    Parameters
    ----------
    generator
        What makes them.
    batches
        The cache's own batches.
    prefetch
        Make the next step's batch in a thread meanwhile.
    """

    def __init__(self, generator: Generator, batches: Batches, *, prefetch: bool = False) -> None:
        self.generator = generator
        self.batches = batches
        # With one worker, nothing but it touches the cache's stream.
        self._worker = ThreadPoolExecutor(max_workers=1) if prefetch else None
        self._ahead: dict[int, Future[Tensor]] = {}

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the rows of a step, counted from 0."""
        if self._worker is None:
            return self._make(step)
        made = self._ahead.pop(step, None) or self._worker.submit(self._make, step)
        rows = made.result()
        self._ahead = {step + 1: self._worker.submit(self._make, step + 1)}
        return rows

    def _make(self, step: int) -> Tensor:
        return self.generator.mixed(self.batches.batch(step))
