"""The settings of the decoder metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from correct_l0.settings.base import Count, PositiveFloat, Section

HEATMAP_LATENTS = 1024
"""Widest SAE whose whole cosine matrix is kept."""

PREFIXES = "c_dec_prefixes.csv"
"""File with c_dec by prefix, of SAEs that have prefixes."""


class DecoderMetrics(Section):
    """s_n^dec, c_dec and the histograms of the decoder projections."""

    kept = True

    n: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
    )  # fmt: skip
    """The n of s_n^dec: whole numbers, or fractions of d_sae where below 1. Well above any
    plausible L0 and at most about d_sae / 2."""

    batch_tokens: Count = 4096
    """Tokens per batch of the authors' statistic."""

    batches: Count = 100
    """Batches of held-out tokens; fewer where fewer are cached."""

    histogram_l0: tuple[PositiveFloat, ...] = ()
    """L0 points whose projection histograms are drawn; empty: lowest, middle and highest."""
