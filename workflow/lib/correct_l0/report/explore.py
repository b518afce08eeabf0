"""The interactive picture: values on hover, seeds or sweeps switched on and off, zoom.

It stands beside the drawn figures and is shown by a script, so that a page without scripts, or on
paper, has lost nothing. The library, Plotly, is packed into the page and unpacked when the picture
comes into view.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.report.figures.style import TRUTH_LINES
from correct_l0.settings.base import format_l0

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6B4FA0", "#8A6A12", "#3B8EA5")
"""Of the seeds, in turn."""

PANEL_PIXELS, REST_PIXELS = 190, 110
DIGITS = 5
TICKS = [digit * 10**power for power in range(-1, 6) for digit in (1, 2, 5)]
THROUGH = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
"""Of a shape that goes through all panels."""


class Curves(NamedTuple):
    """What a panel shows.

    Attributes
    ----------
    title
        Of its axis.
    table
        Columns `l0` (target), `l0_measured`, `value` and `who`, by which curves are told apart.
    """

    title: str
    table: pd.DataFrame


def curves_of(study: StudyData) -> Iterator[Curves]:
    """Yield the panels of a study, those that decide first."""
    tables = study.tables
    of_seed = {name: _by_seed(tables[name]) for name in ("c_dec", "points", "recovery")}
    yield Curves("c_dec", _values(of_seed["c_dec"], "value"))
    if len(pairs := tables["stability"]):
        both = zip(pairs["seed_a"], pairs["seed_b"], strict=True)
        who = [f"seeds {a} and {b}" for a, b in both]
        yield Curves("stability", _values(pairs.assign(who=who), "reproduced_share"))
    probing = tables["probing"]
    for k in sorted(set(map(int, probing["probe_k"]))) if len(probing) else ():
        scores = probing[probing["probe_k"] == k]
        means = scores.groupby(["l0", "seed"], as_index=False)[["l0_measured", "f1"]].mean()
        yield Curves(f"F1, {words.latents(k)}", _values(_by_seed(means), "f1"))
    if len(tables["recovery"]):
        yield Curves("recovery", _values(of_seed["recovery"], "mcc"))
    yield Curves("FVU", _values(of_seed["points"], "fvu"))
    yield Curves("dead latents", _values(of_seed["points"], "dead_fraction"))


def _by_seed(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(who=[f"seed {seed}" for seed in table["seed"]] if len(table) else [])


def _values(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows that have a value, by curve from low to high L0."""
    kept = table[["l0", "l0_measured", column, "who"]].rename(columns={column: "value"})
    kept = kept[kept["value"].notna() & (kept["l0_measured"] > 0)]
    return kept.sort_values(["who", "l0_measured"])


def explore_seeds(study: StudyData) -> str:
    """Return a study's picture as JSON, a curve a seed; empty where no point stands."""
    panels = list(curves_of(study))
    names = sorted({who for panel in panels for who in panel.table["who"]}, key=_order)
    styles = {name: (name, COLORS[i % len(COLORS)]) for i, name in enumerate(names)}
    return _picture([(panel, styles) for panel in panels], [*_answer(study), *_truths([study])])


def explore_sweeps(sweeps: Sequence[tuple[str, StudyData, str]]) -> str:
    """Return the picture of several sweeps as JSON: each by its name, its study and its colour."""
    panels: dict[str, list[pd.DataFrame]] = {}
    styles: dict[str, tuple[str, str]] = {}
    for name, study, color in sweeps:
        for title, table in curves_of(study):
            who = [f"{name}, {each}" for each in table["who"]]
            panels.setdefault(title, []).append(table.assign(who=who))
            styles |= {each: (name, color) for each in who}
    return _picture(
        [(Curves(title, pd.concat(tables)), styles) for title, tables in panels.items()],
        _truths([study for _, study, _ in sweeps]),
    )


def _order(name: str) -> tuple[str, int]:
    kind, _, rest = name.partition(" ")
    first = rest.partition(" ")[0]
    return kind, int(first) if first.isdecimal() else 0


def _picture(
    panels: Sequence[tuple[Curves, dict[str, tuple[str, str]]]], shapes: list[dict[str, Any]]
) -> str:
    """Return data and layout for Plotly; curves with one legend entry are switched together."""
    shown = [(curves, styles) for curves, styles in panels if len(curves.table)]
    if not shown:
        return ""
    traces: list[dict[str, Any]] = []
    known: set[str] = set()
    share = 1 / len(shown)
    layout: dict[str, Any] = {
        "height": REST_PIXELS + PANEL_PIXELS * len(shown),
        "xaxis": {
            "type": "log",
            "title": {"text": "measured L0"},
            "anchor": "free",
            "position": 0,
            "tickvals": TICKS,
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 70, "r": 12, "t": 10, "b": 50},
        "hovermode": "closest",
        "shapes": shapes,
    }
    for i, (curves, styles) in enumerate(shown):
        axis = "y" if i == 0 else f"y{i + 1}"
        top = 1 - i * share
        layout[f"yaxis{'' if i == 0 else i + 1}"] = {
            "domain": [top - 0.86 * share, top],
            "title": {"text": curves.title},
        }
        for who, rows in curves.table.groupby("who", sort=False):
            entry, color = styles[str(who)]
            traces.append(
                {
                    "x": _rounded(rows["l0_measured"]),
                    "y": _rounded(rows["value"]),
                    "text": [f"{who}, target L0 {format_l0(l0)}" for l0 in rows["l0"]],
                    "hovertemplate": "%{text}<br>measured L0 %{x}<br>"
                    + f"{curves.title} %{{y}}<extra></extra>",
                    "mode": "lines+markers",
                    "line": {"color": color, "width": 1.5},
                    "marker": {"size": 6},
                    "name": entry,
                    "legendgroup": entry,
                    "showlegend": entry not in known,
                    "xaxis": "x",
                    "yaxis": axis,
                }
            )
            known.add(entry)
    # Inside a script element `</script>` would end it.
    return json.dumps({"data": traces, "layout": layout}).replace("<", "\\u003c")


def _answer(study: StudyData) -> list[dict[str, Any]]:
    """Return the answer's interval as it is shaded."""
    if (named := study.named) is None:
        return []
    shaded = {"type": "rect", "x0": named["low"], "x1": named["high"], "opacity": 0.2}
    return [
        {**THROUGH, **shaded, "fillcolor": "#E69F00", "line": {"width": 0}},
        {**THROUGH, **_line(named["l0"]), "line": {"color": "#888888"}},
    ]


def _truths(studies: Sequence[StudyData]) -> list[dict[str, Any]]:
    """Return what is known of the truth as lines, as in the figures.

    One is named at its top, the other at its foot: often they are the same L0.
    """
    shapes = []
    drawn = zip(TRUTH_LINES.items(), ("dash", "dot"), ("end", "start"), strict=True)
    for (what, (key, look)), dash, at in drawn:
        for value in sorted({study.truth[key] for study in studies if key in study.truth}):
            line = {"color": look["color"], "width": look["linewidth"], "dash": dash}
            label = {"text": what, "textposition": at, "font": {"size": 10}}
            shapes.append({**THROUGH, **_line(value), "line": line, "label": label})
    return shapes


def _line(l0: float) -> dict[str, Any]:
    return {"type": "line", "x0": l0, "x1": l0}


def _rounded(values: pd.Series) -> list[float]:
    return [float(f"{x:.{DIGITS}g}") for x in values if math.isfinite(x)]


def packed_library() -> str:
    """Return Plotly's script, compressed, as text; the same bytes every time."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
