"""A sweep that is in memory, read in one call: decoders in, the answer out."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine, random_baseline
from correct_l0.metrics.stability.measure import compare_seeds, stability_table
from correct_l0.report.gather import COLUMNS
from correct_l0.report.imported_words import Imported
from correct_l0.report.study import read_study


@dataclass(frozen=True)
class Answer:
    """What a sweep says; it prints itself.

    Attributes
    ----------
    headline
        The answer in a sentence or two.
    lines
        What each curve says, which SAEs are too low, whether seeds agree.
    caveats
        What speaks against it, and what is not known.
    table
        c_dec of each SAE and of random directions: `l0`, `seed`, `value`, `random`.
    verdict
        Every number, as a study's `verdict.json` has them.
    """

    headline: str
    lines: tuple[str, ...]
    caveats: tuple[str, ...]
    table: pd.DataFrame
    verdict: Mapping[str, Any]

    @property
    def l0(self) -> float | None:
        """The L0 that is named; None where none is."""
        named: float | None = self.verdict["decision"]["l0"]
        return named

    def __str__(self) -> str:
        """Return the answer in lines."""
        return "\n".join([self.headline, *self.lines, *(f"But: {x}" for x in self.caveats)])

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it."""
        items = "".join(f"<li>{html.escape(x)}</li>" for x in (*self.lines, *self.caveats))
        return f"<p><b>{html.escape(self.headline)}</b></p><ul>{items}</ul>"


def read_sweep(saes: Mapping[float, Any], architecture: str = "") -> Answer:
    """Return which L0 the SAEs of a sweep should have had, by their decoders alone.

    Parameters
    ----------
    saes
        By L0, an SAE or several, of as many seeds: `W_dec` of shape (d_sae, d_in) as a tensor or an
        array, or anything that has `W_dec`, such as an SAE of SAELens or sparsify or a `load_sae`
        result. Rows of any norm: only their directions count. All of one width.
    architecture
        Its name, for a caveat where its loss moves c_dec.

    Returns
    -------
    Answer
        By c_dec; where there are two seeds of each of four L0 or more, by how well they agree.

    Raises
    ------
    InputError
        If an L0 is not above zero, decoders differ in shape, or a row is zero or not finite.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, c_dec.

    Examples
    --------
    Decoders that overlap least at L0 4: rows lean on a common direction by 0.8, 0.4, 0 and 0.6.

    >>> rows = torch.eye(16)[1:]
    >>> sweep = {l0: rows + lean * torch.eye(16)[0] for l0, lean in
    ...          {1: 0.8, 2: 0.4, 4: 0.0, 8: 0.6, 16: 0.7}.items()}
    >>> answer = read_sweep(sweep)
    >>> answer.table["value"].round(3).tolist()  # lean^2 / (1 + lean^2)
    [0.39, 0.138, 0.0, 0.265, 0.329]
    """
    decoders = {float(l0): _decoders(l0, given) for l0, given in sorted(saes.items())}
    shapes = {tuple(W_dec.shape) for its in decoders.values() for W_dec in its}
    if len(shapes) != 1:
        raise InputError(
            f"decoders have shapes {sorted(shapes)}, not one; read one width at a time"
        )
    ((d_sae, d_in),) = shapes
    rows = [
        {"l0": l0, "l0_measured": l0, "seed": seed, "value": mean_absolute_cosine(W_dec),
         "random": random_baseline(d_in)}
        for l0, its in decoders.items() for seed, W_dec in enumerate(its)
    ]  # fmt: skip
    tables = {name: pd.DataFrame(columns=[*columns]) for name, columns in COLUMNS.items()}
    tables["c_dec"] = pd.DataFrame(rows)
    tables["points"] = tables["c_dec"][["l0", "l0_measured", "seed"]]
    compared = [
        stability_table(compare_seeds(dict(enumerate(its)))).assign(l0=l0, l0_measured=l0)
        for l0, its in decoders.items()
        if len(its) > 1
    ]
    if compared:
        tables["stability"] = pd.concat(compared, ignore_index=True)
    verdict = read_study(
        tables,
        d_sae=d_sae,
        l0=list(decoders),
        training_tokens=0,
        imported=Imported(architecture, has_rows=False),
    )
    return Answer(
        verdict["headline"],
        (*verdict["lines"], *verdict["stability_lines"]),
        tuple(verdict["caveats"]),
        tables["c_dec"][["l0", "seed", "value", "random"]],
        verdict,
    )


def _decoders(l0: float, given: Any) -> list[Float[Tensor, "d_sae d_in"]]:
    """Return the decoders of one L0, one for each seed."""
    if not float(l0) > 0:
        raise InputError(f"l0 {l0} is not above zero; give the L0 of each SAE as its key")
    if isinstance(given, list | tuple):
        return [W_dec for each in given for W_dec in _decoders(l0, each)]
    W_dec = getattr(given, "W_dec", given)
    if isinstance(W_dec, np.ndarray):
        W_dec = torch.from_numpy(W_dec)
    if not isinstance(W_dec, Tensor) or W_dec.dim() != 2:
        raise InputError(
            f"l0 {l0}: {type(given).__name__} is no decoder; give W_dec, of shape (d_sae, d_in), "
            "or an SAE that has it"
        )
    return [W_dec.detach().float()]
