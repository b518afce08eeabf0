"""Architectures of SAEs, by name: one file each, which declares what the rest of the house needs.

All are SAELens' of the same name; `batchtopk` has an engine of ours. Nothing heavy is imported
before an SAE is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from correct_l0.errors import InputError
from correct_l0.settings.base import Section

NAMES = (
    "batchtopk",
    "topk",
    "abstopk",
    "jumprelu",
    "matryoshka_batchtopk",
    "standard",
    "gated",
)
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
        Time of a training step over that of `batchtopk` on our engine.
    """

    settings: type[Section]
    swept: Literal["l0", "coefficient"]
    parameter: str
    form: Literal["jumprelu", "topk", "abstopk"]
    cost_factor: float
    whole: bool = False
    calibrated: bool = False
    trainer: str = SAELENS


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
