"""Architectures of SAEs, by name: one file each, which declares what the rest of the house needs.

All are SAELens' of the same name; some have an engine of ours. Nothing heavy is imported before an
SAE is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from correct_l0.errors import InputError
from correct_l0.saes import RECIPE
from correct_l0.settings.base import Section, format_l0

if TYPE_CHECKING:
    from correct_l0.saes.training_settings import Training

NAMES = tuple(module.name for module in iter_modules(__path__))
"""All that there are: each file here is one."""

DEFAULT = "batchtopk"
SAELENS = "correct_l0.saes.engine.saelens:build"


class Options(Section):
    """An architecture's own settings."""

    def saelens(self, d_sae: int) -> dict[str, Any]:
        """Return them as SAELens' training configuration has them, for SAEs of a width."""
        return self.model_dump()

    def changes(self) -> dict[str, Any]:
        """Return what they change of the architecture's declaration."""
        return {}

    def unusable_with(self, training: Training, d_sae: int) -> str:
        """Return why no SAE can be trained so; empty where one can."""
        return ""

    def prefixes_of(self, d_sae: int) -> tuple[int, ...]:
        """Return the numbers of first latents that reconstruct by themselves, without all."""
        return ()

    def gone_on(self, d_sae: int, wider: int) -> Options:
        """Return them for the training of a finished SAE that goes on, with `wider` latents."""
        return self


@dataclass(frozen=True)
class Architecture:
    """What an architecture declares.

    Attributes
    ----------
    settings
        Its section of a configuration.
    swept
        What is swept: the target `l0`, or the `coefficient` of a penalty, which has an L0 each.
    parameter
        Name of what is swept in SAELens' configuration.
    whole
        Whether what is swept is a whole number.
    form
        The inference form, as SAELens names it: what an SAE in use does with its pre-activations.
    calibrated
        Whether the thresholds are set on held-out tokens for the target L0; else the SAE is saved
        with what it learnt.
    l0_tolerance
        Largest relative distance of the measured from the target L0 that counts as meeting it.
    warm_up
        Name of its penalty's warm-up in SAELens' configuration, in steps.
    trainer
        `module:function` that returns a trainer at step 0, imported when it is called.
    cost_factor
        Time of a training step of SAELens over that of `batchtopk` on our engine, at 384 x 1536,
        batch 1024, L0 32, on one core.
    own_cost_factor
        The same of a step on our engine; zero where it has none.
    recipe
        Changes when the same settings, seed and activations give other numbers.
    by_sparsify
        Whether sparsify trains it, too.
    widened
        Whether a finished SAE goes on with more latents, as the hedging rate needs
        (`Options.gone_on`).
    trained_on
        Whether a single imported SAE goes on at several L0 (`train_on`): it has a target L0, and no
        settings that its files would have to tell.
    """

    settings: type[Options]
    swept: Literal["l0", "coefficient"]
    parameter: str
    form: Literal["jumprelu", "topk", "abstopk"]
    cost_factor: float
    own_cost_factor: float = 0.0
    whole: bool = False
    calibrated: bool = False
    l0_tolerance: float = 0.02
    warm_up: str = ""
    trainer: str = SAELENS
    recipe: int = RECIPE
    by_sparsify: bool = False
    widened: bool = False
    trained_on: bool = False

    @property
    def learns_thresholds(self) -> bool:
        """Whether the SAE is saved with thresholds as learnt."""
        return self.form == "jumprelu" and not self.calibrated

    def unusable_at(self, swept: float, training: Training) -> str:
        """Return why an SAE cannot be trained at a value of what is swept; empty where it can."""
        if self.whole and swept != int(swept):
            return (
                f"l0 {format_l0(swept)} is not whole: every token keeps the same number of latents "
                "in this architecture; round it"
            )
        if training.by_sparsify and not self.by_sparsify:
            return (
                "engine sparsify: it trains topk SAEs only; use engine fused, or architecture topk"
            )
        if self.swept == "coefficient" and training.l0_schedule is not None:
            return "l0_schedule: this architecture has no target L0; remove it or choose another"
        return ""


def architecture(name: str) -> Architecture:
    """Return an architecture by name, as it is with its default settings.

    Raises
    ------
    InputError
        If there is none of this name.

    Examples
    --------
    >>> architecture("gated").swept, architecture("topk").form
    ('coefficient', 'topk')
    """
    if name not in NAMES:
        raise InputError(f"architecture {name!r} is not known; choose one of {', '.join(NAMES)}")
    found: Architecture = import_module(f"{__name__}.{name}").ARCHITECTURE
    return found


def names_of(declared: Literal["widened", "trained_on"]) -> list[str]:
    """Return the names of the architectures that declare something.

    Examples
    --------
    >>> names_of("trained_on")
    ['batchtopk', 'jumprelu', 'topk']
    """
    return [name for name in NAMES if getattr(architecture(name), declared)]


def declared_with(name: str, options: Options) -> Architecture:
    """Return what an architecture declares with settings of its own.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    return replace(architecture(name), **options.changes())


def read_architecture(given: Mapping[str, Any]) -> tuple[str, Options]:
    """Return the name and the settings of an architecture, as a configuration gives them.

    Raises
    ------
    InputError
        If there is none of this name, or its settings are wrong.

    Examples
    --------
    >>> name, section = read_architecture({"name": "jumprelu", "jumprelu_bandwidth": 1})
    >>> name, section.jumprelu_bandwidth
    ('jumprelu', 1.0)
    """
    name = str(given.get("name", DEFAULT))
    options = {key: value for key, value in given.items() if key != "name"}
    try:
        return name, architecture(name).settings.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"architecture {where}: {message}") from None
