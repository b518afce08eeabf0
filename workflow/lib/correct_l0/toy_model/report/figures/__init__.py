"""The toy study's figures, each drawn from its tables: wide, and narrow for phones."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.figures import metrics, others, pictures, training

FIGURES: dict[str, Callable[[ToyData, bool], Figure]] = {
    "toy_decoder_metrics": metrics.decoder_metrics,
    "toy_cosines": pictures.cosines,
    "toy_recovery": metrics.recovery,
    "toy_reconstruction": metrics.reconstruction,
    "toy_cosines_low": pictures.cosines_low,
    "toy_s_n_dec": metrics.s_n_dec_by_n,
    "toy_transitions": training.transitions,
    "toy_transition_cosines": pictures.transition_cosines,
    "toy_auto_l0": training.auto_l0,
    "toy_small_model": others.small_model,
    "toy_mixing": others.mixing,
    "toy_superposition": others.superposition,
    "toy_jumprelu": others.jumprelu,
    "toy_model": pictures.toy_model,
}
