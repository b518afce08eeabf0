"""Samples of a synthetic world, batch by batch: each is a function of the seed and step alone.

Of few features all Gaussians and magnitudes are drawn, in buffers made once. Of many, where few
fire in a sample, only what can fire is looked at (`sparse.SparseSampler`).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.sources.synthetic.sparse import Firing, SparseSampler
from correct_l0.sources.synthetic.world import World

PURPOSES = ("train", "measure", "survey", "spare")
"""Samples measured on come from another stream than those trained on, whatever the seed. A world's
constants are measured on a third one; a fourth takes the place of what is left out of training."""

SINKS = 1
"""Tells the draws of which samples are sinks from those of the samples."""

# The two ways draw other samples of one world: part of the recipe.
DENSE_FEATURES = 1024
"""Most features of which all are drawn."""

Purpose = Literal["train", "measure", "survey", "spare"]


class Sampler(Protocol):
    """What fires in the samples of one step."""

    def magnitudes(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch features"]:
        """Return the magnitude of each feature, zero where it does not fire."""

    def firing(self, entropy: tuple[int, ...]) -> Firing:
        """Return what fires, sample by sample."""

    def batch(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch d_in"]:
        """Return the samples, without the bias."""


class Stream:
    """An endless stream of batches; any batch can be made at any time, in any order.

    Parameters
    ----------
    world
        The true features.
    seed
        Seed of the stream.
    batch_tokens
        Samples per batch.
    purpose
        One of `PURPOSES`.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, section 3: x = sum of m_i f_i over the features that
    fire; a Gaussian copula decides which, m_i = ReLU(N(1, 0.15)).
    """

    def __init__(
        self, world: World, seed: int, batch_tokens: int, purpose: Purpose = "train"
    ) -> None:
        self._entropy = (PURPOSES.index(purpose), seed)
        self._bias = torch.from_numpy(world.bias) if world.bias.any() else None
        low_rank = world.own.any() and world.weights.shape[1]
        dense = world.tree is None and not low_rank and world.count <= DENSE_FEATURES
        kind = DenseSampler if dense else SparseSampler
        self._sampler: Sampler = kind(world, batch_tokens)
        self._sink = None if world.sink is None else torch.from_numpy(world.sink)
        self._sinks = batch_tokens, world.sink_share

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the samples of one step, counted from 0."""
        batch = self._sampler.batch((*self._entropy, step))
        if self._bias is not None:
            batch.add_(self._bias)
        if self._sink is not None:
            batch[torch.from_numpy(self._is_sink(step))] = self._sink
        return batch

    def firing(self, step: int) -> Firing:
        """Return which features fire in the samples of one step, and how strongly."""
        firing = self._sampler.firing((*self._entropy, step))
        if self._sink is None:
            return firing
        fires = ~self._is_sink(step)[firing.rows]
        return Firing(*(values[fires] for values in firing))

    def magnitudes(self, step: int) -> Float[Tensor, "batch features"]:
        """Return the magnitude of each feature in each sample, zero where it does not fire.

        Overwritten by the next call.
        """
        magnitudes = self._sampler.magnitudes((*self._entropy, step))
        if self._sink is not None:
            magnitudes[torch.from_numpy(self._is_sink(step))] = 0
        return magnitudes

    def _is_sink(self, step: int) -> Bool[np.ndarray, " batch"]:
        """Return which samples of a step are the sink alone."""
        rows, share = self._sinks
        drawn = np.random.default_rng(np.random.SeedSequence((*self._entropy, step, SINKS)))
        return drawn.random(rows) < share

    def fires(self, step: int) -> Bool[Tensor, "batch features"]:
        """Return which features fire in the samples of one step."""
        return self.magnitudes(step) > 0


class Ordinary:
    """A stream whose outlying samples are left out, another sample in the place of each.

    Parameters
    ----------
    rows
        The stream.
    spare
        Where the others come from.
    limit
        The norm above which a sample is outlying.
    """

    def __init__(self, rows: Stream | Ahead, spare: Stream, limit: float) -> None:
        self._rows, self._spare, self._limit = rows, spare, limit

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the samples of one step."""
        batch = self._rows.batch(step)
        places = (batch.norm(dim=1) > self._limit).nonzero()[:, 0]
        block = 0
        while len(places):
            # Blocks of a step are numbered behind it, far from those of any other step.
            others = self._spare.batch((block << 48) + step)
            others = others[others.norm(dim=1) <= self._limit][: len(places)]
            batch[places[: len(others)]] = others
            places = places[len(others) :]
            block += 1
        return batch


class DenseSampler:
    """Draws all Gaussians and all magnitudes."""

    def __init__(self, world: World, batch_tokens: int) -> None:
        self._directions = torch.from_numpy(world.directions)
        self._root = None
        if world.weights.shape[1]:
            self._root = torch.tensor(world.weights.T.copy(), dtype=torch.float32)
        self._thresholds = torch.tensor(world.thresholds, dtype=torch.float32)
        self._mean = torch.tensor(world.magnitude_mean, dtype=torch.float32)
        self._std = torch.tensor(world.magnitude_std, dtype=torch.float32)
        self._generator = torch.Generator()
        self._normals = torch.empty(2, batch_tokens, world.count)
        self._gaussians = torch.empty(batch_tokens, world.count)
        self._fires = torch.empty(batch_tokens, world.count, dtype=torch.bool)

    def batch(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch d_in"]:
        """Return the samples, without the bias."""
        return torch.mm(self.magnitudes(entropy), self._directions)

    def magnitudes(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch features"]:
        """Return the magnitude of each feature, zero where it does not fire."""
        # torch seeds its generator with 32 bits: hashed, so that streams and steps do not run
        # into one another.
        state = np.random.SeedSequence(entropy).generate_state(1)
        self._generator.manual_seed(int(state[0]))
        independent, magnitudes = self._normals.normal_(generator=self._generator)
        gaussians = independent
        if self._root is not None:
            gaussians = torch.mm(independent, self._root, out=self._gaussians)
        torch.gt(gaussians, self._thresholds, out=self._fires)
        return magnitudes.mul_(self._std).add_(self._mean).relu_().mul_(self._fires)

    def firing(self, entropy: tuple[int, ...]) -> Firing:
        """Return what fires, sample by sample."""
        magnitudes = self.magnitudes(entropy).numpy()
        rows, columns = magnitudes.nonzero()
        return Firing(rows, columns, magnitudes[rows, columns])


class Ahead:
    """A stream whose next batches are made by threads meanwhile: where another device trains.

    Parameters
    ----------
    world, seed, batch_tokens
        Those of `Stream`; the batches are the same.
    threads
        Batches in the making.
    """

    def __init__(self, world: World, seed: int, batch_tokens: int, threads: int) -> None:
        # A stream has buffers, which one thread at a time may use.
        self._streams = [Stream(world, seed, batch_tokens) for _ in range(threads)]
        self._workers = [ThreadPoolExecutor(max_workers=1) for _ in range(threads)]
        self._made: dict[int, Future[Tensor]] = {}

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the samples of one step."""
        wanted = range(step, step + len(self._workers) + 1)
        self._made = {s: self._made[s] if s in self._made else self._submit(s) for s in wanted}
        return self._made.pop(step).result()

    def _submit(self, step: int) -> Future[Tensor]:
        place = step % len(self._workers)
        return self._workers[place].submit(self._streams[place].batch, step)
