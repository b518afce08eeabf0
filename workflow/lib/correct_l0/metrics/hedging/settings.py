"""The settings of the hedging rate."""

from __future__ import annotations

from correct_l0.settings.base import Count, Section


class Hedging(Section):
    """Every SAE is trained on twice, as it is and with more latents."""

    kept = True

    new_latents: Count
    """Latents that are added, fewer than d_in; a tenth of it or less, as in few dimensions chance
    leaves little to tell."""

    steps: Count = 1000
    """Training steps of each of the two, at the point's own batch size and learning rate."""
