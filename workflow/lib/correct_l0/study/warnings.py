"""Settings that run but are probably not meant."""

from __future__ import annotations

from correct_l0.saes.imported.settings import ImportedSweep
from correct_l0.study.config import Config

FEWEST_L0 = 3
"""L0 points that a curve needs to have a lowest or a highest one between others."""

FEWEST_COMPARED = 5
"""L0 points from which on the agreement of seeds is read, `reading.peak.FEWEST_POINTS`: that module
imports numpy, too slow for each time that Snakemake parses the workflow."""

MOST_EPOCHS = 50
"""Epochs over the cached tokens that go without a word."""


def warnings_of(study: Config) -> list[str]:
    """Return remarks on settings that run but are probably not meant."""
    return [*_of_sweep(study), *_of_seeds(study), *_of_epochs(study)]


def _of_sweep(study: Config) -> list[str]:
    said: list[str] = []
    l0, n = study.saes.l0, study.n_values()
    if study.train_on is not None:
        return said
    if isinstance(study.saes, ImportedSweep) and len(study.saes.saes) == 1:
        return ["a single SAE: no curve can be read; add train_on, or import more SAEs"]
    if len(l0) < FEWEST_L0:
        points = "a single L0 point" if len(l0) == 1 else f"only {len(l0)} L0 points"
        said.append(f"{points}: no curve can be read of fewer than {FEWEST_L0}; add to saes.l0")
    if study.saes.swept != "l0" or not study.has_rows:
        return said
    if max(n) <= min(l0):
        return [
            *said,
            f"every n of s_n^dec (largest {max(n)}) is at or below every L0 (smallest "
            f"{min(l0):g}): no curve can name an L0; raise decoder_metrics.n",
        ]
    if max(n) < max(l0):
        said.append(
            f"every n of s_n^dec (largest {max(n)}) is below the largest L0 ({max(l0):g}): a "
            "curve that names an L0 not below its n is not counted; raise decoder_metrics.n"
        )
    return said


def _of_seeds(study: Config) -> list[str]:
    saes = study.saes
    if saes.imported or saes.training.freeze_decoder:
        return []
    if len(saes.seeds) < 2:
        return [
            "one seed: the answer is where two seeds agree, and of one there is only a hint; add "
            "to saes.seeds"
        ]
    if FEWEST_L0 <= len(saes.l0) < FEWEST_COMPARED and not saes.search:
        return [
            f"{len(saes.l0)} L0 points: the agreement of seeds is read from {FEWEST_COMPARED} on, "
            "and of fewer there is only a hint; add to saes.l0"
        ]
    return []


def _of_epochs(study: Config) -> list[str]:
    if study.saes.imported:
        return []
    if study.activations is not None:
        rows, told, remedy = study.activations.training_tokens, "cached tokens", "cache more"
    elif study.stored is not None:
        rows = len(study.stored.rows) - study.stored.held_out_tokens
        told, remedy = "stored rows", "store more"
    else:
        return []
    tokens = max(study.training(l0).training_tokens for l0 in study.saes.l0)
    if tokens <= MOST_EPOCHS * rows:
        return []
    return [
        f"training_tokens {tokens:,} are {tokens / rows:,.0f} epochs over the {rows:,} {told}: "
        f"an SAE learns what it sees so often by heart; {remedy} or train shorter"
    ]
