"""The truth of a synthetic world: directions, correlations, and how often features fire."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from correct_l0.sources.synthetic.correlations import (
    low_rank_weights,
    pair_correlation,
    random_correlation,
    root_of,
)
from correct_l0.sources.synthetic.hierarchy import compensated, grow, rates
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.world import build_world, firing_correlation, firing_rates

INDEPENDENT = {"correlation": None}


def test_expected_correlation_by_scipys_integral():
    world = build_world(Synthetic())
    p, limits = world.probabilities, world.thresholds
    expected, correlation = firing_correlation(world), world.correlation
    for i, j in ((0, 1), (3, 40), (20, 21), (48, 49)):
        both = multivariate_normal(cov=correlation[np.ix_([i, j], [i, j])])
        both = both.cdf([-limits[i], -limits[j]])
        by_hand = (both - p[i] * p[j]) / np.sqrt(p[i] * (1 - p[i]) * p[j] * (1 - p[j]))
        assert expected[i, j] == pytest.approx(by_hand, abs=1e-5)
    assert norm.sf(limits) == pytest.approx(Synthetic().firing.probabilities(50))


def test_random_correlations_have_the_shares_asked_for():
    """With entries too small for the matrix to be infeasible, nothing is clipped."""
    matrix = random_correlation(50, sparsity=0.3, low=0.01, high=0.02, seed=42)
    values = matrix[np.triu_indices(50, 1)]
    assert np.count_nonzero(np.abs(values) < 1e-12) == round(0.3 * 1225)
    others = values[np.abs(values) > 1e-12]
    assert np.count_nonzero(others > 0) - np.count_nonzero(others < 0) in (0, 1)
    assert np.abs(others).min() >= 0.01 - 1e-12
    assert np.abs(others).max() <= 0.02 + 1e-12


def test_the_papers_matrix_is_made_feasible():
    matrix = random_correlation(50, 0.3, 0.3, 0.9, seed=42)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.diag(matrix) == pytest.approx(np.ones(50))
    root = root_of(matrix)
    assert root @ root.T == pytest.approx(matrix)
    assert build_world(Synthetic()).correlation == pytest.approx(matrix)


def test_a_singular_correlation():
    """Correlation one half with four others: the first Gaussian is their mean times two."""
    root = root_of(pair_correlation([(0, other, 0.5) for other in range(1, 5)], 5))
    first, *others = root
    assert first == pytest.approx(np.sum(others, axis=0) / 2, abs=1e-6)


def test_low_rank_correlations():
    """Two features of 16 causes of weight 0.1 have a correlation of variance 16 x 0.1^4."""
    settings = Synthetic(
        features=400, d_in=8, directions="random", firing={"law": "constant", "p": 0.5},
        correlation={"kind": "low_rank", "rank": 16, "scale": 0.1, "seed": 3},
    )  # fmt: skip
    world = build_world(settings)
    correlation = world.correlation
    assert np.diag(correlation) == pytest.approx(np.ones(400))
    values = correlation[np.triu_indices(400, 1)]
    assert values.std() == pytest.approx(0.04, abs=0.001)
    # Firing half the time: arcsine law.
    expected = firing_correlation(world)[np.triu_indices(400, 1)]
    assert expected == pytest.approx(2 / np.pi * np.arcsin(values), abs=1e-9)


def test_common_causes_leave_a_feature_something_of_its_own():
    weights = low_rank_weights(1000, rank=24, scale=0.2, seed=0)  # 0.96 on average
    squares = np.square(weights).sum(axis=1)
    assert squares.max() == pytest.approx(0.99)
    assert np.count_nonzero(squares > 0.9899) > 300
    assert np.count_nonzero(squares < 0.98) > 300


def test_directions():
    rows = build_world(Synthetic()).directions
    assert rows @ rows.T == pytest.approx(np.eye(50), abs=1e-6)
    crowded = build_world(Synthetic(d_in=40, directions="spread")).directions
    assert np.linalg.norm(crowded, axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    assert crowded.T @ crowded == pytest.approx(50 / 40 * np.eye(40), abs=1e-5)
    assert np.abs((crowded @ crowded.T)[np.triu_indices(50, 1)]).max() < 0.5
    random = build_world(Synthetic(d_in=40, directions="random")).directions
    assert np.linalg.norm(random, axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    assert np.square(random @ random.T).sum() > np.square(crowded @ crowded.T).sum() + 10


def test_the_bias_has_its_norm():
    assert np.linalg.norm(build_world(Synthetic(bias=2.5)).bias) == pytest.approx(2.5)
    assert not build_world(Synthetic()).bias.any()


def test_a_tree_is_numbered_level_by_level():
    tree = grow(roots=2, branching=2, depth=2, exclusive=0.5, seed=0)
    assert [(level.start, level.stop) for level in tree.levels()] == [(0, 2), (2, 6), (6, 14)]
    assert tree.children(np.arange(tree.parents)).ravel().tolist() == list(range(2, 14))
    assert tree.exclusive.sum() == 3  # of six parents


def test_firing_under_a_parent():
    """Root 0.5, child 0.4 of that, grandchild 0.2 of that."""
    tree = grow(roots=1, branching=1, depth=2, exclusive=0.0, seed=0)
    assert rates(np.array([0.5, 0.4, 0.2]), tree) == pytest.approx([0.5, 0.2, 0.04])


@pytest.mark.parametrize("branching", [2, 3, 4, 5])
def test_exclusive_siblings_by_all_their_cases(branching):
    own = np.linspace(0.1, 0.9, branching + 1)
    tree = grow(roots=1, branching=branching, depth=1, exclusive=1.0, seed=0)
    expected = np.zeros(branching)
    for case in itertools.product((0, 1), repeat=branching):
        fires = np.array(case)
        probability = np.where(fires, own[1:], 1 - own[1:]).prod()
        expected += probability * fires / max(1, fires.sum())
    assert rates(own, tree) == pytest.approx([0.1, *(0.1 * expected)], abs=1e-12)


def test_compensated_trees_fire_as_wanted_without_exclusion():
    wanted = np.linspace(0.4, 0.01, 14)
    tree = grow(roots=2, branching=2, depth=2, exclusive=0.0, seed=0)
    assert rates(compensated(wanted, tree), tree) == pytest.approx(wanted)
    # Exclusive siblings are compensated for too little.
    tree = grow(roots=2, branching=2, depth=2, exclusive=1.0, seed=0)
    assert (rates(compensated(wanted, tree), tree) < wanted + 1e-12).all()


def test_what_is_cut_to_zero_does_not_fire():
    """Mean and standard deviation 1: a normal variable above -1, 0.8413 of the time."""
    settings = Synthetic(firing={"law": "constant", "p": 0.1}, magnitude={"mean": 1, "std": 1})
    found = firing_rates(build_world(settings))
    assert found == pytest.approx(np.full(50, 0.1 * 0.841345), abs=1e-7)


def test_no_formula_for_trees_of_correlated_features():
    trees = {"hierarchy": {"roots": 2, "branching": 2, "depth": 1}}
    assert firing_rates(build_world(Synthetic(**trees))) is None
    assert firing_rates(build_world(Synthetic(**trees, correlation=None))) is not None
    with pytest.raises(ValueError, match="have no correlation in closed form"):
        firing_correlation(build_world(Synthetic(**trees)))
