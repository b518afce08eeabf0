"""Whether what a model makes of prompts looks like rows that somebody has stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError

NORM_FACTOR = 2.0
"""Mean norms of activations of one tensor differ between texts by less than this. Rows that were
scaled, of another hook or of another model mostly differ by more."""


@dataclass(frozen=True)
class Likeness:
    """Rows to hold the prompts' against.

    Attributes
    ----------
    mean_norm
        Mean norm of those that are not outlying.
    limit
        Norm above which a row is outlying.
    hook_name
        Where the prompts are read.

    Examples
    --------
    >>> import torch
    >>> stored = Likeness(mean_norm=5.0, limit=50.0, hook_name="h")
    >>> stored.ratio(torch.tensor([[3.0, 4.0], [9.0, 12.0], [300.0, 400.0]]))
    2.0
    """

    mean_norm: float
    limit: float
    hook_name: str

    @classmethod
    def to(cls, source: Mapping[str, Any], hook_name: str) -> Likeness:
        """Return what the manifest of a source says of its rows."""
        limit = source["norms"]["limit"]
        return cls(float(source["mean_norm"]), math.inf if limit is None else limit, hook_name)

    def ratio(self, values: Float[Tensor, "prompts d_in"]) -> float:
        """Return how many times the stored rows' mean norm that of the prompts' is.

        Prompts that are as far above their own median as outlying rows are above those stored are
        left out.
        """
        norms = values.double().norm(dim=1)
        kept = norms <= self.limit / self.mean_norm * norms.median()
        return float(norms[kept].mean()) / self.mean_norm

    def check(self, task: str, values: Float[Tensor, "prompts d_in"]) -> None:
        """Refuse activations of another size than the stored rows.

        Raises
        ------
        InputError
            If the mean norms differ by more than a factor `NORM_FACTOR`.
        """
        ratio = self.ratio(values)
        print(f"task {task}: mean norm {ratio:.3g} times that of the stored rows", flush=True)
        if not 1 / NORM_FACTOR <= ratio <= NORM_FACTOR:
            raise InputError(
                f"stored.model: its activations at {self.hook_name} have {ratio:.3g} times the "
                f"mean norm of the stored rows (prompts of task '{task}'), beyond a factor of "
                f"{NORM_FACTOR:g}; name the model and the hook that the rows are of, and store "
                "rows as the model gives them, not scaled or centred"
            )
