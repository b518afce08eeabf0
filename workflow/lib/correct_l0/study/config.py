"""A study's configuration: its sections together, what they imply, and their canonical form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Discriminator, Tag, ValidationError, model_validator

from correct_l0.errors import InputError
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.saes.sweep import Sweep
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import Name, format_l0
from correct_l0.settings.errors import describe_errors
from correct_l0.sources.language_model.settings import Activations, Prompted
from correct_l0.sources.settings import SourceSection
from correct_l0.sources.weights import WeightsOnly
from correct_l0.study.checks import check_hedging, check_import, check_self_check, check_train_on
from correct_l0.study.file import SOURCES, StudyFile, tag_of

Kind = TypeVar("Kind", bound="StudyFile")


class Config(StudyFile):
    """One sweep of a study, with all that it is studied by."""

    kept = True

    saes: Annotated[
        Annotated[Sweep, Tag("(train)")] | Annotated[ImportedSweep, Tag("(import)")],
        Discriminator(tag_of),
    ]
    """The SAEs."""

    sweep: Name | None = None
    """Name of the sweep, where the study has several."""

    @model_validator(mode="after")
    def _check_sweeps(self) -> Config:
        if self.study == "activations":
            raise ValueError("study 'activations' would share the caches' folder; rename it")
        found = [name for name in SOURCES if getattr(self, name) is not None]
        if isinstance(self.saes, ImportedSweep):
            check_import(self, self.saes)
        if len(found) > 1 or not (found or self.saes.imported):
            raise ValueError(
                f"{' and '.join(found) or 'none'} of {', '.join(SOURCES)} is set; a study has one "
                "source, name one"
            )
        if self.truth_is_known and self.probing.tasks not in ("none", ()):
            raise ValueError(
                f"probing.tasks: a {found[0].replace('_', '-')} source has no prompts to probe on; "
                "remove it"
            )
        if self.stored is not None and self.prompted is None and self.probing.tasks != "none":
            raise ValueError(
                "probing.tasks: stored activations come without the model that reads the prompts; "
                "name it in stored.model and its hook in stored.hook_name, or remove probing"
            )
        if self.hedging is not None:
            check_hedging(self, self.hedging)
        if self.self_check:
            check_self_check(self)
        if self.frozen_control and (self.activations is None or self.saes.imported):
            raise ValueError(
                "frozen_control: only where SAEs are trained on `activations`; remove it, and give "
                "saes.training.freeze_decoder to a sweep of its own"
            )
        if self.train_on is not None:
            check_train_on(self, self.train_on)
        if self.has_rows:
            self._check_batches()
            self._check_ranks()
        for k in self.probing.probe_k:
            if k > self.saes.d_sae and self.has_rows:
                raise ValueError(f"probe_k {k} is above d_sae {self.saes.d_sae}; lower it")
        for name, values in (("probe_k", self.probing.probe_k), ("tasks", self.probing.tasks)):
            if not isinstance(values, str) and len(set(values)) < len(values):
                raise ValueError(f"{name} lists a value more than once; keep one of each")
        for l0 in self.decoder_metrics.histogram_l0:
            if l0 not in self.saes.l0:
                raise ValueError(f"histogram_l0 {l0:g} is not in saes.l0; add it there")
        return self

    def _check_batches(self) -> None:
        smallest = self.source.held_out_tokens
        if self.activations is not None:
            smallest = min(smallest, self.activations.training_tokens)
        for label, batch in (
            *((f"l0 {format_l0(x)}", self.training(x).batch_tokens) for x in self.saes.l0),
            ("decoder_metrics", self.decoder_metrics.batch_tokens),
        ):
            if batch > smallest:
                raise ValueError(
                    f"batch_tokens {batch} ({label}) is above the {smallest} tokens of the "
                    "source's training or held-out part; make more of them or the batch smaller"
                )

    def _check_ranks(self) -> None:
        for n in self.decoder_metrics.n:
            if n > 1 and n != int(n):
                raise ValueError(f"n {n:g} is neither whole nor a fraction below 1; round it")
        for n in self.n_values():
            if n >= self.saes.d_sae:
                raise ValueError(
                    f"n {n} is not below d_sae {self.saes.d_sae}: a token has only that many "
                    "projections; lower it"
                )
        ranks = self.n_values()
        for n in dict.fromkeys(n for n in ranks if ranks.count(n) > 1):
            raise ValueError(f"n {n} is listed more than once (after fractions of d_sae); keep one")

    @property
    def source(self) -> SourceSection:
        """The settings of the source."""
        for name in SOURCES:
            section: SourceSection | None = getattr(self, name)
            if section is not None:
                return section
        assert isinstance(self.saes, ImportedSweep), "checked when the configuration is read"
        return WeightsOnly(d_in=self.saes.d_in)

    @property
    def has_rows(self) -> bool:
        """Whether there are activations, or of imported SAEs the weights alone."""
        return any(getattr(self, name) is not None for name in SOURCES)

    @property
    def language_model(self) -> Activations:
        """The settings of the activation cache, of a study whose source is a language model."""
        assert self.activations is not None, "asked only where the source is a language model"
        return self.activations

    @property
    def cached(self) -> Activations | None:
        """The settings of the activation cache that is read; None of a synthetic world."""
        return self.activations or (self.semi_synthetic.cache if self.semi_synthetic else None)

    @property
    def prompted(self) -> Prompted | None:
        """The tensor that probing reads; None where no language model is named."""
        if self.stored is not None:
            return self.stored.prompted(self.study)
        return self.activations.prompted if self.activations is not None else None

    @property
    def truth_is_known(self) -> bool:
        """Whether the true features are known."""
        return self.source.truth_is_known

    @property
    def told_true_l0(self) -> float | None:
        """How many features fire on average, where a person tells it of imported SAEs."""
        return self.saes.true_l0 if isinstance(self.saes, ImportedSweep) else None

    def training(self, l0: float) -> Training:
        """Return the training parameters of one L0 point, overrides applied."""
        return self.saes.training_of(l0)

    @property
    def batch_tokens(self) -> int:
        """Rows of the largest training batch."""
        return max(self.training(l0).batch_tokens for l0 in self.saes.l0)

    def n_values(self) -> list[int]:
        """Return the ranks n of s_n^dec as whole numbers, in the order configured."""
        d_sae = self.saes.d_sae
        return [
            max(1, math.floor(n * d_sae + 0.5)) if n < 1 else int(n) for n in self.decoder_metrics.n
        ]

    def points(self) -> list[tuple[str, int]]:
        """Return every (l0 label, seed) of the sweep, lowest L0 first."""
        return self.saes.all_points


def parse_study(
    raw: Mapping[str, Any],
    complete: Callable[[StudyFile], Mapping[str, Any]] | None = None,
) -> list[Config]:
    """Return the checked sweeps of a study, in the order of its file; one where it has `saes`.

    Parameters
    ----------
    raw
        The configuration.
    complete
        Returns the configuration with the SAEs that its imports find, given the checked file.

    Raises
    ------
    InputError
        One line per wrong value, each with the value, the limit and the remedy.
    """
    file = _checked(StudyFile, raw)
    if complete is not None:
        raw = complete(file)
    if not file.sweeps:
        return [parse_config(raw)]
    shared = {name: value for name, value in raw.items() if name != "sweeps"}
    return [
        parse_config({**shared, "saes": saes, "sweep": name})
        for name, saes in raw["sweeps"].items()
    ]


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Return the checked configuration of one sweep.

    Raises
    ------
    InputError
        One line per wrong value, each with the value, the limit and the remedy; after the name of
        the sweep, where it has one.
    """
    return _checked(Config, raw)


def _checked(model: type[Kind], raw: Mapping[str, Any]) -> Kind:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = describe_errors(model, error)
        if "sweep" in raw:
            lines = "\n".join(f"sweep {raw['sweep']}: {line}" for line in lines.splitlines())
        raise InputError(lines) from None
