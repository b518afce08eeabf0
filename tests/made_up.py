"""Made-up studies for the tests of the report: tables, and whole result folders."""

from __future__ import annotations

import numpy as np
import pandas as pd

L0 = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 192.0, 300.0)
C_DEC = (0.0736, 0.0647, 0.0571, 0.0489, 0.0397, 0.0330, 0.0349, 0.0381)
S_N = (3.26, 2.99, 2.60, 2.24, 1.90, 1.65, 1.68, 1.77)
F1_GAIN = (-0.12, -0.08, -0.05, -0.03, -0.01, 0.0, 0.0, -0.02)


def _long(means, l0, seeds, spread, rng):
    return [
        (x, x * 1.003, seed, mean * (1 + rng.normal(0, spread)))
        for x, mean in zip(l0, means, strict=True)
        for seed in seeds
    ]


def tables(
    *,
    l0=L0,
    seeds=(0, 1),
    c_dec=C_DEC,
    s_n=None,
    f1=None,
    init_cosine=0.2,
    loss_slope=0.002,
    dead=0.01,
    spread=0.005,
    tasks=40,
    gaps=(),
) -> dict[str, pd.DataFrame]:
    """Tables of a study whose curves are the given means plus noise over seeds.

    `s_n` maps n to means, `f1` maps probe_k to the gain of each L0; health values may be one number
    or one per L0.
    """
    rng = np.random.default_rng(0)
    s_n = {400: S_N, 500: S_N, 600: S_N} if s_n is None else s_n
    f1 = {1: F1_GAIN, 16: F1_GAIN} if f1 is None else f1
    columns = ["l0", "l0_measured", "seed", "value"]
    points = pd.DataFrame(_long([1.0] * len(l0), l0, seeds, 0, rng), columns=columns)
    for name, values in (
        ("init_cosine_median", init_cosine),
        ("loss_slope", loss_slope),
        ("dead_fraction", dead),
    ):
        points[name] = np.repeat(np.broadcast_to(values, len(l0)), len(seeds))
    s_frames = [
        pd.DataFrame(_long(means, l0, seeds, spread, rng), columns=columns).assign(
            n=n, statistic="batch_mean", standard_error=0.002
        )
        for n, means in s_n.items()
    ]
    levels = rng.uniform(0.55, 0.95, tasks)
    probing = [
        (x, x * 1.003, seed, f"task_{t:02d}", k, levels[t] + gain + rng.normal(0, 0.01))
        for k, gains in f1.items()
        for x, gain in zip(l0, gains, strict=True)
        for seed in seeds
        for t in range(tasks)
    ]
    return {
        "points": points.drop(columns="value"),
        "c_dec": pd.DataFrame(_long(c_dec, l0, seeds, spread, rng), columns=columns),
        "s_n_dec": pd.concat(s_frames, ignore_index=True),
        "probing": pd.DataFrame(
            probing, columns=["l0", "l0_measured", "seed", "task", "probe_k", "f1"]
        ),
        "gaps": pd.DataFrame(list(gaps), columns=["l0", "seed", "room", "reason"]),
    }
