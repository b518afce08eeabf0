"""Sparse probing of a group of points, in one process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from correct_l0.jobs.progress import Progress
from correct_l0.metrics import Measured
from correct_l0.metrics.job import Trained, Wanted, make
from correct_l0.metrics.probing import RECIPE
from correct_l0.metrics.probing.engines import ActivationsFolder, exact_engine, reference_engine
from correct_l0.metrics.probing.probe import quiet
from correct_l0.metrics.probing.records import Records, probe_tasks, scores_table, write_scores
from correct_l0.metrics.probing.reference import write_package_results
from correct_l0.metrics.probing.settings import Probing, tasks_with_controls
from correct_l0.provenance.checks import checked_digest_of
from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources.sae_probes import resolve_tasks


def probe_points(
    trained: Iterable[Trained],
    tasks: Sequence[Path],
    settings: str,
    folders: Mapping[str, str],
    *,
    names: Sequence[str],
    threads: int,
    device: str,
    controls_seed: int | None = None,
) -> list[Path]:
    """Probe SAEs; scores that stand are left. Return the folders of those that failed.

    Parameters
    ----------
    trained
        The SAEs.
    tasks
        The manifest of each task's activations.
    settings
        Canonical settings of probing.
    folders
        Where the scores go, by the folder of the SAE.
    names
        Of the activation cache and of the hook.
    threads
        Tasks probed at the same time.
    device
        `cpu` or `cuda`: where rows are encoded. Probes are fitted on processors.
    controls_seed
        The seed whose SAEs have controls, where the settings ask for these.
    """
    wanted_tasks = resolve_tasks(Probing.model_validate(json.loads(settings)).tasks)
    digests = dict(zip(wanted_tasks, map(checked_digest_of, tasks), strict=True))
    activations = ActivationsFolder(tasks[0].parents[1], *names)
    failed, points = [], list(trained)
    progress = Progress(len(points) * len(tasks), "fits of a task's probes")
    for number, point in enumerate(points):
        progress.keep(number * len(tasks) - progress.done)
        folder = Path(folders[str(point.folder)])
        wanted = Wanted(
            folder,
            "probe_sae",
            RECIPE,
            settings,
            {"sae": point.digest, **digests},
            {"l0": point.record["l0"], "seed": point.seed, "device": device},
        )

        def probe(point: Trained = point, folder: Path = folder) -> Measured:
            controlled = tasks_with_controls(wanted_tasks) if point.seed == controls_seed else ()
            return _probe(
                point,
                activations,
                digests,
                settings,
                folder,
                threads,
                device,
                controlled,
                progress,
            )

        if not make(wanted, probe):
            failed.append(folder)
    return failed


def _probe(
    point: Trained,
    activations: ActivationsFolder,
    digests: Mapping[str, str],
    settings: str,
    folder: Path,
    threads: int,
    device: str,
    controlled: Sequence[str],
    progress: Progress,
) -> Measured:
    probing = Probing.model_validate(json.loads(settings))
    controls = controlled if probing.controls else ()
    hook, results = activations.hook_name, folder / "json"
    identity = {
        "recipe": RECIPE,
        "engine": probing.engine,
        "hook_name": hook,
        "sae": point.digest,
    }
    with quiet():
        if probing.engine == "exact":
            sae = load_saved_sae(point.folder / "sae", device)
            engine = exact_engine(sae, activations, controls)
        else:
            engine = reference_engine(point.folder / "sae", activations, results / "work", device)
            threads = 1
        records = Records(results, identity)
        probes = probe_tasks(engine, digests, probing.probe_k, records, threads, controls, progress)
    scores = folder / "scores.csv"
    write_scores(scores, scores_table(probes))
    return Measured([scores, *write_package_results(results, activations.cache, hook, probes)])
