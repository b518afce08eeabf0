"""Why a low L0 mixes correlated features: the loss of one latent that must stand for two.

Two orthonormal features of magnitude 1: feature 1 fires alone with probability `alone`, both fire
together with probability `together`. The SAE may use one latent, tied: encoder and decoder are the
direction a f_1 + (1 - a) f_2.
"""

from __future__ import annotations


def mixed_latent_loss(alpha: float, alone: float = 0.4, together: float = 0.4) -> float:
    """Return the expected squared error of one tied latent that mixes two features.

    Parameters
    ----------
    alpha
        Weight of feature 1; 1 is the correct, unmixed latent.
    alone, together
        Probabilities that feature 1 fires alone, and that both fire.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, theory section of the later versions:
    E = (P_1 (1 - a)^2 + P_12 (1 - 2 a)^2) / (a^2 + (1 - a)^2).

    Examples
    --------
    >>> mixed_latent_loss(1.0), round(mixed_latent_loss(0.6), 3)
    (0.4, 0.154)
    """
    error = alone * (1 - alpha) ** 2 + together * (1 - 2 * alpha) ** 2
    return error / (alpha**2 + (1 - alpha) ** 2)
