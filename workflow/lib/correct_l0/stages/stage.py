"""One stage of a study: what it is called, what it follows, what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from correct_l0.study.config import Config
    from correct_l0.study.plan import Plan


@dataclass(frozen=True)
class Stage:
    """One stage of a study.

    Attributes
    ----------
    rule
        Name of its Snakemake rule, and of the stage in its manifests.
    job
        The Snakemake rule, where it has another name: one whose jobs make several results.
    of
        What one result is about: the source, one point, one L0 with all its seeds, the whole study,
        a round of a search, the study's report, or all its sweeps.
    title
        What `make why` calls its jobs.
    called
        What `make why` calls its result, where others follow from it.
    after
        The rules whose results it reads, what concerns it most first.
    seconds
        Estimated seconds of one job's work; of a training, of the SAEs with these L0.
    room
        What `provenance` calls its result; a point's is in the folder of that name.
    recipe
        The `RECIPE` of its room; of a training see `recipe_in`.
    settings
        The settings its numbers depend on; the second argument is the point's L0 label.
    result
        The file that is there where a job has run to its end; a point's is its manifest.
    host_bytes
        Estimated peak of what a job holds in the host's memory, besides the libraries; of a
        training of so many SAEs.
    jobs
        How many jobs a study has that nothing is there of.
    writes
        The part of `costs.disk.disk_bytes` that its jobs write.
    on_device
        Whether its jobs run on the study's device.
    trains
        Whether its jobs train SAEs.
    grows
        Whether its time grows with the study.
    of_code
        Whether it is made again where the code of the report changed: it has sentences or colours.
    asked
        Whether a study has it. Of the sources a study has one, and the stages that make it.
    """

    rule: str
    of: Literal["source", "point", "l0", "study", "round", "report", "sweeps"]
    title: str
    called: str
    after: tuple[str, ...]
    seconds: Callable[[Config, tuple[float, ...]], float]
    room: str = ""
    recipe: int = 0
    settings: Callable[[Plan, str], str] = lambda plan, l0: ""
    result: str = ""
    host_bytes: Callable[[Config, int], float] = lambda study, saes: 0.0
    jobs: Callable[[Config], int] = lambda study: 1
    writes: str = ""
    on_device: bool = False
    trains: bool = False
    grows: bool = False
    of_code: bool = False
    asked: Callable[[Plan], bool] = lambda plan: True
    job: str = ""

    @property
    def made_by(self) -> str:
        """The Snakemake rule whose jobs make it."""
        return self.job or self.rule

    def recipe_in(self, plan: Plan) -> int:
        """Return the recipe in a study: of a training that of its architecture or engine."""
        return plan.study.saes.recipe if self.trains else self.recipe

    def result_of(self, plan: Plan, wildcards: Mapping[str, str | int] | None = None) -> Path:
        """Return the file that is there where a job has run to its end."""
        values = wildcards or {}
        if self.of == "l0":
            return Path(plan.stability_manifests()[str(values["l0"])])
        if self.of == "point":
            folder = plan.point_folder(self.room, str(values["l0"]), values["seed"])
            return Path(folder) / "manifest.json"
        folders = {"source": plan.source_folder, "sweeps": plan.study_folder}
        return Path(folders.get(self.of, plan.results)) / self.result.format_map(values)
