"""Samples of many features, of which few fire: from the roots of the trees down.

A feature of a tree is looked at only where its parent fires, and one that rarely fires only where a
rare event says that it may. Exact all the same: each feature fires with its own probability given
the common causes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr, ndtri
from torch import Tensor

from correct_l0.sources.synthetic.world import World

RARE = 1 / 64
"""Firings of at most this probability are looked for in a random share `RARE` of all places."""


class Firing(NamedTuple):
    """What fires in a batch, sample by sample."""

    rows: Int[np.ndarray, " n"]
    """Sample of each firing, not falling."""
    columns: Int[np.ndarray, " n"]
    """Feature of each firing."""
    values: Float[np.ndarray, " n"]
    """Its magnitude, above zero."""


class SparseSampler:
    """Draws what fires.

    Parameters
    ----------
    world
        The true features.
    batch_tokens
        Samples per batch.
    """

    def __init__(self, world: World, batch_tokens: int) -> None:
        self._shape = (batch_tokens, world.count)
        self._directions = torch.from_numpy(world.directions)
        self._mean = world.magnitude_mean.astype(np.float32)
        self._std = world.magnitude_std.astype(np.float32)
        self._tree, self._scaled = world.tree, world.scaled
        features = np.arange(world.count)
        if world.tree is not None:
            features = np.concatenate([features[: world.tree.roots], features[world.tree.size :]])
        self._tops = features
        gaussians = _Causes if world.own.any() else _Whole
        self._gaussians: _Gaussians = gaussians(world, batch_tokens, features)

    def batch(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch d_in"]:
        """Return the samples, without the bias."""
        firing = self.firing(entropy)
        starts = np.searchsorted(firing.rows, np.arange(self._shape[0]))
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(firing.columns),
            self._directions,
            torch.from_numpy(starts),
            mode="sum",
            per_sample_weights=torch.from_numpy(firing.values),
        )

    def magnitudes(self, entropy: tuple[int, ...]) -> Float[Tensor, "batch features"]:
        """Return the magnitude of each feature, zero where it does not fire."""
        firing = self.firing(entropy)
        magnitudes = np.zeros(self._shape, dtype=np.float32)
        magnitudes[firing.rows, firing.columns] = firing.values
        return torch.from_numpy(magnitudes)

    def firing(self, entropy: tuple[int, ...]) -> Firing:
        """Return what fires, sample by sample."""
        generator = np.random.default_rng(np.random.SeedSequence(entropy))
        rows, places = np.divmod(self._gaussians.tops(generator), len(self._tops))
        columns = self._tops[places]
        values = self._draw(columns, generator)
        positive = values > 0
        found = [Firing(rows[positive], columns[positive], values[positive])]
        while self._tree is not None and len(found[-1].rows):
            found.append(self._below(found[-1], generator))
        rows, columns, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(rows, kind="stable")
        return Firing(rows[order], columns[order], values[order])

    def _below(self, above: Firing, generator: np.random.Generator) -> Firing:
        """Return what fires on the level below what fires."""
        tree = self._tree
        assert tree is not None
        rows, parents, values = (part[above.columns < tree.parents] for part in above)
        children = tree.children(parents)
        fires = self._gaussians.fires(rows, children, generator)
        drawn = self._draw(children, generator)
        fires &= drawn > 0
        winners = np.where(fires, generator.random(fires.shape), -1.0).argmax(axis=1)
        fires &= ~tree.exclusive[parents, None] | (np.arange(tree.branching) == winners[:, None])
        if self._scaled:
            drawn *= (values / self._mean[parents])[:, None]
        return Firing(np.repeat(rows, fires.sum(axis=1)), children[fires], drawn[fires])

    def _draw(
        self, columns: Int[np.ndarray, "*n"], generator: np.random.Generator
    ) -> Float[np.ndarray, "*n"]:
        """Return magnitudes, of which those not above zero stand for none."""
        normals = generator.standard_normal(columns.shape, dtype=np.float32)
        return self._mean[columns] + self._std[columns] * normals


class _Gaussians(Protocol):
    """Whether the features' Gaussians are above their thresholds, in the samples of a batch."""

    def tops(self, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
        """Begin a batch; return where those of features without a parent are.

        Positions in the array of shape (batch, features without a parent), flattened; rising.
        """

    def fires(
        self,
        rows: Int[np.ndarray, " n"],
        columns: Int[np.ndarray, "n m"],
        generator: np.random.Generator,
    ) -> Bool[np.ndarray, "n m"]:
        """Return whether those of some features are, each asked for once."""


class _Whole:
    """Gaussians with a whole correlation matrix: all are drawn."""

    def __init__(self, world: World, batch_tokens: int, tops: Int[np.ndarray, " tops"]) -> None:
        self._shape, self._tops = (batch_tokens, world.count), tops
        self._root = world.weights.T.astype(np.float32)
        self._thresholds = world.thresholds.astype(np.float32)
        self._above = np.empty(0, dtype=bool)

    def tops(self, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
        gaussians = generator.standard_normal(self._shape, dtype=np.float32) @ self._root
        self._above = gaussians > self._thresholds
        return np.flatnonzero(self._above[:, self._tops])

    def fires(
        self,
        rows: Int[np.ndarray, " n"],
        columns: Int[np.ndarray, "n m"],
        generator: np.random.Generator,
    ) -> Bool[np.ndarray, "n m"]:
        return self._above[rows[:, None], columns]


class _Causes:
    """Gaussians of common causes and a part of their own, or of that alone.

    Given the causes the features are independent, and each fires with probability Phi(margin):
    margin = (weights . causes - threshold) / own.
    """

    def __init__(self, world: World, batch_tokens: int, tops: Int[np.ndarray, " tops"]) -> None:
        self._weights = (world.weights / world.own[:, None]).astype(np.float32)
        self._levels = (-world.thresholds / world.own).astype(np.float32)
        self._causes = np.empty((batch_tokens, world.weights.shape[1]), dtype=np.float32)
        self._top_weights = torch.from_numpy(self._weights[tops].T.copy())
        self._top_levels = torch.from_numpy(self._levels[tops])
        self._margins = torch.empty(batch_tokens, len(tops))

    def tops(self, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
        generator.standard_normal(dtype=np.float32, out=self._causes)
        causes = torch.from_numpy(self._causes)
        torch.addmm(self._top_levels, causes, self._top_weights, out=self._margins)
        return occurring(self._margins.numpy().ravel(), generator)

    def fires(
        self,
        rows: Int[np.ndarray, " n"],
        columns: Int[np.ndarray, "n m"],
        generator: np.random.Generator,
    ) -> Bool[np.ndarray, "n m"]:
        margins = self._levels[columns]
        margins += np.einsum("nc,nmc->nm", self._causes[rows], self._weights[columns])
        return above(margins, generator)


def occurring(
    margins: Float[np.ndarray, " places"], generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Return where independent events of probability Phi(margin) occur, in rising order.

    A number is drawn for each event of a probability above `RARE`. The others are looked for in a
    random share `RARE` of all places, and occur there with probability Phi(margin) / RARE.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> occurring(np.array([-20.0, 20.0, -20.0, 20.0]), generator).tolist()
    [1, 3]
    """
    limit = np.float32(ndtri(RARE))
    likely = np.flatnonzero(margins > limit)
    likely = likely[above(margins[likely], generator)]
    rare = _share(len(margins), RARE, generator)
    rare = rare[margins[rare] <= limit]
    chances = ndtr(margins[rare].astype(np.float64)) / RARE
    return np.sort(np.concatenate([likely, rare[generator.random(len(rare)) < chances]]))


def above(
    margins: Float[np.ndarray, "*n"], generator: np.random.Generator
) -> Bool[np.ndarray, "*n"]:
    """Draw an event of probability Phi(margin) for each margin."""
    return generator.standard_normal(margins.shape, dtype=np.float32) < margins


def _share(count: int, share: float, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Return a random subset of places, each there with the same probability."""
    expected = count * share
    parts: list[Int[np.ndarray, " n"]] = []
    last = -1
    while last < count:
        gaps = generator.geometric(share, size=int(expected + 5 * expected**0.5) + 1)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    places = np.concatenate(parts)
    return places[: np.searchsorted(places, count)]
