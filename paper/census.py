"""The open SAEs by the L0 that SAELens' table tells: the paper's figure 9, offline.

`python -m paper.census` writes docs/census.md and docs/figures/census.png from the table that the
installed SAELens brings, and from the answers of finished studies of such SAEs below `results/`.

References
----------
Chanin & Garriga-Alonso, arXiv 2508.16560, appendix "L0 of open-source SAEs on Neuronpedia",
figure 9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from correct_l0.provenance.manifest import read_or_empty, replacing
from correct_l0.report.figures.style import BLUE, GREY, INK, ORANGE, set_theme
from correct_l0.saes.imported.listing import releases, table_version
from correct_l0.study.plan import RESULTS

PAGE, PICTURE = Path("docs/census.md"), Path("docs/figures/census.png")

LOW = 100.0
"""The L0 below which the paper finds most SAEs."""

PAPERS = (200.0, 250.0)
"""The right L0 of SAEs with 32,768 latents of layer 12 of gemma-2-2b, by the paper."""

PAPERS_SAES = ("gemma-2-2b", "layer_12/")
"""Model and part of the name of the SAEs of that model and layer."""


def census(table: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each SAE of SAELens' table that tells an L0.

    A canonical id stands for an SAE that is listed besides under its own; the authors count both,
    and so does this.

    Parameters
    ----------
    table
        Releases by name, as `pretrained_saes.yaml` has them.

    Returns
    -------
    DataFrame
        `release`, `sae`, `model` (without its owner), `repository`, `l0`, and `on_neuronpedia`,
        whether Neuronpedia lists it too: the authors' rule.

    Examples
    --------
    >>> saes = [{"id": "a", "path": "a", "l0": 50, "neuronpedia": "gpt2/0"},
    ...         {"id": "b", "path": "b", "l0": 0}, {"id": "c", "path": "c"}]
    >>> found = census({"r": {"repo_id": "me/r", "model": "openai/gpt2", "saes": saes}})
    >>> found[["sae", "model", "l0", "on_neuronpedia"]].values.tolist()
    [['a', 'gpt2', 50.0, True]]
    """
    return pd.DataFrame(
        {
            "release": release,
            "sae": str(sae["id"]),
            "model": str(entry["model"]).rpartition("/")[2],
            "repository": entry["repo_id"],
            "l0": float(sae["l0"]),
            "on_neuronpedia": sae.get("neuronpedia") is not None,
        }
        for release, entry in table.items()
        for sae in entry["saes"]
        if sae.get("l0")
    )


def summary(saes: pd.DataFrame) -> dict[str, float]:
    """Return how many SAEs there are, and how their L0 are spread.

    Examples
    --------
    >>> summary(pd.DataFrame({"l0": [10.0, 50.0, 90.0, 400.0]}))
    {'SAEs': 4, 'median': 70.0, 'below': 0.75, 'at least 200': 0.25}
    """
    l0 = saes["l0"]
    return {
        "SAEs": len(l0),
        "median": float(l0.median()),
        "below": float((l0 < LOW).mean()),
        "at least 200": float((l0 >= PAPERS[0]).mean()),
    }


def answers(results: Path, repositories: set[str]) -> list[dict[str, Any]]:
    """Return what finished studies say of SAEs of some repositories.

    Each has `study`, `origin`, `layer`, `d_sae`, `headline`, and `low` and `high` where an L0 is
    named.
    """
    found = []
    for path in sorted(results.glob("**/tables/verdict.json")):
        settings = read_or_empty(path.with_name("manifest.json")).get("parameters", "{}")
        saes = json.loads(settings).get("saes", {})
        if saes.get("origin") not in repositories:
            continue
        verdict = read_or_empty(path)
        told = {name: saes.get(name) for name in ("origin", "layer", "d_sae")}
        bounds = {name: verdict["decision"][name] for name in ("low", "high")}
        study = path.parents[1].relative_to(results).as_posix()
        found.append({"study": study, "headline": verdict["headline"], **told, **bounds})
    return found


def draw(saes: pd.DataFrame) -> Figure:
    """Return the picture: histograms over L0 of both rules, and the SAEs the paper speaks of."""
    set_theme()
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    ax = figure.subplots()
    edges = np.geomspace(2, 2000, 46)
    by_rule = saes[saes["on_neuronpedia"]]
    for rows, color, label in (
        (saes, GREY, "all that tell an L0"),
        (by_rule, BLUE, "on Neuronpedia too (the paper's rule)"),
    ):
        weights = [100 / len(rows)] * len(rows)
        told = f"{label}: {len(rows):,} SAEs, median {rows['l0'].median():g}"
        ax.hist(
            rows["l0"].to_numpy(),
            edges.tolist(),
            weights=weights,
            color=color,
            alpha=0.55,
            label=told,
        )
    model, layer = PAPERS_SAES
    those = by_rule[(by_rule["model"] == model) & by_rule["sae"].str.contains(layer)]
    ax.axvspan(*PAPERS, color=ORANGE, alpha=0.35, linewidth=0,
               label="right for gemma-2-2b, layer 12, 32k latents, by the paper")  # fmt: skip
    ax.plot(those["l0"], np.full(len(those), -0.25), "|", color=INK, markersize=9, clip_on=False,
            label=f"SAEs of gemma-2-2b, layer 12: {len(those)}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel("L0 (logarithmic)")
    ax.set_ylabel("share of the SAEs (%)")
    ax.legend(loc="upper right", fontsize=8)
    return figure


def page(saes: pd.DataFrame, found: list[dict[str, Any]]) -> str:
    """Return docs/census.md."""
    rules = {
        "an L0 in SAELens, and on Neuronpedia (the paper's rule)": saes[saes["on_neuronpedia"]],
        "an L0 in SAELens": saes,
    }
    rows = [
        f"| {rule} | {x['SAEs']:,} | {x['median']:g} | {x['below']:.0%} | {x['at least 200']:.0%} |"
        for rule, x in ((rule, summary(rows)) for rule, rows in rules.items())
    ]
    models = saes.groupby("model")["l0"].agg(["size", "median", "max"])
    models["below"] = saes.assign(low=saes["l0"] < LOW).groupby("model")["low"].mean()
    most = models.sort_values("size", ascending=False).head(12)
    by_model = [
        f"| {model} | {row['size']:,.0f} | {row['median']:g} | {row['below']:.0%} | "
        f"{row['max']:,.0f} |"
        for model, row in most.iterrows()
    ]
    ours = [
        f"| {x['study']} | {x['origin']}, layer {x['layer']}, {x['d_sae']:,} latents | "
        f"{x['headline']} |"
        for x in found
    ]
    return "\n".join(
        [
            "# Open SAEs by L0",
            "",
            "```",
            "python -m paper.census",
            "```",
            "",
            f"writes this page from the table of SAELens {table_version()}, without a network. The "
            "paper's figure 9 (arXiv 2508.16560) is the first row.",
            "",
            f"| rule | SAEs | median L0 | below {LOW:g} | {PAPERS[0]:g} and more |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "An L0 that the table does not tell reads as 0 in SAELens; such SAEs are left out. So "
            "are those whose L0 only their files tell, all of SAEBench among them. Transcoders are "
            "counted in the second row: the table does not set them apart.",
            "",
            "![Histogram of the L0 of open SAEs, most of it below 100](figures/census.png)",
            "",
            f"The twelve models with the most SAEs of {len(models)}, by the second rule:",
            "",
            f"| model | SAEs | median L0 | below {LOW:g} | largest |",
            "|---|---|---|---|---|",
            *by_model,
            "",
            "## Against answers",
            "",
            f"The paper names {PAPERS[0]:g} to {PAPERS[1]:g} for one model, layer and width: "
            "gemma-2-2b, layer 12, 32k latents. That says nothing of other models: whether most of "
            "these SAEs have too low an L0 is what `saes.import` finds out, sweep by sweep "
            "([imported.md](imported.md)).",
            "",
            *(
                ["| study | SAEs | answer |", "|---|---|---|", *ours]
                if ours
                else [
                    "No sweep of this table was read here: that takes its weights from a hub. "
                    "Answers of finished studies (`config/imported/`) come into this page when it "
                    "is written again."
                ]
            ),
            "",
        ]
    )


def main() -> None:
    """Write the page and its picture."""
    saes = census(releases())
    with replacing(PICTURE) as path:
        draw(saes).savefig(path, dpi=110, metadata={"Software": None})
    PAGE.write_text(page(saes, answers(RESULTS, {*saes["repository"]})))


if __name__ == "__main__":
    main()
