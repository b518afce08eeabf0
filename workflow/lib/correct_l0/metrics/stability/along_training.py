"""How alike seeds were after each tenth of their training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from correct_l0.metrics.job import Trained
from correct_l0.metrics.stability import ALONG
from correct_l0.metrics.stability.measure import compare_seeds, stability_table
from correct_l0.provenance.manifest import replacing
from correct_l0.saes.training.snapshots import read_snapshot, snapshot_steps


def compare_along(
    points: Sequence[Trained], final: pd.DataFrame, device: str = "cpu"
) -> pd.DataFrame:
    """Return the rows of `stability_table` after every tenth that all seeds kept.

    Parameters
    ----------
    points
        The SAEs of one L0, one of each seed.
    final
        Their table, which ends the new one.
    device
        Where cosines are computed.

    Returns
    -------
    DataFrame
        With `step` and `tokens` in front; empty where a seed kept nothing.
    """
    steps = set.intersection(*(set(snapshot_steps(point.record)) for point in points))
    if not steps:
        return pd.DataFrame()
    record = points[0].record
    frames = {
        step: stability_table(
            compare_seeds(
                {point.seed: read_snapshot(point.folder, step).to(device) for point in points}
            )
        )
        for step in sorted(steps)
    } | {int(record["steps"]): final}
    of_step = int(record["tokens"]) // int(record["steps"])
    table = pd.concat(frames, names=["step"]).reset_index(level="step")
    table.insert(1, "tokens", table["step"] * of_step)
    return table.reset_index(drop=True)


def write_along(folder: Path, table: pd.DataFrame) -> list[Path]:
    """Write what `compare_along` returned; no file where it is empty."""
    path = folder / ALONG
    if table.empty:
        path.unlink(missing_ok=True)
        return []
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return [path]
