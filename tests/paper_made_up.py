"""Tables of made-up studies in which every claim of the paper holds, known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd

from paper.tables import COLUMNS, typed

TRUTH = 10.95
FEATURES = 20
GRID = (1, 2, 5, 8, 10, 11, 12, 13, 15, 18, 25)
SEEDS = (0, 1, 2)
RIGHT, MIXED = 0.999, 0.8


def make_tables(grid=GRID, seeds=SEEDS, experiments=True) -> dict[str, pd.DataFrame]:
    """Return all tables; without experiments those of the sweep alone have rows."""
    sweep = [(float(l0), seed) for l0 in grid for seed in seeds]
    made = {
        "points": _points(sweep),
        "c_dec": _frame(
            [(l0, l0, s, 0.002 + 0.01 * _distance(l0) + 1e-4 * s) for l0, s in sweep],
            "l0 l0_measured seed value",
        ),
        "s_n_dec": _s_n_dec(sweep),
        "truth": _frame(
            [
                ("true_l0_formula", 10.945),
                ("true_l0_measured", TRUTH),
                ("true_l0_text_formula", 9.875),
                ("superposition_true_l0", TRUTH),
            ],
            "quantity value",
        ),
        "ground_truth": _frame(
            [(l0, l0, *_right_reconstruction(l0), 0.08 * l0) for l0 in map(float, grid)],
            "l0 l0_measured mse variance_explained power_explained",
        ),
        "features": _frame([(i, _probability(i)) for i in range(FEATURES)], "feature probability"),
        "correlations": _correlations(),
        "cosines": pd.concat(
            [_long(l0, seed, _matrix(_own(l0, seed))) for l0, seed in sweep if l0 in (5, 18)]
            or [pd.DataFrame()]
        ),
        "theory": _frame(
            [(1.0, 0.4, 0.401), (0.6, 0.1538, 0.154)], "alpha expected_loss simulated_loss"
        ),
    }
    if experiments:
        made |= _experiments(seeds) | _later(seeds)
    return {name: typed(made.get(name, pd.DataFrame()), name) for name in COLUMNS}


def _frame(rows, columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def _distance(l0: float) -> float:
    """How wrong an SAE is: steep below 11, gentle above."""
    return (11 - l0) / 10 if l0 < 11 else 0.3 * (l0 - 11) / 14


def _own(l0: float, seed: int) -> np.ndarray:
    """|cosine| of each latent with its feature: rarer features (later ones) fare better below."""
    if l0 == 11:
        return np.full(FEATURES, RIGHT)
    if l0 > 11:
        own = np.full(FEATURES, 1 - _distance(l0))
        own[: FEATURES // 2] = RIGHT
        return own
    return 0.97 - 0.6 * _distance(l0) * np.linspace(1, 0.5, FEATURES) - 1e-3 * seed


def _right_reconstruction(l0: float) -> tuple[float, float]:
    """MSE and variance explained with the true features: 4.88 at L0 5."""
    mse = 4.88 * (11 - min(l0, 11)) / 6
    return mse, 1 - mse / 9


def _points(sweep) -> pd.DataFrame:
    rows = []
    for l0, seed in sweep:
        own = _own(l0, seed)
        right, explained = _right_reconstruction(l0)
        rows.append({
            "l0": l0, "l0_measured": l0, "seed": seed,
            "mse": right * 2.73 / 4.88 + 0.01 * seed,
            "variance_explained": explained + 0.4 * (11 - l0) / 10 if l0 < 11 else explained,
            "power_explained": 0.08 * l0 * (1 + 1.2 * (l0 < 11)),
            "mean_best_cosine": own.mean(), "min_best_cosine": own.min(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _s_n_dec(sweep) -> pd.DataFrame:
    """Lowest at 11 for every n on unit norms; on raw ones at 13 from n = 20 on."""
    rows = []
    for l0, seed in sweep:
        for n in range(12, 26):
            value = (26 - n) * 0.02 * _distance(l0) + 1e-5 * seed
            rows.append((l0, l0, seed, n, "unit", value))
            raw = value - 0.05 * (l0 == 13) if n >= 20 else value
            rows.append((l0, l0, seed, n, "raw", raw))
    return _frame(rows, "l0 l0_measured seed n norm value")


def _probability(i: int) -> float:
    return 0.345 * (FEATURES - 1 - i) / FEATURES + 0.05


def _correlations() -> pd.DataFrame:
    pairs = [(i, j) for i in range(FEATURES) for j in range(i + 1, FEATURES)]
    return _frame([(i, j, 0.8 * _correlation(i, j)) for i, j in pairs], "i j expected")


def _correlation(i: int, j: int) -> float:
    """Without a pattern, from -0.9 to 0.9, the same for (i, j) and (j, i)."""
    return ((7 * i * j + 3 * (i + j)) % 19 - 9) / 10


def _matrix(own: np.ndarray) -> np.ndarray:
    """A latent's cosines: its own, and a tenth of its correlation with the others."""
    size = len(own)
    lack = (1 - own)[:, None]
    off = np.array([[_correlation(i, j) for j in range(size)] for i in range(size)])
    matrix = lack * off
    matrix[np.diag_indices(size)] = own
    return matrix


def _long(l0, seed, matrix) -> pd.DataFrame:
    latent, feature = np.indices(matrix.shape)
    return pd.DataFrame({
        "l0": l0, "seed": seed, "latent": latent.ravel(), "feature": feature.ravel(),
        "cosine": matrix.ravel(),
    })  # fmt: skip


def _later(seeds) -> dict[str, pd.DataFrame]:
    """What the later versions and the companion paper say, as they say it."""
    parts = (("independent", 0.0), ("hierarchical", 0.24), ("correlated", 0.22),
             ("anti-correlated", -0.35))  # fmt: skip
    hedging = [
        (case, 1, 1.0, seed, part, part, part, np.nan, "hedging" if part else "clean", 0.1, 0.1)
        for case, part in parts
        for seed in seeds
    ]
    hedging += [
        ("hierarchical", 2, 0.25, seed, 0.0, 0.0, -0.7, 0.707, "absorption", 0.0, 0.0)
        for seed in seeds
    ]
    studies = (("gemma-2-2b-layer-12", 200, 150), ("gemma-2-2b-layer-12-jumprelu", 280, 200),
               ("gemma-2-2b-layer-5", 900, 210), ("gemma-2-2b-layer-20", 300, 200),
               ("llama-3.2-1b-layer-7", 200, 190))  # fmt: skip
    return {
        "hedging": pd.DataFrame(hedging, columns=list(COLUMNS["hedging"])),
        "language_models": _frame(
            [(name, "read", minimum, elbow, len(seeds)) for name, minimum, elbow in studies],
            "study outcome minimum elbow seeds",
        ),
        "widths": _frame(
            [
                (name, width, l0, seed, 0.3 / width)
                for name in ("gemma-2-2b-layer-12-widths", "synthetic-width")
                for width in (25, 50, 100)
                for l0 in (2.0, 4.0)
                for seed in seeds
            ],
            "study d_sae l0 seed rate",
        ),
    }


def _experiments(seeds) -> dict[str, pd.DataFrame]:
    transitions, trajectories, auto, small = [], [], [], []
    for seed in seeds:
        for batch, run in ((500, "text"), (1024, "code"), (1024, "authors")):
            for direction, start, cosine in (("down", 20.0, RIGHT), ("up", 2.0, MIXED)):
                end = 7.27 if direction == "up" else 14.7
                end = end if run == "authors" else 11.0
                transitions.append((run, direction, start, 11.0, batch, seed, end, cosine))
                trajectories += [
                    ("transitions", run, "linear", start, seed, step * batch,
                     start + (end - start) * min(1, step / 80))
                    for step in range(0, 101, 20)
                ]  # fmt: skip
        for rule in ("paper", "paper_lower", "descent"):
            for start in (25.0, 20.0, 15.0, 5.0):
                end, cosine = (11.2, RIGHT) if start > 11 else (5.5, MIXED)
                failed = "" if start > 11 else "ended at 5.5"
                auto.append((rule, start, seed, end, 60, start > 11, cosine, failed))
                trajectories += [
                    ("auto_l0", rule, rule, start, seed, step * 1024,
                     start + (end - start) * min(1, step / 60))
                    for step in range(0, 101, 20)
                ]  # fmt: skip
        for correlation in (0.4, -0.4):
            for init in ("random", "truth"):
                small.append(("true_l0", correlation, 2.0, seed, init, 0.001, RIGHT))
                small.append(("init", correlation, 1.8, seed, init, 0.2, 0.95))
        for correlation in np.round(np.arange(-0.5, 0.51, 0.1), 1):
            mixing = 0.4 * abs(correlation)
            small.append(("mixing_correlation", correlation, 1.8, seed, "truth", mixing, 0.9))
        for l0 in (1.7, 1.8, 1.9, 2.0):
            small.append(("mixing_l0", 0.4, l0, seed, "truth", 2.01 - l0, 0.9))
    jumprelu = [
        (coefficient, seed, l0, 0.01 + 0.005 * abs(l0 - 11))
        for seed in seeds
        for coefficient, l0 in ((0.05, 18.0), (0.1, 11.5), (0.2, 11.0), (0.4, 10.5), (0.8, 4.0))
    ]
    superposition = [(l0, seed) for l0 in (5.0, 8.0, 11.0, 14.0, 18.0) for seed in seeds]
    return {
        "transitions": pd.DataFrame(transitions, columns=list(COLUMNS["transitions"])),
        "trajectories": pd.DataFrame(trajectories, columns=list(COLUMNS["trajectories"])),
        "auto_l0": pd.DataFrame(auto, columns=list(COLUMNS["auto_l0"])),
        "small_model": pd.DataFrame(small, columns=list(COLUMNS["small_model"])),
        "jumprelu": _frame(jumprelu, "lambda seed l0_measured c_dec"),
        "superposition": _frame(
            [
                (l0, l0, seed, 0.98 - 0.2 * _distance(l0), 0.13 + 0.05 * _distance(l0))
                for l0, seed in superposition
            ],
            "l0 l0_measured seed mean_best_cosine c_dec",
        ),
    }
