"""The control of a study, trained, measured and probed in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from correct_l0.jobs.job import resolve_device
from correct_l0.metrics.job import trained_points
from correct_l0.metrics.probing.points import probe_points
from correct_l0.provenance.manifest import digest_of, write_json, write_manifest
from correct_l0.report.gather import gather
from correct_l0.report.study import plain
from correct_l0.study.frozen_control import RECIPE, STAGE, Control, control_plan
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from correct_l0.trial import run_study


def run_frozen_control(
    plan: Plan,
    tasks: Sequence[Path],
    folder: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_s: float = 600.0,
) -> Control:
    """Train and measure a study's control; write `control.json` and its manifest.

    What stands of an earlier call is taken over, trainings that were cut off go on.

    Parameters
    ----------
    plan
        The study.
    tasks
        The manifest of each probing task's activations; none where nothing is probed.
    folder
        Where to.
    device, threads, checkpoint_s
        As in `run_study`.

    Raises
    ------
    InputError
        If the activations are missing or damaged, or no SAE can be trained.
    """
    control = control_plan(plan)
    tables = run_study(control, device=device, threads=threads, checkpoint_s=checkpoint_s)
    if tasks:
        _probe(control, tasks, resolve_device(device), threads)
        # Without the study's baselines, which are not the control's.
        tables = gather(control, allow_gaps=True).tables
    found = control_of(tables)
    write_json(folder / "control.json", plain(asdict(found)))
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs={"activations": digest_of(plan.source)},
        outputs=[folder / "control.json"],
    )
    return found


def control_of(tables: Mapping[str, pd.DataFrame]) -> Control:
    """Return what the tables of a control say."""
    shares = tables["stability"]["reproduced_share"]
    f1 = tables["probing"].groupby("probe_k")["f1"].mean()
    return Control(
        l0=float(tables["points"]["l0_measured"].mean()),
        c_dec=float(tables["c_dec"]["value"].mean()),
        reproduced_share=float(shares.mean()) if len(shares) else None,
        f1=dict(zip(f1.index.astype(int).astype(str), f1.tolist(), strict=True)),
    )


def _probe(control: Plan, tasks: Sequence[Path], device: str, threads: int) -> None:
    cache = control.study.language_model
    for seed in control.study.saes.seeds:
        folders = control.beside("probing", control.labels, seed)
        saes = dict(zip(folders, map(control.settings_sae, control.labels), strict=True))
        probe_points(
            trained_points(saes, seed, digest_of(control.source)),
            tasks,
            control.settings_probing(),
            folders,
            names=[cache.cache, cache.hook_name],
            threads=threads,
            device=device,
        )
