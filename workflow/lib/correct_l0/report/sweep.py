"""A sweep that is in memory, read in one call: decoders or a table of values in, the answer out."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine, random_baseline
from correct_l0.metrics.decoder.measure import BATCH_MEAN
from correct_l0.metrics.face import decoder_of
from correct_l0.metrics.stability.measure import compare_seeds, stability_table
from correct_l0.report.gather import COLUMNS
from correct_l0.report.imported_words import Imported
from correct_l0.report.study import read_study

if TYPE_CHECKING:
    from jaxtyping import Float


S_N = "s_n_dec_"
"""Before the n of a column of s_n^dec."""

NO_WIDTH = 2**31
"""Stands for the number of latents where that is not told: no L0 is too large."""


@dataclass(frozen=True, repr=False)
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
        The values that were read: `l0`, `seed`, and a column for each metric.
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

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it."""
        said, against = (
            "".join(f"<li>{html.escape(x)}</li>" for x in lines)
            for lines in (self.lines, self.caveats)
        )
        return (
            f"<p><b>{html.escape(self.headline)}</b></p><ul>{said}</ul>"
            f"<p>What speaks against it:</p><ul>{against}</ul>"
        )


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
        By c_dec; where there are two seeds of each of five L0 or more, by how well they agree.

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

    >>> import torch
    >>> rows = torch.eye(16)[1:]
    >>> sweep = {l0: rows + lean * torch.eye(16)[0] for l0, lean in
    ...          {1: 0.8, 2: 0.4, 4: 0.0, 8: 0.6, 16: 0.7}.items()}
    >>> answer = read_sweep(sweep)
    >>> answer.table["c_dec"].round(3).tolist()  # lean^2 / (1 + lean^2)
    [0.39, 0.138, 0.0, 0.265, 0.329]
    """
    decoders = {float(l0): _decoders(l0, given) for l0, given in sorted(saes.items())}
    shapes = {tuple(W_dec.shape) for its in decoders.values() for W_dec in its}
    if len(shapes) != 1:
        raise InputError(
            f"decoders have shapes {sorted(shapes)}, not one; read one width at a time"
        )
    ((d_sae, d_in),) = shapes
    table = pd.DataFrame(
        {"l0": l0, "seed": seed, "c_dec": mean_absolute_cosine(W_dec)}
        for l0, its in decoders.items()
        for seed, W_dec in enumerate(its)
    )
    compared = [
        stability_table(compare_seeds(dict(enumerate(its)))).assign(l0=l0)
        for l0, its in decoders.items()
        if len(its) > 1
    ]
    agreement = pd.concat(compared, ignore_index=True) if compared else None
    return read_curves(table, agreement, d_sae=d_sae, d_in=d_in, architecture=architecture)


def read_curves(
    table: pd.DataFrame,
    agreement: pd.DataFrame | None = None,
    *,
    d_sae: int | None = None,
    d_in: int | None = None,
    architecture: str = "",
) -> Answer:
    """Return which L0 is right by anybody's table of values over L0.

    Parameters
    ----------
    table
        One row for each SAE: `l0`, `seed` where there are several, and a column for each metric:
        `c_dec`, `s_n_dec_<n>` (such as `s_n_dec_700`), or a single one `value`, which is taken for
        c_dec. Lower is better.
    agreement
        Where there are several seeds: the rows of `stability` of each L0, with a column `l0`.
    d_sae, d_in
        Number of latents, and width; c_dec by chance and the largest L0 that is named follow from
        them.
    architecture
        Its name, for a caveat where its loss moves c_dec.

    Returns
    -------
    Answer
        It prints itself, in a notebook too.

    Raises
    ------
    InputError
        If a column is missing, a value is no number, an L0 is not above zero, or an L0 has a seed
        twice.

    Examples
    --------
    >>> values = [0.50, 0.30, 0.10, 0.12, 0.20, 0.30]
    >>> table = pd.DataFrame({"l0": [5, 10, 20, 40, 80, 160], "c_dec": values})
    >>> print(read_curves(table).lines[0].split(",")[0])
    c_dec is lowest at L0 20 (0.1)
    """
    rows = _rows(table)
    metrics = [name for name in map(str, rows.columns) if name == "c_dec" or name.startswith(S_N)]
    if not metrics:
        raise InputError(
            f"the table has columns {', '.join(map(str, table))}, none of c_dec, {S_N}<n> and "
            "value; name the metric so"
        )
    tables = {name: pd.DataFrame(columns=[*columns]) for name, columns in COLUMNS.items()}
    tables["points"] = rows[["l0", "l0_measured", "seed"]]
    for name in metrics:
        values = rows[["l0", "l0_measured", "seed"]].assign(value=rows[name])
        if name == "c_dec":
            tables["c_dec"] = values
            if d_in is not None:
                tables["c_dec"] = values.assign(random=random_baseline(d_in))
        else:
            n = int(name.removeprefix(S_N))
            values = values.assign(n=n, statistic=BATCH_MEAN, standard_error=math.nan)
            both = [tables["s_n_dec"], values]
            tables["s_n_dec"] = pd.concat([each for each in both if len(each)], ignore_index=True)
    if agreement is not None and len(agreement):
        tables["stability"] = agreement.assign(l0_measured=agreement["l0"])
    verdict = read_study(
        tables,
        d_sae=d_sae or NO_WIDTH,
        l0=sorted(rows["l0"].unique()),
        training_tokens=0,
        imported=Imported(architecture, has_rows=metrics != ["c_dec"]),
    )
    return Answer(
        verdict["headline"],
        (*verdict["lines"], *verdict["stability_lines"]),
        tuple(verdict["caveats"]),
        rows.drop(columns="l0_measured").rename(columns={"value": "c_dec"}),
        verdict,
    )


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of values with all columns that are read, each a number."""
    rows = pd.DataFrame(table).rename(columns={"value": "c_dec"}).reset_index(drop=True)
    if "l0" not in rows:
        raise InputError(
            f"the table has columns {', '.join(map(str, rows))}, not l0; give one row for each SAE "
            "and its L0 in l0"
        )
    if "seed" not in rows:
        rows["seed"] = 0
    for name in rows:
        if name in ("l0", "seed", "c_dec") or str(name).startswith(S_N):
            number = pd.to_numeric(rows[name], errors="coerce")
            bad = number.isna() | np.isinf(number)
            if bad.any():
                raise InputError(
                    f"{name} is {rows[name][bad].iloc[0]} in a row of the table, not a number; "
                    "correct it or drop the row"
                )
            rows[name] = number
    if not (rows["l0"] > 0).all():
        raise InputError(f"l0 {rows['l0'].min():g} is not above zero; drop the row")
    if (twice := rows.duplicated(["l0", "seed"])).any():
        l0, seed = rows.loc[twice, ["l0", "seed"]].iloc[0]
        raise InputError(
            f"L0 {l0:g} seed {seed:g} stands twice in the table; give each SAE a seed of its own"
        )
    return rows.assign(l0_measured=rows["l0"].astype(float), l0=rows["l0"].astype(float))


def _decoders(l0: float, given: Any) -> list[Float[Tensor, "d_sae d_in"]]:
    """Return the decoders of one L0, one for each seed."""
    if not float(l0) > 0:
        raise InputError(f"l0 {l0} is not above zero; give the L0 of each SAE as its key")
    if isinstance(given, list | tuple):
        return [W_dec for each in given for W_dec in _decoders(l0, each)]
    try:
        return [decoder_of(given)]
    except InputError as error:
        raise InputError(f"l0 {l0}: {error}") from None
