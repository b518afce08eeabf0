"""An activation store held in memory, where the machine has no zarr."""

from __future__ import annotations

import torch


class MemoryStore:
    """Rows of activations as `train_points` takes them; the last ones are held out.

    Parameters
    ----------
    rows
        Raw activations on the CPU, (tokens, d_in), of any floating-point type.
    held_out
        Number of rows that are not trained on.
    """

    digest = "in memory"

    def __init__(self, rows: torch.Tensor, held_out: int) -> None:
        self.training, self._held_out = rows[:-held_out], rows[-held_out:]
        self.d_in = rows.shape[1]
        self.n_held_out = held_out
        self.norms = None
        self.mean_norm = float(self.training[: 2**16].float().norm(dim=1).mean())

    def held_out(self, start: int, stop: int) -> torch.Tensor:
        """Return held-out rows in float32."""
        return self._held_out[start:stop].float()


class MemoryBatches:
    """Shuffled batches in the rows' type, as a function of the step; rows repeat when used up.

    Each is in the memory of the one before: fresh pages would cost more than the rows.
    """

    def __init__(self, store: MemoryStore, batch_tokens: int) -> None:
        self._rows, self._batch_tokens = store.training, batch_tokens
        generator = torch.Generator().manual_seed(0)
        self._order = torch.randperm(len(store.training), generator=generator)
        self._batch = torch.empty(batch_tokens, store.d_in, dtype=store.training.dtype)

    def batch(self, step: int) -> torch.Tensor:
        """Return the rows of one step, until the next are asked for."""
        places = torch.arange(step * self._batch_tokens, (step + 1) * self._batch_tokens)
        order = self._order[places % len(self._order)]
        return torch.index_select(self._rows, 0, order, out=self._batch)
