"""Hedging: what one latent makes of two features that fire together; and absorption, of two.

Two orthonormal features of magnitude 1. The closed form is that of the best SAE with one latent;
the simulation trains such SAEs with this project's step.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.metrics.assignment import unit_rows
from correct_l0.metrics.recovery.matching import NO_LATENT, match_features
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.settings import SaeSettings
from correct_l0.saes.training_settings import Training


class Pair(NamedTuple):
    """When two features fire: probabilities of either, and of both."""

    first: float
    second: float
    both: float

    @property
    def states(self) -> Float[np.ndarray, "4"]:
        """Probabilities that neither fires, the first alone, the second alone, both."""
        first, second, both = self
        return np.array([1 - first - second + both, first - both, second - both, both])


def given(first: float, with_it: float, without: float) -> Pair:
    """Return a pair by the probability of the second feature with the first, and without.

    Examples
    --------
    >>> given(0.25, with_it=0.2, without=0.0)
    Pair(first=0.25, second=0.05, both=0.05)
    """
    both = first * with_it
    return Pair(first, both + (1 - first) * without, both)


CASES = {
    "independent": given(0.25, 0.2, 0.2),
    "hierarchical": given(0.25, 0.2, 0.0),
    "correlated": given(0.25, 0.2, 0.1),
    "anti-correlated": given(0.25, 0.1, 0.2),
}
"""The pairs of the authors' notebooks."""

D_IN, BATCH, STEPS, LR, NOISE, SEEDS = 10, 1024, 600, 5e-3, 0.1, (0, 1)
"""Of the simulation; the noise is that of each weight at the start."""

CLEAR = 0.1
"""|cosine| with the other feature from which on a latent has a part of it."""


def best_latent(pair: Pair) -> tuple[float, float]:
    """Return the cosines of the best SAE's only latent with both features.

    "Best" is by squared error, of every SAE with one latent a(x) >= 0 and a bias b: its
    reconstruction b + a(x) u lies on a line, so that it misses x by no less than x's distance to
    that line, and the line with the least mean squared distance is the first principal axis. It is
    reached: with b on the axis, below all that is projected on it, a(x) = (x - b) u is never
    negative. So u is the first eigenvector of the firings' covariance,

        tan 2 phi = 2 (P12 - P1 P2) / (P1 (1 - P1) - P2 (1 - P2)),   u = (cos phi, sin phi):

    without a correlation the latent is right, with one it has a part of the feature that has no
    latent, of the correlation's sign.

    References
    ----------
    Chanin, Dulka and Garriga-Alonso, arXiv 2505.11756, who show it by training and by loss curves.

    Examples
    --------
    >>> first, second = best_latent(given(0.25, with_it=0.2, without=0.0))
    >>> round(first, 3), round(second, 3)
    (0.97, 0.243)
    >>> best_latent(given(0.25, with_it=0.2, without=0.2))
    (1.0, 0.0)
    """
    first, second, both = pair
    covariance = round(both - first * second, 15)
    double = math.atan2(2 * covariance, first * (1 - first) - second * (1 - second))
    return math.cos(double / 2), math.sin(double / 2)


def latent_of_first(pair: Pair) -> float:
    """Return the cosine with the second feature of a latent that fires with the first, and only so.

    Decoder and bias are then the mean differences: f_1 + (P(2 | 1) - P(2 | not 1)) f_2. That is no
    better than `best_latent`, and a place where training may stay.

    Examples
    --------
    >>> round(latent_of_first(given(0.25, with_it=0.2, without=0.0)), 3)
    0.196
    """
    first, second, both = pair
    difference = both / first - (second - both) / (1 - first)
    return difference / math.hypot(1, difference)


def least_loss(pair: Pair) -> float:
    """Return the squared error of the best SAE with one latent: the covariance's lesser eigenvalue.

    Examples
    --------
    >>> round(least_loss(given(0.25, with_it=0.2, without=0.0)), 4)
    0.0381
    """
    first, second, both = pair
    a, c, b = first * (1 - first), second * (1 - second), both - first * second
    return (a + c) / 2 - math.hypot((a - c) / 2, b)


def samples(
    pair: Pair, count: int, generator: torch.Generator, d_in: int = D_IN
) -> Float[Tensor, "count d_in"]:
    """Return samples whose first two dimensions are the features."""
    states = torch.from_numpy(pair.states).float()
    drawn = torch.multinomial(states, count, replacement=True, generator=generator)
    x = torch.zeros(count, d_in)
    x[:, 0], x[:, 1] = drawn % 2, drawn // 2
    return x


def train(
    pair: Pair, d_sae: int, l0: float, seed: int, steps: int = STEPS
) -> tuple[FusedTrainer, float]:
    """Return a BatchTopK SAE trained on a pair, and its mean squared error over the last tenth.

    It starts near the truth, as the authors' do: what it does not end at, it has left.
    """
    training = Training(
        training_tokens=steps * BATCH, batch_tokens=BATCH, lr=LR, lr_decay_fraction=0.5
    )
    generator = torch.Generator().manual_seed(seed)
    truth = torch.eye(d_sae, D_IN) + NOISE * torch.randn(d_sae, D_IN, generator=generator)
    start = Weights(torch.zeros(D_IN), truth, truth.clone().T, torch.zeros(d_sae))
    trainer = FusedTrainer(SaeSettings(d_sae, l0, training), start)
    losses = [float(trainer.step(samples(pair, BATCH, generator)).mse_loss) for _ in range(steps)]
    return trainer, float(np.mean(losses[-steps // 10 :]))


def signature(
    W_enc: Float[Tensor, "d_in d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    directions: Float[Tensor, "features d_in"],
    pairs: list[tuple[int, int]],
) -> pd.DataFrame:
    """Return what the cosines with the truth say of pairs of features: hedging, or absorption.

    In a latent that *hedges*, decoder and encoder both have a part of the other feature, which has
    no latent of its own. Where one is *absorbed*, the two disagree: the other feature's latent
    carries the first feature in its decoder, and the first one's encoder keeps it from firing then,
    by a negative part, while its decoder is clean.

    Parameters
    ----------
    W_enc, W_dec
        Of the SAE.
    directions
        The true features.
    pairs
        Of features: the one looked at, and one it fires with, as parent and child do.

    Returns
    -------
    DataFrame
        `feature`, `other`; cosines of the feature's latent with the other: `decoder`, `encoder`;
        of the other's latent with the feature: `other_decoder`, missing where it has no latent; and
        `kind`: `hedging`, `absorption` or `clean`. A feature without a latent has no row.

    Examples
    --------
    >>> both = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> found = signature(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]), both, torch.eye(2), [(0, 1)])
    >>> found.iloc[0]["kind"], round(float(found.iloc[0]["other_decoder"]), 3)
    ('absorption', 0.707)
    """
    features = unit_rows(directions)
    decoder, encoder = (unit_rows(rows) @ features.T for rows in (W_dec, W_enc.T))
    latents = match_features(W_dec, directions).latents
    rows = []
    for feature, other in pairs:
        latent, others = latents[feature], latents[other]
        if latent == NO_LATENT:
            continue
        dec, enc = float(decoder[latent, other]), float(encoder[latent, other])
        carried = math.nan if others == NO_LATENT else float(decoder[others, feature])
        kind = "clean"
        if abs(dec) >= CLEAR and dec * enc > 0:
            kind = "hedging"
        elif carried >= CLEAR and enc <= -CLEAR:
            kind = "absorption"
        rows.append((feature, other, dec, enc, carried, kind))
    columns = ["feature", "other", "decoder", "encoder", "other_decoder", "kind"]
    return pd.DataFrame(rows, columns=columns)


@cache
def hedging_table() -> pd.DataFrame:
    """Return what SAEs make of the `CASES`: one row for each, its latents and seed.

    With one latent as many as can are active; with two, of the hierarchical pair, as many as the
    first feature, so that a sample has one.
    """
    runs = [(case, 1, 1.0) for case in CASES]
    rows = []
    for case, d_sae, l0 in [*runs, ("hierarchical", 2, CASES["hierarchical"].first)]:
        pair = CASES[case]
        expected = best_latent(pair)[1] if d_sae == 1 else 0.0
        for seed in SEEDS:
            trainer, loss = train(pair, d_sae, l0, seed)
            weights = trainer.weights
            found = signature(weights.W_enc, weights.W_dec, torch.eye(2, D_IN), [(0, 1)])
            row = {"case": case, "latents": d_sae, "l0": l0, "seed": seed}
            loss_formula = least_loss(pair) if d_sae == 1 else 0.0
            rows.append(
                {**row, "expected": expected, **found.iloc[0], "loss": loss,
                 "least_loss": loss_formula}
            )  # fmt: skip
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """Return the table of `docs/hedging.md`: means over seeds."""
    keys = ["case", "latents"]
    means = table.groupby(keys, sort=False)[["expected", "decoder", "encoder", "other_decoder"]]
    lines = [
        "| features | latents | best, in closed form | decoder | encoder | the other's latent | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in means.mean().reset_index().to_dict("records"):
        case, latents = row.pop("case"), row.pop("latents")
        kinds = table.loc[(table["case"] == case) & (table["latents"] == latents), "kind"]
        cells = [
            "–" if np.isnan(x) else f"{round(x, 2) + 0.0:.2f}".replace("-", "−")
            for x in row.values()
        ]
        lines.append(f"| {case} | {latents} | {' | '.join(cells)} | {', '.join(kinds.unique())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown(hedging_table()))
