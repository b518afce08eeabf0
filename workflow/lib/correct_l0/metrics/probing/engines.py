"""The two engines behind one signature: a task, its split and probe_k in, probes out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from correct_l0.metrics.probing.data import Split, Task, activations_file, load_activations
from correct_l0.metrics.probing.exact import probe_task
from correct_l0.metrics.probing.records import Engine, Probe
from correct_l0.metrics.probing.reference import ReferenceEngine
from correct_l0.saes.saved import SavedSae


@dataclass(frozen=True)
class ActivationsFolder:
    """The probing activations of a cache.

    Attributes
    ----------
    folder
        `probing/` of the activation cache.
    cache
        The cache's name, which stands where sae-probes puts the model's.
    """

    folder: Path
    cache: str
    hook_name: str

    def path(self, task: str) -> Path:
        """Return the file of one task."""
        return activations_file(self.folder, self.cache, task, self.hook_name)


def exact_engine(
    sae: SavedSae, activations: ActivationsFolder, controls: Collection[str] = ()
) -> Engine:
    """Return the engine that shares work and gives the package's bits.

    The tasks in `controls` are probed with controls, too.
    """

    def engine(task: Task, split: Split, probe_k: Sequence[int]) -> list[Probe]:
        acts = load_activations(activations.path(task.name), task, sae.d_in)
        results = probe_task(
            sae, task, split, acts, activations.hook_name, probe_k, task.name in controls
        )
        return [{"entry": entry, "extras": extras} for entry, extras in results]

    return engine


def reference_engine(
    sae_folder: Path, activations: ActivationsFolder, work: Path, device: str = "cpu"
) -> Engine:
    """Return the engine that calls the package; it does not tell single predictions, so the
    de-duplicated F1 is missing."""
    package = ReferenceEngine(
        sae_folder, activations.folder, activations.cache, activations.hook_name, device
    )

    def engine(task: Task, split: Split, probe_k: Sequence[int]) -> list[Probe]:
        entries = package.probe_task(task.name, probe_k, work)
        return [{"entry": entry, "extras": {"f1_dedup": None}} for entry in entries]

    return engine
