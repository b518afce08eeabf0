"""One probe against the package's own functions."""

import importlib
from dataclasses import astuple

import numpy as np
import pytest
import torch
from sae_probes.utils_training import find_best_reg

from correct_l0.errors import InputError
from correct_l0.metrics.probing.probe import deduplicated_f1, fit_probe, quiet, rank_latents
from correct_l0.metrics.probing.saga import SagaRows

theirs = importlib.import_module("sae_probes.run_sae_evals")


def latents(rows, columns, distance, seed=0):
    """Sparse codes; the first columns tell the classes apart the more, the larger `distance`."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % 2)
    codes = draw.normal(size=(rows, columns)) + distance * labels[:, None] / (
        1 + np.arange(columns)
    )
    return np.where(codes > 0.5, 2 * codes, 0.0).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(4))
def test_ranking_is_the_packages(seed):
    codes, labels = (torch.from_numpy(a) for a in latents(300, 40, 0.5, seed))
    codes[:, 7] = 0
    expected = theirs.get_sorted_indices(codes, labels, theirs.mean_act_normalization)
    assert torch.equal(rank_latents(codes, labels), expected)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize(
    ("columns", "distance"), [(1, 0.0), (1, 0.4), (1, 3.0), (1, 50.0), (5, 0.3), (5, 50.0)]
)
@pytest.mark.numbers
def test_scores_are_the_packages(penalty, columns, distance):
    codes, labels = latents(500, columns, distance)
    train, test = slice(0, 300), slice(300, 500)
    with quiet():
        expected = find_best_reg(
            torch.from_numpy(codes[train]), torch.from_numpy(labels[train]),
            torch.from_numpy(codes[test]), torch.from_numpy(labels[test]),
            penalty=penalty, seed=42,
        ).metrics  # fmt: skip
        ours = fit_probe(
            codes[train].astype(np.float64), labels[train],
            codes[test].astype(np.float64), labels[test], penalty,
        )  # fmt: skip
    assert (ours.f1, ours.accuracy, ours.auc, ours.validation_auc) == astuple(expected)


def test_the_search_stops_once_no_other_penalty_can_win(monkeypatch):
    fits = []
    fit = SagaRows.fit
    monkeypatch.setattr(SagaRows, "fit", lambda self, c: fits.append(c) or fit(self, c))
    for columns, distance, expected in ((1, 0.4, 2), (5, 50.0, 2), (5, 0.3, 11)):
        codes, labels = latents(500, columns, distance)
        fits.clear()
        with quiet():
            fit_probe(codes.astype(np.float64), labels, codes[:50].astype(np.float64), labels[:50])
        assert len(fits) == expected


def test_a_dead_latent_scores_like_a_constant():
    labels = np.arange(400) % 2
    zeros = np.zeros((400, 1))
    with quiet():
        probe = fit_probe(zeros[:300], labels[:300], zeros[300:], labels[300:])
    assert probe.f1 == pytest.approx(1 / 3)
    assert (probe.accuracy, probe.auc) == (0.5, 0.5)


def test_too_few_rows():
    with pytest.raises(InputError, match="127 train rows, 128 needed; take a task"):
        fit_probe(np.zeros((127, 1)), np.arange(127) % 2, np.zeros((2, 1)), np.array([0, 1]))


def test_deduplicated_f1_by_hand():
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # Class 0: precision 1, recall 1/2, F1 2/3. Class 1: precision 2/3, recall 1, F1 4/5.
    everything = np.ones(4, bool)
    assert deduplicated_f1(labels, predictions, everything) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert deduplicated_f1(labels, predictions, np.array([1, 0, 1, 1], bool)) == 1
    assert deduplicated_f1(labels, predictions, ~everything) is None
