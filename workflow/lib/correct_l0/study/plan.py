"""What a study consists of: its points, files, and the settings string of each stage.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from correct_l0.metrics import metrics
from correct_l0.settings.base import format_l0
from correct_l0.settings.canonical import canonical
from correct_l0.sources.language_model.layout import identity_settings, sealed_settings
from correct_l0.sources.language_model.places import NOWHERE, Places
from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.study.config import Config
from correct_l0.study.warnings import warnings_of

RESULTS = Path("results")
CACHES = RESULTS / "activations"


def points_in(room: str, factor: int) -> str:
    """Return where a room has the points of some times the file's training tokens.

    Each length of training has its own folder, so that nothing is lost that a search decided on.

    Examples
    --------
    >>> points_in("saes", 1), points_in("saes", 4)
    ('saes', 'saes/longer_4')
    """
    return f"{room}/longer_{factor}" if factor > 1 else room


@dataclass(frozen=True)
class Plan:
    """A study's points and paths, relative to the folder Snakemake runs in.

    Attributes
    ----------
    study
        The settings; a local model and text stand there by digests of what they hold.
    places
        Where these are.
    root
        The folder that the study's folder is in. Caches are in `RESULTS` whatever it is.
    doubts
        Remarks on what the configuration names.
    """

    study: Config
    places: Places = NOWHERE
    root: Path = RESULTS
    doubts: tuple[str, ...] = ()

    def warnings(self) -> list[str]:
        """Return remarks on what runs but is probably not meant."""
        return [*warnings_of(self.study), *self.doubts]

    def as_json(self) -> str:
        """Return the settings as JSON that `parse_config` reads back."""
        return self.study.model_dump_json()

    @property
    def results(self) -> str:
        """The sweep's folder: the study's, or one in it where the study has several."""
        return str(Path(self.study_folder) / (self.study.sweep or ""))

    @property
    def study_folder(self) -> str:
        """The study's folder."""
        return str(self.root / self.study.study)

    @property
    def source_folder(self) -> str:
        """The source's folder: the activation cache's, which studies share, or the world's.

        Where only weights are read, their record stands for the source, which each sweep has.
        """
        if not self.study.has_rows:
            return f"{self.results}/weights"
        if self.study.activations is None:
            return f"{self.study_folder}/world"
        return str(CACHES / self.study.activations.cache)

    @property
    def source(self) -> str:
        """The source's manifest."""
        return f"{self.source_folder}/manifest.json"

    def weights(self) -> list[str]:
        """Return the record of the weights of imported SAEs; nothing where they are trained."""
        return [f"{self.results}/weights/manifest.json"] * self.study.saes.imported

    @property
    def rooms(self) -> tuple[str, ...]:
        """What is measured of each point, by the room that does: after `saes`, which comes first.

        The metrics that the study asks for (`metrics.metrics`), and probing where tasks are named.
        """
        probing = ("probing",) * bool(resolve_tasks(self.study.probing.tasks))
        return (*(room for room, each in metrics().items() if each.asked(self.study)), *probing)

    @property
    def labels(self) -> list[str]:
        """The L0 labels of the sweep, lowest first."""
        return [format_l0(l0) for l0 in sorted(self.study.saes.l0)]

    @property
    def points(self) -> list[tuple[str, int]]:
        """Every (L0 label, seed) of the sweep, lowest L0 first."""
        return self.study.points()

    @property
    def study_rooms(self) -> tuple[str, ...]:
        """What is measured over several points: `stability`, where there are two seeds or more."""
        return ("stability",) if self.compared else ()

    @property
    def compared(self) -> dict[str, tuple[int, ...]]:
        """The seeds of each L0 label that has two or more."""
        seeds: dict[str, tuple[int, ...]] = {}
        for l0, seed in self.points:
            seeds[l0] = (*seeds.get(l0, ()), seed)
        return {l0: its for l0, its in seeds.items() if len(its) > 1}

    @property
    def rounds(self) -> int:
        """Rounds of a search up to the one whose points are known last; 0 of a list."""
        return len(self.study.saes.rounds)

    def at_round(self, number: int) -> Plan:
        """Return the plan as it was when a round, counted from 1, had its points."""
        saes = self.study.saes
        return self._with_rounds(saes.rounds[:number], saes.factors[:number])

    def with_round(self, l0: Sequence[float], factor: int) -> Plan:
        """Return the plan with the points of one more round, and its times the training tokens."""
        saes = self.study.saes
        return self._with_rounds((*saes.rounds, tuple(l0)), (*saes.factors, factor))

    def _with_rounds(self, rounds: tuple[tuple[float, ...], ...], factors: tuple[int, ...]) -> Plan:
        saes = self.study.saes.with_rounds(rounds, factors)
        return replace(self, study=self.study.model_copy(update={"saes": saes}))

    def round_file(self, number: int) -> str:
        """Return the record of a round, which says what its points say and which come next."""
        return f"{self.results}/rounds/round_{number}.json"

    def task_manifests(self) -> dict[str, str]:
        """Return the manifest of the activations of each probing task by name."""
        tasks = resolve_tasks(self.study.probing.tasks)
        return {task: f"{self.source_folder}/probing/tasks/{task}.json" for task in tasks}

    def baselines_manifest(self) -> list[str]:
        """Return the manifest of the probing baselines, none where nothing is probed."""
        return [f"{self.results}/probing/baselines/manifest.json"] * ("probing" in self.rooms)

    def l0_folder(self, room: str, l0: str) -> str:
        """Return the folder of an L0 in a room: `saes`, `stability` or one of `rooms`."""
        return f"{self.results}/{points_in(room, self.study.saes.factor)}/l0_{l0}"

    def point_folder(self, room: str, l0: str, seed: int | str) -> str:
        """Return the folder of one point in a room: `saes` or one of `rooms`."""
        return f"{self.l0_folder(room, l0)}/seed_{seed}"

    def beside(self, room: str, labels: Iterable[str], seed: int | str) -> dict[str, str]:
        """Return the folders of SAEs of a seed in a room, by the folder of each SAE."""
        return {
            self.point_folder("saes", l0, seed): self.point_folder(room, l0, seed) for l0 in labels
        }

    def manifests(self, room: str) -> list[str]:
        """Return the manifest of every point in a room."""
        return [f"{self.point_folder(room, *point)}/manifest.json" for point in self.points]

    def settings_source(self) -> str:
        """Return the settings that the source's numbers depend on."""
        if not self.study.has_rows:
            return self.settings_weights()
        if self.study.stored is not None:
            return self.study.stored.identity
        if self.study.activations is None:
            return canonical(self.study.source)
        return sealed_settings(self.study.activations)

    def settings_rows(self) -> str:
        """Return the settings that the rows of the activation cache depend on."""
        return identity_settings(self.study.language_model)

    def settings_prompts(self) -> str:
        """Return the settings of the reading of probing's prompts."""
        if self.study.activations is not None:
            return self.settings_rows()
        assert self.study.prompted is not None, "checked when the configuration is read"
        return self.study.prompted.identity

    def settings_weights(self) -> str:
        """Return the settings of the fetching of imported SAEs: which they are."""
        return canonical(self.study.saes, "published", "published_commit", "true_l0")

    def settings_sae(self, l0: str) -> str:
        """Return the settings that the SAE at an L0 depends on, its override applied."""
        if self.study.saes.imported:
            return canonical(self.study.saes.point(float(l0)))
        training = json.loads(canonical(self.study.training(float(l0))))
        return canonical({**self.study.saes.point(float(l0)), "training": training})

    def settings_decoder_metrics(self) -> str:
        """Return the settings of s_n^dec, c_dec and the histograms; n as whole numbers."""
        section = json.loads(canonical(self.study.decoder_metrics, "histogram_l0"))
        return canonical({**section, "n": self.study.n_values()})

    def settings_stability(self) -> str:
        """Return the settings of the comparison of seeds: none, its inputs say which they are."""
        return canonical({})

    def stability_folders(self) -> dict[str, str]:
        """Return the folder of each comparison of seeds, by the folder above its SAEs'."""
        return {self.l0_folder("saes", l0): self.l0_folder("stability", l0) for l0 in self.compared}

    def stability_manifests(self) -> dict[str, str]:
        """Return the manifest of the comparison of seeds by L0 label; none of a single seed."""
        return {l0: f"{self.l0_folder('stability', l0)}/manifest.json" for l0 in self.compared}

    def settings_probing(self) -> str:
        """Return the settings of sparse probing."""
        return canonical(self.study.probing)
