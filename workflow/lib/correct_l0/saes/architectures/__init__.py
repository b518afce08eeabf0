"""Architectures of SAEs, by name: one file each, which declares what the rest of the house needs.

All are SAELens' of the same name; `batchtopk` has an engine of ours. Nothing heavy is imported
before an SAE is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from pydantic import ValidationError

from correct_l0.errors import InputError
from correct_l0.settings.base import Section, format_l0

NAMES = (
    "batchtopk",
    "topk",
    "abstopk",
    "jumprelu",
    "matryoshka_batchtopk",
    "standard",
    "gated",
)
DEFAULT = "batchtopk"
SAELENS = "correct_l0.saes.engine.saelens:build"


@dataclass(frozen=True)
class Architecture:
    """What an architecture declares.

    Attributes
    ----------
    settings
        Its section of a configuration; its fields are those of SAELens' training configuration.
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
    trainer
        `module:function` that returns a trainer at step 0, imported when it is called.
    cost_factor
        Time of a training step over that of `batchtopk` on our engine, at 384 x 1536, batch 1024,
        L0 32, on one core.
    """

    settings: type[Section]
    swept: Literal["l0", "coefficient"]
    parameter: str
    form: Literal["jumprelu", "topk", "abstopk"]
    cost_factor: float
    whole: bool = False
    calibrated: bool = False
    trainer: str = SAELENS

    def unusable_at(self, swept: float, has_schedule: bool) -> str:
        """Return why an SAE cannot be trained at a value of what is swept; empty where it can."""
        if self.whole and swept != int(swept):
            return (
                f"l0 {format_l0(swept)} is not whole: every token keeps the same number of latents "
                "in this architecture; round it"
            )
        if self.swept == "coefficient" and has_schedule:
            return "l0_schedule: this architecture has no target L0; remove it or choose another"
        return ""


def architecture(name: str) -> Architecture:
    """Return an architecture by name.

    Raises
    ------
    InputError
        If there is none of this name.

    Examples
    --------
    >>> architecture("jumprelu").swept, architecture("topk").form
    ('coefficient', 'topk')
    """
    if name not in NAMES:
        raise InputError(f"architecture {name!r} is not known; choose one of {', '.join(NAMES)}")
    found: Architecture = import_module(f"{__name__}.{name}").ARCHITECTURE
    return found


def read_architecture(given: Mapping[str, Any]) -> tuple[str, Section]:
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
