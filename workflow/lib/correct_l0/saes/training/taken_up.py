"""Steps of SAEs that start where others ended (`start`).

The first and second moments of Adam are not kept with a finished SAE; they start anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.training.feed import feed_of
from correct_l0.saes.training.train import Batches, Run


class Later:
    """Batches of a stream from some step on.

    Parameters
    ----------
    batches
        The stream.
    first
        Its step that comes first.
    """

    def __init__(self, batches: Batches, first: int) -> None:
        self._batches, self._first = batches, first

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step."""
        return self._batches.batch(self._first + step)


def train_on(runs: Sequence[Run], batches: Batches, scale: float, device: str) -> None:
    """Train SAEs to the end of their steps, all on the same batches.

    Parameters
    ----------
    runs
        The SAEs, of one number of steps.
    batches
        Raw rows by step.
    scale
        Factor from raw activations to training units.
    device
        Where they are trained.

    Raises
    ------
    InputError
        If a loss is not finite.
    """
    with closing(feed_of(batches, device, scale)) as feed:
        while not runs[0].ended:
            sae_in = feed.batch(runs[0].step)
            for run in runs:
                run.train_step(sae_in, feed)
