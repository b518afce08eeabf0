"""The comparison of seeds at every L0 of a sweep, in one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from correct_l0.metrics import Measured
from correct_l0.metrics.job import Trained, Wanted, make
from correct_l0.metrics.stability import RECIPE
from correct_l0.metrics.stability.files import write_stability
from correct_l0.metrics.stability.measure import compare_seeds
from correct_l0.saes.saved import load_saved_sae


def compare_points(
    trained: Iterable[Trained], seeds: int, folders: Mapping[str, str], settings: str
) -> list[Path]:
    """Compare the seeds of each L0; return the folders of the comparisons that failed.

    Parameters
    ----------
    trained
        The SAEs of a sweep that are there.
    seeds
        How many an L0 should have; one that lacks a seed is left out.
    folders
        Where each comparison goes, by the folder above its SAEs'.
    settings
        Canonical settings of the comparison.
    """
    by_l0: dict[str, list[Trained]] = {folder: [] for folder in folders}
    for point in trained:
        by_l0[str(point.folder.parent)].append(point)
    failed = []
    for above, points in by_l0.items():
        if len(points) < seeds:
            print(f"{above}: left out, {len(points)} of {seeds} seeds are there", flush=True)
            continue
        folder = Path(folders[above])
        wanted = Wanted(
            folder,
            "compare_seeds",
            RECIPE,
            settings,
            {f"seed_{point.seed}": point.digest for point in points},
            {"l0": points[0].record["l0"]},
        )

        def compare(points: list[Trained] = points, folder: Path = folder) -> Measured:
            decoders = {p.seed: load_saved_sae(p.folder / "sae").W_dec for p in points}
            return Measured(write_stability(folder, compare_seeds(decoders)))

        if not make(wanted, compare):
            failed.append(folder)
    return failed
