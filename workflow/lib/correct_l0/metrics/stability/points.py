"""The comparison of seeds at every L0 of a sweep, in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from correct_l0.metrics import Measured
from correct_l0.metrics.job import Trained, Wanted, make
from correct_l0.metrics.stability import RECIPE
from correct_l0.metrics.stability.along_training import compare_along, write_along
from correct_l0.metrics.stability.files import write_stability
from correct_l0.metrics.stability.measure import compare_seeds, stability_table
from correct_l0.saes.saved import load_saved_sae


def compare_points(
    trained: Iterable[Trained],
    folders: Mapping[str, str],
    asked: Iterable[str],
    settings: str,
    *,
    device: str,
) -> list[Path]:
    """Compare the seeds of each L0; return the folders of the comparisons that failed.

    Of SAEs that kept their decoders along the training, those are compared as well.

    Parameters
    ----------
    trained
        The SAEs of a sweep that are there.
    folders
        Where each comparison goes, by the folder above its SAEs'.
    asked
        The folders of all SAEs that there should be; an L0 that lacks one is left out.
    settings
        Canonical settings of the comparison.
    device
        `cpu` or `cuda`: where cosines are computed. They are matched on a processor.
    """
    wanted = Counter(str(Path(folder).parent) for folder in asked)
    by_l0: dict[str, list[Trained]] = {folder: [] for folder in folders}
    for point in trained:
        by_l0[str(point.folder.parent)].append(point)
    failed = []
    for above, points in by_l0.items():
        if len(points) < wanted[above]:
            print(
                f"{above}: left out, {len(points)} of {wanted[above]} seeds are there", flush=True
            )
            continue
        folder = Path(folders[above])
        result = Wanted(
            folder,
            "compare_seeds",
            RECIPE,
            settings,
            {f"seed_{point.seed}": point.digest for point in points},
            {"l0": points[0].record["l0"], "device": device},
        )

        def compare(points: list[Trained] = points, folder: Path = folder) -> Measured:
            decoders = {p.seed: load_saved_sae(p.folder / "sae", device).W_dec for p in points}
            pairs = compare_seeds(decoders)
            along = compare_along(points, stability_table(pairs), device)
            return Measured([*write_stability(folder, pairs), *write_along(folder, along)])

        if not make(result, compare):
            failed.append(folder)
    return failed
