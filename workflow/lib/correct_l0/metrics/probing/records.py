"""Probes already fitted, kept per task so that a new task or probe_k costs only itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from correct_l0.metrics.probing.data import Split, Task, read_task, split_task
from correct_l0.metrics.probing.settings import CONTROLS
from correct_l0.provenance.manifest import replacing, write_json

if TYPE_CHECKING:
    from correct_l0.jobs.progress import Progress

COLUMNS = {"test_f1": "f1", "test_acc": "accuracy", "test_auc": "auc", "val_auc": "val_auc"}

Probe = dict[str, Any]
"""`entry`: sae-probes' result entry; `extras`: what it does not record."""

Engine = Callable[[Task, Split, Sequence[int]], list[Probe]]


@dataclass(frozen=True)
class Records:
    """Probes in a folder, valid for one identity.

    Attributes
    ----------
    folder
        Undeclared to the workflow, so that it outlives a rerun of the rule.
    identity
        Digest of the SAE, engine, hook and recipe: a record made under another one is ignored.
    """

    folder: Path
    identity: Mapping[str, Any]

    def load(self, task: str, activations: str) -> dict[int, Probe]:
        """Return a task's probes by probe_k, given the digest of its activations."""
        try:
            record = json.loads(self._path(task).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        if record["identity"] != {**self.identity, "activations": activations}:
            return {}
        return {int(k): probe for k, probe in record["probes"].items()}

    def save(self, task: str, activations: str, probes: Mapping[int, Probe]) -> None:
        """Keep a task's probes."""
        identity = {**self.identity, "activations": activations}
        content = {"identity": identity, "probes": {str(k): p for k, p in probes.items()}}
        write_json(self._path(task), content)

    def _path(self, task: str) -> Path:
        return self.folder / "records" / f"{task}.json"


def probe_tasks(
    engine: Engine,
    digests: Mapping[str, str],
    probe_k: Sequence[int],
    records: Records,
    threads: int = 1,
    controls: Collection[str] = (),
    progress: Progress | None = None,
) -> dict[str, list[Probe]]:
    """Return the probes of every task, fitting those that no record holds.

    Parameters
    ----------
    engine
        Fits one task's probes for the probe_k it is given.
    digests
        Digest of the activations of each task wanted.
    probe_k
        Numbers of latents, in the order wanted.
    records
        Read before, written after each task: an interrupted job goes on where it stopped.
    threads
        Tasks probed at the same time; the solvers run outside Python's lock.
    controls
        Tasks whose probes have controls; those on record without are fitted again.
    progress
        Counts the tasks.
    """

    def lacks(name: str, probe: Probe | None) -> bool:
        return probe is None or (name in controls and CONTROLS[0] not in probe["extras"])

    def probe_one(name: str) -> list[Probe]:
        probes = records.load(name, digests[name])
        missing = [k for k in probe_k if lacks(name, probes.get(k))]
        if missing:
            task = read_task(name)
            split = split_task(task)
            rows = {
                "n_train": len(split.train),
                "n_test": len(split.test),
                "n_test_dedup": int(split.new.sum()),
            }
            for k, probe in zip(missing, engine(task, split, missing), strict=True):
                probes[k] = {"entry": probe["entry"], "extras": {**probe["extras"], **rows}}
            records.save(name, digests[name], probes)
        return [probes[k] for k in probe_k]

    with ThreadPoolExecutor(threads) as pool:
        found = {}
        for name, probes in zip(digests, pool.map(probe_one, digests), strict=True):
            found[name] = probes
            if progress is not None:
                progress.add(1)
        return found


def scores_table(probes: Mapping[str, list[Probe]]) -> pd.DataFrame:
    """Return one row per task and probe_k: scores, de-duplicated F1, rows of train and test."""
    return pd.DataFrame(
        [
            {
                "task": task,
                "probe_k": probe["entry"]["k"],
                **{name: probe["entry"][key] for key, name in COLUMNS.items()},
                **probe["extras"],
            }
            for task, task_probes in probes.items()
            for probe in task_probes
        ]
    )


def write_scores(path: Path | str, table: pd.DataFrame) -> None:
    """Write a table of scores as CSV, floats in full."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
