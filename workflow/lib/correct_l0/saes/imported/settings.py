"""Imported SAEs as a configuration names them, and as a sweep once they are found."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from correct_l0.saes.sections import L0List
from correct_l0.saes.sweep import Sweep
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import (
    Count,
    PositiveFloat,
    Section,
    Seed,
    check_unique,
    format_l0,
)

LAYOUTS = (
    "sae_lens", "gemma_2", "gemma_3", "dictionary_learning_1", "sparsify", "llama_scope",
    "qwen_scope",
)  # fmt: skip
"""Layouts by the name that SAELens gives to their loader."""

Layout = Literal[
    "sae_lens", "gemma_2", "gemma_3", "dictionary_learning_1", "sparsify", "llama_scope",
    "qwen_scope",
]  # fmt: skip


def expand(pattern: str) -> list[str]:
    """Return the patterns that one with braces stands for.

    Examples
    --------
    >>> expand("{a,b}/seed-{0..1}")
    ['a/seed-0', 'a/seed-1', 'b/seed-0', 'b/seed-1']
    """
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    run = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    inside = map(str, range(int(run[1]), int(run[2]) + 1)) if run else found[1].split(",")
    return [before + each + rest for each in inside for rest in expand(after)]


class PublishedScores(Section):
    """Scores of SAEs in a data set of the hub."""

    repository: str
    """The data set, such as `adamkarvonen/sae_bench_results_0125`. Only the files of these SAEs are
    fetched, once."""

    revision: str = ""
    """Its commit, branch or tag; empty: its main branch, whose commit is recorded."""


class Import(Section):
    """SAEs that exist already: those in local folders, of a hub repository or a SAELens release."""

    kept = True

    folders: tuple[str, ...] = ()
    """Local folders, patterns allowed, from the configuration's own folder: SAEs, or folders of
    SAEs. Or `repository`, or `release`."""

    repository: str = ""
    """A repository of the hub, such as `google/gemma-scope-2b-pt-res`."""

    revision: str = ""
    """Of a repository or release: the commit, branch or tag; empty: its main branch, whose commit
    is recorded when the weights are fetched."""

    release: str = ""
    """A release of SAELens' table, such as `gemma-scope-2b-pt-res`. No hub is asked which SAEs it
    has."""

    select: tuple[str, ...] | str = "*"
    """Which SAEs: a pattern over their names, such as `layer_12/width_16k/*`, or several; `{a,b}`
    and `{0..5}` stand for each of these."""

    layout: Layout | None = None
    """How the SAEs are written, where `select` names each of a repository's: no hub is asked for
    its list then."""

    l0: dict[PositiveFloat, str] = Field({})
    """L0 of SAEs whose names and files do not tell it, by L0: the name or a pattern that one SAE
    has."""

    true_l0: PositiveFloat | None = None
    """Of SAEs of a world whose truth is published: how many of its features fire on average. It is
    drawn, and the answer held against it; it has no say in the answer."""

    scores: str | PublishedScores = ""
    """Scores that SAEBench published of these SAEs (`*_eval_results.json`), drawn beside curves:
    a folder or a pattern of several, from the configuration's folder, or a repository. They have no
    say in the answer."""

    d_in: Count | None = None
    """Width of the activations, where names and files do not tell it."""

    d_sae: Count | None = None
    """Number of latents, where names and files do not tell it."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of `select`, braces expanded."""
        given = (self.select,) if isinstance(self.select, str) else self.select
        return tuple(each for pattern in given for each in expand(pattern))

    @property
    def names_each(self) -> bool:
        """Whether every SAE is named, and how it is written."""
        return self.layout is not None and not any({*"*?["} & {*x} for x in self.patterns)

    @model_validator(mode="after")
    def _check_one(self) -> Import:
        named = {
            "folders": self.folders, "repository": self.repository, "release": self.release,
        }  # fmt: skip
        given = [name for name, value in named.items() if value]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'none'} of {', '.join(named)} is set; name one"
            )
        if self.revision and self.folders:
            raise ValueError(f"revision {self.revision!r}: folders have none; remove it")
        if not self.patterns:
            raise ValueError("select is empty; give a pattern, or remove it for all")
        return self


class ImportedSaes(Section):
    """A sweep of SAEs that exist already."""

    model_config = ConfigDict(populate_by_name=True)

    kept = True

    import_: Import = Field(alias="import")
    """Which they are."""


class FoundSae(Section):
    """One SAE of an imported sweep."""

    l0: PositiveFloat
    """Its label: the lowest L0 of those that are replicates of each other, or its number."""

    seed: Seed
    """Its seed, or its number among replicates."""

    name: str
    """Its folder in the repository, or from the local folder on that was named."""

    layout: Layout
    """How it is written."""

    announced: PositiveFloat | None = None
    """The L0 that its name or its files tell."""

    k: Count | None = None
    """The k of a TopK or BatchTopK SAE, where its files tell it."""

    training_steps: Count | None = None
    """Steps of its training, where its files tell them."""

    files: tuple[str, ...] = ()
    """Its files, as `name`; the weights first."""

    digest: str = ""
    """Of local weights: their sha256."""


NOT_TRAINED_HERE = Training(training_tokens=1, batch_tokens=1)
"""Stands where a training would: an imported SAE asks for none."""


class ImportedSweep(Sweep):
    """A sweep whose SAEs exist already."""

    d_sae: Count
    """Number of latents."""

    l0: L0List
    """Labels of the points."""

    training: Training = NOT_TRAINED_HERE
    """None took place here."""

    origin: str
    """Repository, or what was named of local folders."""

    place: str = ""
    """Of local folders: the folder that the names start from."""

    revision: str = ""
    """Of a repository: the commit, branch or tag that was asked for."""

    d_in: Count
    """Width of the activations."""

    family: str
    """Architecture, as names and files tell it."""

    layer: str = ""
    """Layer, as names and files tell it."""

    by_number: bool = False
    """Whether the labels are numbers, as no L0 was announced."""

    saes: Annotated[tuple[FoundSae, ...], Field(min_length=1)]
    """The SAEs."""

    true_l0: PositiveFloat | None = None
    """How many features of their world fire on average, as a person tells it."""

    published: dict[str, dict[str, float]] = Field({})
    """Scores that others published, by name of the SAE and evaluation."""

    published_commit: str = ""
    """Of scores from a repository: its commit."""

    @property
    def imported(self) -> bool:
        """Whether the SAEs exist already."""
        return True

    @property
    def downloads(self) -> bool:
        """Whether they are fetched from a hub."""
        return not self.place

    @property
    def architecture_name(self) -> str:
        """Name of the architecture."""
        return self.family

    @property
    def swept(self) -> Literal["l0", "coefficient", "number"]:
        """What the values of `l0` are."""
        return "number" if self.by_number else "l0"

    @property
    def takes_whole_l0(self) -> bool:
        """Whether every L0 is whole."""
        return False

    @property
    def all_points(self) -> list[tuple[str, int]]:
        """Every (L0 label, seed) that there is, lowest L0 first."""
        return [
            (format_l0(l0), seed) for l0, seed in sorted((sae.l0, sae.seed) for sae in self.saes)
        ]

    def of_l0(self, l0: float) -> list[FoundSae]:
        """Return the SAEs of a label."""
        return [sae for sae in self.saes if sae.l0 == l0]

    def point(self, l0: float) -> dict[str, Any]:
        """Return what the points of a label are, each by its seed."""
        its = {
            str(sae.seed): sae.model_dump(
                mode="json", exclude_defaults=True, exclude={"l0", "seed", "files"}
            )
            for sae in self.of_l0(l0)
        }
        where = {"origin": self.origin, "revision": self.revision}
        return {"import": {**where, "saes": its}, "d_sae": self.d_sae, "l0": l0}

    @model_validator(mode="after")
    def _check_points(self) -> ImportedSweep:
        check_unique(seeds=self.seeds, l0=self.l0)
        if self.true_l0 is not None and self.true_l0 > self.d_sae:
            raise ValueError(
                f"true_l0 {self.true_l0:g} is above d_sae {self.d_sae}: no SAE of this width has "
                "such an L0; correct saes.import.true_l0"
            )
        for sae in self.saes:
            if sae.announced is not None and sae.announced > self.d_sae:
                raise ValueError(
                    f"l0 {sae.announced:g} of {sae.name} is above d_sae {self.d_sae}; correct "
                    "saes.import.l0 or d_sae"
                )
        return self
