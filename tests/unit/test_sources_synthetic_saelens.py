"""Worlds described to SAELens' own generator and to ours: the same statistics of their samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sae_lens.synthetic import (
    FoldedNormalMagnitudeConfig,
    HierarchyConfig,
    LinearMagnitudeConfig,
    LowRankCorrelationConfig,
    SyntheticModel,
    SyntheticModelConfig,
    ZipfianFiringProbabilityConfig,
    compute_superposition_stats,
)
from sae_lens.synthetic.feature_dictionary import orthogonalize_embeddings
from scipy.special import ndtri

from correct_l0.sources.synthetic.directions import random_rows, spread_rows
from correct_l0.sources.synthetic.generator import Stream
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.world import build_world, firing_rates

BENCHMARK = yaml.safe_load(
    (Path(__file__).parents[2] / "config" / "synthsaebench-16k.yaml").read_text()
)["synthetic"]

SMALL = BENCHMARK | {
    "features": 400, "d_in": 48, "directions": "random",
    "firing": {"law": "zipf", "exponent": 0.5, "p_max": 0.4, "p_min": 0.005},
    "hierarchy": BENCHMARK["hierarchy"] | {"roots": 6, "branching": 3, "exclusive": 0.5},
    "correlation": {"kind": "low_rank", "rank": 6, "scale": 0.25},
}  # fmt: skip


def saelens_model(section):
    """Return SAELens' model of the same description, not orthogonalised."""
    settings = Synthetic.model_validate(section)
    firing, trees, magnitude = settings.firing, settings.hierarchy, settings.magnitude
    return SyntheticModel(
        SyntheticModelConfig(
            num_features=settings.features,
            hidden_dim=settings.d_in,
            firing_probability=ZipfianFiringProbabilityConfig(
                firing.exponent, firing.p_max, firing.p_min
            ),
            hierarchy=HierarchyConfig(
                total_root_nodes=trees.roots,
                branching_factor=trees.branching,
                max_depth=trees.depth,
                mutually_exclusive_portion=trees.exclusive,
                compensate_probabilities=trees.compensated,
                scale_children_by_parent=trees.scaled,
            ),
            correlation=LowRankCorrelationConfig(
                settings.correlation.rank, settings.correlation.scale
            ),
            mean_firing_magnitudes=LinearMagnitudeConfig(magnitude.mean.first, magnitude.mean.last),
            std_firing_magnitudes=FoldedNormalMagnitudeConfig(
                magnitude.std.mean, magnitude.std.std
            ),
            bias=settings.bias,
            seed=settings.seed,
        )
    )


def world_with_draws_of(model, section):
    """Return our world with all that SAELens has drawn at random in the place of our draws."""
    settings = Synthetic.model_validate(section)
    world = build_world(settings)
    weights, own = model.activation_generator.low_rank_correlation
    exclusive, level = [], list(model.hierarchy.roots)
    while level and level[0].children:
        exclusive += [node.mutually_exclusive_children for node in level]
        level = [child for node in level for child in node.children]
    tree = dataclasses.replace(world.tree, exclusive=np.array(exclusive))
    return dataclasses.replace(
        world,
        directions=model.feature_dict.feature_vectors.detach().numpy(),
        bias=model.feature_dict.bias.detach().numpy(),
        weights=weights.double().numpy(),
        own=own.double().numpy(),
        magnitude_std=model.activation_generator.std_firing_magnitudes.double().numpy(),
        tree=tree,
        thresholds=ndtri(1 - settings.own_probabilities(tree)),
    )


def samples_of(model, batches, batch_tokens):
    """Return SAELens' samples and magnitudes, drawn with a seed of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pairs = [model.sample_with_features(batch_tokens) for _ in range(batches)]
    return tuple(torch.cat(parts).double().numpy() for parts in zip(*pairs, strict=True))


def deviations(ours, theirs):
    """Return the difference of the means of two samples, in standard errors, by column."""
    error = np.sqrt(ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs))
    return np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / np.maximum(error, 1e-12)


@pytest.fixture(scope="module")
def small():
    """The small world's model, and (samples, magnitudes) of ours and of theirs."""
    model = saelens_model(SMALL)
    world = world_with_draws_of(model, SMALL)
    stream = Stream(world, 0, 20_000)
    ours = stream.batch(0).double().numpy(), stream.magnitudes(0).double().numpy()
    return world, model, ours, samples_of(model, 4, 5000)


def test_the_own_probabilities_are_saelens(small):
    world, model, _, _ = small
    theirs = model.activation_generator.firing_probabilities.double().numpy()
    assert world.probabilities == pytest.approx(theirs, abs=1e-6)
    assert world.magnitude_mean == pytest.approx(
        model.activation_generator.mean_firing_magnitudes.double().numpy(), abs=1e-6
    )
    assert 0 < world.tree.exclusive.sum() < len(world.tree.exclusive)


def test_features_fire_as_often_together_and_as_strongly_as_in_saelens(small):
    _, _, (_, ours), (_, theirs) = small
    assert deviations(ours > 0, theirs > 0).max() < 4  # of 400 rates
    assert deviations(ours, theirs).max() < 4  # of 400 mean magnitudes
    frequent = (ours > 0).mean(axis=0) > 0.02
    assert frequent.sum() > 50
    together = [
        (values[:, frequent, None] * values[:, None, frequent]).reshape(len(values), -1)
        for values in (ours[:4000] > 0, theirs[:4000] > 0)
    ]
    seen = np.add(*(values.sum(axis=0) for values in together)) > 20
    assert deviations(*(values[:, seen] for values in together)).max() < 5  # of thousands of pairs


def test_samples_have_saelens_moments(small):
    _, _, (ours, _), (theirs, _) = small
    assert deviations(ours, theirs).max() < 4
    assert deviations(np.square(ours), np.square(theirs)).max() < 4
    norms = [np.linalg.norm(values, axis=1)[:, None] for values in (ours, theirs)]
    assert deviations(*norms)[0] < 3


def test_the_formula_of_exclusive_trees_is_what_saelens_samples():
    """Without correlations, where there is a formula."""
    model = saelens_model(SMALL)
    world = world_with_draws_of(model, SMALL)
    model.activation_generator.low_rank_correlation = None
    independent = dataclasses.replace(
        world, weights=np.zeros((world.count, 0)), own=np.ones(world.count)
    )
    expected = firing_rates(independent)
    tokens = 50_000
    _, magnitudes = samples_of(model, 10, tokens // 10)
    errors = np.sqrt(expected * (1 - expected) / tokens)
    assert np.abs(((magnitudes > 0).mean(axis=0) - expected) / errors).max() < 4.5  # of 400


def test_synthsaebench_16k():
    """Published: true L0 about 34, of which about 25 from the 4,096 most frequent features."""
    model = saelens_model(BENCHMARK)
    world = build_world(Synthetic.model_validate(BENCHMARK | {"directions": "random"}))
    firings = [Stream(world, 0, 1024).firing(step) for step in range(10)]
    rows = np.concatenate([f.rows + 1024 * step for step, f in enumerate(firings)])
    columns = np.concatenate([f.columns for f in firings])
    l0 = np.bincount(rows, minlength=10 * 1024)
    of_frequent = np.bincount(rows[columns < 4096], minlength=10 * 1024)
    assert l0.mean() == pytest.approx(34.4, abs=0.3)
    assert of_frequent.mean() == pytest.approx(25.1, abs=0.25)
    # SAELens writes all features of every sample out: few samples have to do.
    same_draws = world_with_draws_of(model, BENCHMARK | {"directions": "random"})
    firing = Stream(same_draws, 0, 1024).firing(0)
    ours = np.bincount(firing.rows, minlength=1024)[:, None]
    _, theirs = samples_of(model, 1, 512)
    assert deviations(ours, (theirs > 0).sum(axis=1)[:, None])[0] < 3
    assert ours.mean() == pytest.approx(34.4, abs=1)


def test_random_directions_overlap_as_saelens():
    """16,384 directions in 768 dimensions: mean |cosine| sqrt(2 / (pi 768)) = 0.0288."""
    model = saelens_model(SMALL)
    theirs = compute_superposition_stats(model.feature_dict, percentiles=[])
    rows = random_rows(400, 48, 0)
    cosines = np.abs(rows @ rows.T)[np.triu_indices(400, 1)]
    # 79,800 cosines with a standard deviation of 0.087.
    assert cosines.mean() == pytest.approx(theirs.mean_abs_cos_sim, abs=4 * 2**0.5 * 0.087 / 282)
    rows = random_rows(16_384, 768, 0)[::8]
    cosines = np.abs(rows @ rows.T)[np.triu_indices(2048, 1)]
    assert cosines.mean() == pytest.approx((2 / np.pi / 768) ** 0.5, abs=1e-4)


def test_spread_directions_overlap_as_saelens_orthogonalised_ones():
    """In SynthSAEBench's ratio of features to dimensions 100 steps reach the least there is."""
    features, d_in = 512, 24
    start = torch.tensor(random_rows(features, d_in, 0), dtype=torch.float32)
    # The published 3e-4, relative to the size of a unit vector's entries.
    lr = 3e-4 * (768 / d_in) ** 0.5
    theirs = orthogonalize_embeddings(start, num_steps=100, lr=lr).double().numpy()
    ours = spread_rows(features, d_in, 0)
    pairs = np.triu_indices(features, 1)
    ours, theirs, before = (
        (rows @ rows.T)[pairs] for rows in (ours, theirs, start.double().numpy())
    )
    least = (features / d_in - 1) / (features - 1)
    assert np.square(ours).mean() == pytest.approx(least, rel=1e-6)
    assert np.square(theirs).mean() == pytest.approx(least, rel=1e-3)
    assert np.square(before).mean() > 1.03 * least
    # Two draws of 131,000 cosines with a standard deviation of 0.6 of their mean.
    assert np.abs(ours).mean() == pytest.approx(np.abs(theirs).mean(), rel=4 * 2**0.5 * 0.6 / 362)
