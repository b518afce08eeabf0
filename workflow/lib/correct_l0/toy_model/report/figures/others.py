"""The small model, superposition and JumpReLU SAEs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from correct_l0.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    labelled,
    nothing,
    panels,
)
from correct_l0.toy_model.report.claims.judgement import at_l0
from correct_l0.toy_model.report.claims.metrics import PUBLISHED_N
from correct_l0.toy_model.report.claims.others import MIXED, STICKS_WITHIN
from correct_l0.toy_model.report.data import ToyData
from correct_l0.toy_model.report.figures.common import (
    COLORS,
    cosine_matrix,
    cosine_pictures,
    empty,
    first_seed,
    l0_axis,
    seed_dots,
    truth_line,
)


def small_model(study: ToyData, narrow: bool) -> Figure:
    """Decoder cosines of the five-feature SAEs: at the true L0, and at 1.8 from the truth."""
    runs = study.tables["small_model"]
    shown = runs[
        (runs["experiment"] == "true_l0")
        | ((runs["experiment"] == "init") & (runs["init"] == "truth"))
    ].drop_duplicates(["correlation", "l0", "init"])
    table = study.tables["cosines"]
    table = table[table["experiment"] == "small_model"]
    pictures = []
    ordered = shown.sort_values(["correlation", "l0", "init"], ascending=[False, False, True])
    for run in ordered.to_dict("records"):
        label = f"correlation_{run['correlation']:g}_{run['init']}"
        rows = first_seed(at_l0(table[table["run"] == label], run["l0"]))
        if len(rows):
            start = {"truth": "the truth", "random": "random"}[run["init"]]
            title = f"ρ = {run['correlation']:+g}, L0 {run['l0']:g} from {start}"
            title = title.replace("-", "−")
            pictures.append((title, cosine_matrix(rows)))
    if not pictures:
        return empty("small model: not run in this study", narrow)
    return cosine_pictures(pictures, narrow, 3, numbers=True)


def mixing(study: ToyData, narrow: bool) -> Figure:
    """Mixing against the correlation on the left, against L0 on the right."""
    table = study.tables["small_model"]
    if not table["experiment"].isin(["mixing_correlation", "mixing_l0"]).any():
        return empty("small model: not run in this study", narrow)
    figure, axes = panels(2, 2, narrow, height=3.2)
    for ax, experiment, x, label in (
        (axes[0], "mixing_correlation", "correlation", "correlation of feature 0 with each other"),
        (axes[1], "mixing_l0", "l0", "L0 (true: 2)"),
    ):
        rows = table[table["experiment"] == experiment]
        ax.axhline(MIXED, color=GREY, linestyle="--", linewidth=1.1, label=f"mixed, {MIXED:g}")
        if experiment == "mixing_l0":
            for color, (correlation, part) in zip(
                COLORS, rows.groupby("correlation"), strict=False
            ):
                name = f"correlation {correlation:+g}".replace("-", "−")
                seed_dots(ax, part, x, "mixing", color, name)
            ax.axvline(2, color=INK, linestyle=":", linewidth=1.4, label="true L0, 2")
        else:
            l0 = ", ".join(f"{x:g}" for x in sorted(rows["l0"].unique()))
            seed_dots(ax, rows, x, "mixing", BLUE, f"L0 {l0}")
        ax.set_xlabel(label)
        ax.set_ylabel("mean |cosine| with feature 0")
        ax.set_ylim(bottom=0)
        ax.legend(loc="best")
    axes[0].set_title("Mixing against the correlation")
    axes[1].set_title("Mixing against L0")
    return figure


def superposition(study: ToyData, narrow: bool) -> Figure:
    """Recovery, c_dec and s_n^dec where the features are not orthogonal."""
    table, s_n = study.tables["superposition"], study.tables["s_n_dec_superposition"]
    if not len(table):
        return empty("superposition: not run in this study", narrow)
    figure, axes = panels(3, 3, narrow, height=3.3)
    for ax in axes:
        truth_line(ax, study)
    seed_dots(axes[0], table, "l0", "mean_best_cosine", BLUE, "mean over features")
    axes[0].set_title("Recovery of the features")
    axes[0].set_ylabel("mean best |cosine|")
    seed_dots(axes[1], table, "l0", "c_dec", GREEN, "trained SAE")
    known = study.tables["truth"].set_index("quantity")["value"]
    if "superposition_c_dec_features" in known:
        axes[1].axhline(known["superposition_c_dec_features"], color=GREY, linestyle="--",
                        linewidth=1.2, label="the true features")  # fmt: skip
    axes[1].set_title("$c_{dec}$")
    axes[1].set_ylabel("$c_{dec}$ (mean |cosine|)")
    ns = [n for n in PUBLISHED_N if (s_n["n"] == n).any()]
    for n, color in zip(ns, COLORS, strict=False):
        seed_dots(axes[2], s_n[s_n["n"] == n], "l0", "value", color, f"n = {n}")
    if ns:
        axes[2].set_ylim(top=1.4 * float(s_n[s_n["n"].isin(ns)]["value"].max()))
    else:
        nothing(axes[2], "no s_n^dec in superposition")
    axes[2].set_title("$s_n^{dec}$")
    axes[2].set_ylabel("$s_n^{dec}$ (rows of norm 1)")
    for ax, columns in zip(axes, (1, 1, 2), strict=True):
        l0_axis(ax)
        ax.legend(loc="best", ncols=columns)
    return figure


def jumprelu(study: ToyData, narrow: bool) -> Figure:
    """L0 against lambda on the left, c_dec against L0 on the right."""
    table = study.tables["jumprelu"]
    if not len(table):
        return empty("JumpReLU: not run in this study", narrow)
    figure, (left, right) = panels(2, 2, narrow, height=3.3)
    low, high = (study.truth * (1 + sign * STICKS_WITHIN) for sign in (-1, 1))
    left.axhspan(
        low, high, color=GREY, alpha=0.18, linewidth=0, label=f"within {STICKS_WITHIN:.0%}"
    )
    truth_line(left, study, horizontal=True)
    seed_dots(left, table, "lambda", "l0_measured", BLUE, "mean over seeds")
    left.set_xscale("log")
    x = np.array(sorted(table["lambda"].unique()))
    inches = 0.35 * figure.get_figwidth() if not narrow else 0.78 * figure.get_figwidth()
    shown = x[labelled(x, 0.42 / inches * np.log(x[-1] / x[0]))] if len(x) > 1 else x
    left.xaxis.set_major_locator(FixedLocator(list(shown)))
    left.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
    left.xaxis.set_minor_locator(NullLocator())
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_ylim(bottom=0)
    left.set_title("L0 against the penalty")
    left.set_xlabel("λ, coefficient of the penalty on L0 (log)")
    left.set_ylabel("measured L0")
    truth_line(right, study)
    right.plot(table["l0_measured"], table["c_dec"], color=ORANGE, linestyle="none", marker="o",
               markersize=5, alpha=0.8, markeredgewidth=0, label="each SAE")  # fmt: skip
    means = table.groupby("lambda")[["l0_measured", "c_dec"]].mean().sort_values("l0_measured")
    right.plot(means["l0_measured"], means["c_dec"], color=ORANGE, linewidth=1.2, alpha=0.7)
    right.set_title("$c_{dec}$ of JumpReLU SAEs")
    right.set_ylabel("$c_{dec}$ (mean |cosine|)")
    l0_axis(right, "measured L0")
    for ax in (left, right):
        ax.legend(loc="best")
    return figure
