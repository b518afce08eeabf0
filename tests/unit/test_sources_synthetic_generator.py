"""The samples: how often features fire, how firings correlate, and what a batch depends on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from correct_l0.sources.synthetic.generator import Ahead, DenseSampler, Stream
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.sparse import RARE, SparseSampler, occurring
from correct_l0.sources.synthetic.world import build_world, firing_correlation, firing_rates

SAMPLES = 100_000

PAPER = Synthetic()
LOW_RANK = Synthetic(
    features=40, d_in=16, directions="random",
    firing={"law": "linear", "p_max": 0.4, "p_min": 0.002},
    correlation={"kind": "low_rank", "rank": 3, "scale": 0.4},
)  # fmt: skip
TREES = Synthetic(
    features=60, firing={"law": "linear", "p_max": 0.5, "p_min": 0.1}, correlation=None,
    hierarchy={"roots": 4, "branching": 3, "depth": 2, "exclusive": 0.5, "scaled": True},
    magnitude={"mean": {"law": "linear", "first": 3, "last": 1}, "std": 0.5}, d_in=60, bias=1.0,
)  # fmt: skip
CORRELATED_TREES = TREES.model_copy(update={"correlation": Synthetic().correlation})


def rates_of(fires):
    return fires.float().mean(dim=0).double().numpy()


def errors_of(rates, samples=SAMPLES):
    return np.sqrt(rates * (1 - rates) / samples)


@pytest.fixture(scope="module")
def papers():
    """The paper's features, and what fires in samples of them."""
    world = build_world(PAPER)
    return world, Stream(world, 0, SAMPLES, "measure").fires(0).numpy()


def test_firing_rates_are_the_probabilities(papers):
    world, fires = papers
    p = world.probabilities
    assert np.abs((fires.mean(axis=0) - p) / errors_of(p)).max() < 4
    assert fires.sum(axis=1).mean() == pytest.approx(10.9525, abs=0.1)


def test_firings_correlate_as_the_bivariate_normal_says(papers):
    world, fires = papers
    expected = firing_correlation(world)
    measured = np.corrcoef(fires.T)
    assert np.abs(measured - expected).max() < 5 / np.sqrt(SAMPLES)
    assert np.abs(expected[np.triu_indices(50, 1)]).max() > 0.2


def test_the_papers_samples_are_recorded():
    """As the toy model of recipe 1 made them."""
    world = build_world(PAPER)
    batch = Stream(world, 7, 16).batch(5)
    recorded = [-0.19150739908218384, 0.35194340348243713, -0.7263481020927429, 0.33104103803634644]
    assert batch[0, :4].numpy() == pytest.approx(recorded, abs=1e-6)
    assert batch.double().sum().item() == pytest.approx(-11.414837596756115, abs=1e-4)
    pairs = [(0, other, 0.4) for other in range(1, 5)]
    small = Synthetic(
        features=5, d_in=20, firing=[0.4] * 5, magnitude={"std": 0},
        correlation={"kind": "pairs", "pairs": pairs},
    )  # fmt: skip
    batch = Stream(build_world(small), 7, 16).batch(5)
    recorded = [0.16769376397132874, -0.1031695306301117, 0.1671549379825592, 0.02018730342388153]
    assert batch[0, :4].numpy() == pytest.approx(recorded, abs=1e-6)
    crowded = build_world(Synthetic(d_in=40, directions="spread"))
    recorded = [-0.4121956527233124, 0.8252319693565369, 0.5965299010276794, -0.6451765894889832]
    assert Stream(crowded, 7, 16).batch(5)[0, :4].numpy() == pytest.approx(recorded, abs=1e-6)


def test_low_rank_firings():
    """Drawn from the causes down, they follow the same law as the Gaussians written out."""
    world = build_world(LOW_RANK)
    stream = Stream(world, 0, SAMPLES)
    assert isinstance(stream._sampler, SparseSampler)
    fires = stream.fires(0)
    p = world.probabilities
    assert np.abs((rates_of(fires) - p) / errors_of(p)).max() < 4
    frequent = slice(0, 25)
    measured = np.corrcoef(fires.numpy()[:, frequent].T)
    expected = firing_correlation(world)[frequent, frequent]
    assert np.abs(measured - expected).max() < 5.5 / np.sqrt(SAMPLES)
    assert np.abs(expected - np.eye(25)).max() > 0.1


@pytest.mark.parametrize("settings", [TREES, CORRELATED_TREES])
def test_children_fire_only_with_their_parents(settings):
    world = build_world(settings)
    fires = Stream(world, 3, 20_000).fires(0).numpy()
    tree = world.tree
    parents = np.arange(tree.parents)
    children = tree.children(parents)
    for parent, exclusive in zip(parents, tree.exclusive, strict=True):
        below = fires[:, children[parent]].sum(axis=1)
        assert below[~fires[:, parent]].max() == 0
        assert below.max() == (1 if exclusive else 3)


def test_trees_fire_at_the_rates_of_the_formula():
    world = build_world(TREES)
    expected = firing_rates(world)
    measured = rates_of(Stream(world, 0, SAMPLES).fires(0))
    assert np.abs((measured - expected) / errors_of(expected)).max() < 4
    assert measured.sum() == pytest.approx(expected.sum(), abs=0.05)


def test_trees_of_correlated_features_keep_their_roots_rates():
    world = build_world(CORRELATED_TREES)
    fires = Stream(world, 0, SAMPLES).fires(0)
    roots_and_loners = np.r_[0:4, 52:60]
    expected = world.probabilities[roots_and_loners]
    measured = rates_of(fires)[roots_and_loners]
    assert np.abs((measured - expected) / errors_of(expected)).max() < 4
    measured = np.corrcoef(fires.numpy()[:, roots_and_loners].T)
    flat = dataclasses.replace(world, tree=None)
    expected = firing_correlation(flat)[np.ix_(roots_and_loners, roots_and_loners)]
    assert np.abs(measured - expected).max() < 5 / np.sqrt(SAMPLES)


def test_children_are_scaled_by_their_parents():
    """A child's magnitude over its parent's, relative to its mean, is a normal variable."""
    world = build_world(TREES)
    magnitudes = Stream(world, 0, SAMPLES).magnitudes(0).double().numpy()
    children = world.tree.children(np.array([0]))[0]
    for child in children:
        both = magnitudes[:, child] > 0
        own = magnitudes[both, child] / magnitudes[both, 0] * world.magnitude_mean[0]
        assert own.mean() == pytest.approx(world.magnitude_mean[child], abs=2.5 / both.sum() ** 0.5)
        assert own.std() == pytest.approx(0.5, abs=2 / both.sum() ** 0.5)
        expected = world.magnitude_std[0] / world.magnitude_mean[0]
        ratio = magnitudes[both, 0] / world.magnitude_mean[0]
        assert ratio.std() == pytest.approx(expected, abs=2 / both.sum() ** 0.5)
    unscaled = dataclasses.replace(world, scaled=False)
    magnitudes = Stream(unscaled, 0, SAMPLES).magnitudes(0).double().numpy()
    own = magnitudes[magnitudes[:, children[0]] > 0, children[0]]
    assert own.std() == pytest.approx(0.5, abs=2 / len(own) ** 0.5)


@pytest.mark.parametrize("settings", [PAPER, LOW_RANK, TREES, CORRELATED_TREES])
def test_a_sample_is_the_sum_of_its_features_and_the_bias(settings):
    world = build_world(settings)
    stream = Stream(world, 0, 256)
    magnitudes = stream.magnitudes(3).clone()
    expected = magnitudes @ torch.from_numpy(world.directions) + torch.from_numpy(world.bias)
    assert torch.allclose(stream.batch(3), expected, atol=1e-5)
    firing = stream.firing(3)
    assert (np.diff(firing.rows) >= 0).all()
    assert (firing.values > 0).all()
    written = np.zeros(magnitudes.shape, dtype=np.float32)
    written[firing.rows, firing.columns] = firing.values
    assert np.array_equal(written, magnitudes.numpy())
    assert len(firing.rows) == np.count_nonzero(written)


def test_magnitudes():
    firing = Stream(build_world(PAPER), 0, 4096).magnitudes(0)
    firing = firing[firing > 0]
    assert firing.mean().item() == pytest.approx(1.0, abs=0.004)
    assert firing.std().item() == pytest.approx(0.15, abs=0.003)


@pytest.mark.parametrize("settings", [PAPER, LOW_RANK, TREES])
def test_a_batch_depends_on_seed_and_step_alone(settings):
    world = build_world(settings)
    stream = Stream(world, 7, 64)
    later = stream.batch(5).clone()
    stream.batch(2)
    assert torch.equal(stream.batch(5), later)
    assert torch.equal(Stream(world, 7, 64).batch(5), later)
    for other in (
        stream.batch(6), Stream(world, 8, 64).batch(5), Stream(world, 7, 64, "measure").batch(5),
        Stream(world, 7, 64, "survey").batch(5),
    ):  # fmt: skip
        assert not torch.equal(other, later)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_made_ahead_are_the_same(threads):
    world = build_world(LOW_RANK)
    ahead, stream = Ahead(world, 1, 32, threads), Stream(world, 1, 32)
    for step in (0, 1, 2, 3, 7, 2):
        assert torch.equal(ahead.batch(step), stream.batch(step))


def test_few_independent_features_are_drawn_densely_and_many_sparsely():
    few = Synthetic(correlation=None)
    assert isinstance(Stream(build_world(few), 0, 8)._sampler, DenseSampler)
    many = Synthetic(features=1025, directions="random", correlation=None)
    assert isinstance(Stream(build_world(many), 0, 8)._sampler, SparseSampler)


def test_rare_and_frequent_events_occur_as_often_as_they_should():
    margins = np.array([-3.5, -2.5, -2.1, -1, 0, 1, 3], dtype=np.float32)
    repeats = 400_000
    found = occurring(np.tile(margins, repeats), np.random.default_rng(0))
    assert (np.diff(found) > 0).all()
    measured = np.bincount(found % len(margins), minlength=len(margins)) / repeats
    expected = ndtr(margins.astype(float))
    assert np.abs((measured - expected) / errors_of(expected, repeats)).max() < 4
    assert expected[1] < RARE < expected[2]
