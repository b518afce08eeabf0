"""Trees of features: who is below whom, and how often each then fires."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Tree:
    """Trees of equal shape, their features numbered level by level from 0.

    The children of the parents of a level are the next level, in their order.

    Attributes
    ----------
    roots, branching, depth
        Number of trees, children of a parent, levels below the roots.
    exclusive
        By parent: whether at most one of its children fires.
    """

    roots: int
    branching: int
    depth: int
    exclusive: Bool[np.ndarray, " parents"]

    @property
    def size(self) -> int:
        """Number of features that are in a tree."""
        return size_of(self.roots, self.branching, self.depth)

    @property
    def parents(self) -> int:
        """Number of features that have children; they come first."""
        return len(self.exclusive)

    def levels(self) -> list[slice]:
        """Return the features of each level, roots first."""
        ends = np.cumsum([self.roots * self.branching**level for level in range(self.depth + 1)])
        starts = [0, *ends[:-1].tolist()]
        return [slice(start, int(end)) for start, end in zip(starts, ends, strict=True)]

    def children(self, parents: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n branching"]:
        """Return the children of features that have any.

        Examples
        --------
        >>> tree = grow(roots=2, branching=3, depth=1, exclusive=0.0, seed=0)
        >>> tree.children(np.array([0, 1])).tolist(), tree.size
        ([[2, 3, 4], [5, 6, 7]], 8)
        """
        first = self.roots + parents * self.branching
        return first[:, None] + np.arange(self.branching)


def size_of(roots: int, branching: int, depth: int) -> int:
    """Return the number of features in such trees.

    Examples
    --------
    >>> size_of(roots=128, branching=4, depth=3)
    10880
    """
    return sum(roots * branching**level for level in range(depth + 1))


def grow(roots: int, branching: int, depth: int, exclusive: float, seed: int) -> Tree:
    """Return trees in which a share `exclusive` of the parents, drawn at random, is exclusive."""
    parents = size_of(roots, branching, depth - 1)
    flags = np.zeros(parents, dtype=bool)
    chosen = np.random.default_rng((seed, 1)).permutation(parents)
    flags[chosen[: int(exclusive * parents)]] = True
    return Tree(roots, branching, depth, flags)


def compensated(
    wanted: Float[np.ndarray, " features"], tree: Tree
) -> Float[np.ndarray, " features"]:
    """Return how often each feature has to fire under its parent, to fire about as often as wanted.

    Exact without exclusive siblings. Of exclusive ones each is raised by the mean number of its
    rivals before they are raised themselves, which is too little: they then fire less than wanted.

    References
    ----------
    `compute_probability_correction_factors` of `sae_lens.synthetic.Hierarchy`: a child's
    probability is divided by its parent's, and among exclusive siblings multiplied by one plus the
    sum of the others' probabilities over the parent's.

    Examples
    --------
    A parent that fires half the time with two children that shall fire 0.1 of the time each.

    >>> tree = grow(roots=1, branching=2, depth=1, exclusive=0.0, seed=0)
    >>> compensated(np.array([0.5, 0.1, 0.1]), tree).tolist()
    [0.5, 0.2, 0.2]
    >>> tree = grow(roots=1, branching=2, depth=1, exclusive=1.0, seed=0)
    >>> compensated(np.array([0.5, 0.1, 0.1]), tree).round(6).tolist()
    [0.5, 0.24, 0.24]
    """
    own = wanted.copy()
    children = tree.children(np.arange(tree.parents))
    share = wanted[children] / wanted[: tree.parents, None]
    rivals = share.sum(axis=1, keepdims=True) - share
    alone = ~tree.exclusive[:, None] | (tree.branching < 2)
    own[children] = share * np.where(alone, 1.0, 1 + rivals)
    return own


def rates(own: Float[np.ndarray, " features"], tree: Tree) -> Float[np.ndarray, " features"]:
    """Return how often each feature fires, where features are independent but for the tree.

    Of siblings that exclude one another, each of those that would fire is drawn with the same
    probability: feature i of them fires with probability p_i E[1 / (1 + K)], K the number of others
    that would, and E[1 / (1 + K)] is the integral of E[t^K] = prod (1 - p_j + p_j t) over t from 0
    to 1: a polynomial, which Gauss and Legendre's rule integrates exactly.

    Parameters
    ----------
    own
        Probability that a feature fires where its parent does.
    tree
        Who is below whom.

    Examples
    --------
    Two exclusive children that would each fire half the time: 1/2 (1/2 + 1/2 1/2) = 3/8.

    >>> tree = grow(roots=1, branching=2, depth=1, exclusive=1.0, seed=0)
    >>> rates(np.array([0.4, 0.5, 0.5]), tree).round(6).tolist()
    [0.4, 0.15, 0.15]
    """
    found = own.copy()
    nodes, weights = np.polynomial.legendre.leggauss((tree.branching + 1) // 2)
    times, weights = (nodes + 1) / 2, weights / 2
    for level in tree.levels()[:-1]:
        parents = np.arange(level.start, level.stop)
        children = tree.children(parents)
        p = own[children]
        absent = 1 - p[:, :, None] * (1 - times)
        others = absent.prod(axis=1, keepdims=True) / absent
        drawn = p * (others @ weights)
        found[children] = found[parents, None] * np.where(tree.exclusive[parents, None], drawn, p)
    return found
