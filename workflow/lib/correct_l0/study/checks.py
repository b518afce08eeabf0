"""What the sections of a study cannot ask for together: imports, longer trainings, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from correct_l0.metrics.hedging.settings import Hedging
from correct_l0.saes.architectures import architecture, names_of
from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.saes.imported.train_on import TrainOn
from correct_l0.sources.semi_synthetic.settings import FEWEST_HELD_OUT

if TYPE_CHECKING:
    from correct_l0.study.config import Config


def check_import(study: Config, saes: ImportedSweep) -> None:
    """Refuse imported SAEs that nothing can be read of, or that the source is not of."""
    if study.self_check:
        raise ValueError("self_check: imported SAEs are not trained again; remove it")
    if not study.has_rows and study.probing.tasks not in ("none", ()):
        raise ValueError(
            "probing.tasks: without a source there is no model to probe; remove it, or name a "
            "cache in activations"
        )
    if study.has_rows and study.source.d_in != saes.d_in:
        raise ValueError(
            f"saes.import: {saes.origin} takes activations {saes.d_in} wide, the source's are "
            f"{study.source.d_in} wide; name the source of the hook they were trained on"
        )
    if saes.true_l0 is not None and study.truth_is_known:
        raise ValueError(
            f"saes.import.true_l0 {saes.true_l0:g}: the source's features are known, and how "
            "many of them fire is measured; remove it"
        )
    if len(saes.saes) == 1 and not study.has_rows:
        raise ValueError(
            f"saes.import: {saes.saes[0].name} is a single SAE, of whose weights alone nothing "
            "can be read; name a cache of its hook in activations and add train_on, or import "
            "more SAEs"
        )


def check_train_on(study: Config, asked: TrainOn) -> None:
    """Refuse to train on what is not one imported SAE of an architecture with an engine."""
    saes = study.saes
    if not isinstance(saes, ImportedSweep) or len(saes.saes) != 1:
        found = f"{len(saes.saes)} imported SAEs" if isinstance(saes, ImportedSweep) else (
            "SAEs that are trained here"
        )  # fmt: skip
        raise ValueError(f"train_on: only of a single imported SAE, not of {found}; remove it")
    able = names_of("trained_on")
    if saes.architecture_name not in able:
        raise ValueError(
            f"train_on: {saes.saes[0].name} is {saes.architecture_name}, and only "
            f"{', '.join(able)} SAEs are trained on; remove it"
        )
    if asked.batch_tokens > study.source.held_out_tokens:
        raise ValueError(
            f"train_on: batch_tokens {asked.batch_tokens} is above the "
            f"{study.source.held_out_tokens} held-out tokens of the source; make it smaller"
        )


def check_hedging(study: Config, wanted: Hedging) -> None:
    """Refuse a hedging rate of SAEs that cannot be trained on with more latents."""
    name = "imported" if study.saes.imported else study.saes.architecture_name
    able = names_of("widened")
    if name not in able:
        raise ValueError(
            f"hedging: {name} SAEs are not widened, those of {', '.join(able)} are; remove it"
        )
    if wanted.new_latents >= study.source.d_in:
        raise ValueError(
            f"hedging.new_latents {wanted.new_latents} is not below d_in {study.source.d_in}: "
            "so many latents span the whole space; lower it"
        )
    if any(study.training(l0).freeze_decoder for l0 in study.saes.l0):
        raise ValueError(
            "hedging: a decoder that is frozen (freeze_decoder) does not move; remove one of them"
        )
    if study.training(study.saes.l0[0]).by_sparsify:
        raise ValueError(
            "hedging: SAEs of engine sparsify are not trained on, as its learning rate suits "
            "no other; remove one of them"
        )


def check_self_check(study: Config) -> None:
    """Refuse to generate data with SAEs that cannot, or without a cache of rows enough."""
    if study.activations is None:
        raise ValueError(
            "self_check: only where the source is `activations`, a cache that the study's own "
            "SAEs can decode; remove it"
        )
    if architecture(study.saes.architecture_name).form == "abstopk":
        raise ValueError(
            f"self_check: latents of an {study.saes.architecture_name} SAE fire with either sign, "
            "which is no feature; remove it"
        )
    if study.activations.held_out_tokens < FEWEST_HELD_OUT:
        raise ValueError(
            f"self_check: held_out_tokens {study.activations.held_out_tokens} is below "
            f"{FEWEST_HELD_OUT}; cache more or remove it"
        )
