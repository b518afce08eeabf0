"""Pictures of single points: F1 of each task, projection histograms, decoder cosines."""

from __future__ import annotations

import numpy as np
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from scipy.cluster.hierarchy import leaves_list, linkage

from correct_l0.report import words
from correct_l0.report.data import StudyData
from correct_l0.report.figures.marks import empty
from correct_l0.report.figures.style import BLUE, GREEN, ORANGE, PINK, outer_labels, panels
from correct_l0.report.names import shortened

COLORS = (BLUE, ORANGE, GREEN, PINK)
INCHES_PER_TASK = 0.17
LONGEST_TASK = 26
COSINE_TOP = 0.5
COSINE_PIXELS = 256


def probing_tasks(study: StudyData, narrow: bool) -> Figure:
    """F1 of each task at each L0, as the difference from the task's mean over L0."""
    scores = study.tables["probing"]
    ks = sorted(scores["probe_k"].dropna().unique())
    if not ks:
        return empty(narrow, "no F1 scores")
    by_task = scores.pivot_table(index=["probe_k", "task"], columns="l0", values="f1")
    difference = by_task.sub(by_task.mean(axis="columns"), axis="index")
    limit = float(np.nanquantile(np.abs(difference.to_numpy()), 0.98))
    order = by_task.mean(axis="columns").groupby("task").mean().sort_values(ascending=False).index
    height = max(2.8, 1.3 + INCHES_PER_TASK * len(order))
    figure, axes = panels(len(ks), len(ks), narrow, height=height)
    for position, (ax, k) in enumerate(zip(axes, ks, strict=True)):
        rows = difference.loc[k].reindex(order)
        means = by_task.loc[k].reindex(order).mean(axis="columns")
        last = position == len(ks) - 1
        sns.heatmap(
            rows, ax=ax, cmap="vlag", center=0, vmin=-limit, vmax=limit, cbar=last,
            cbar_kws={
                "label": "F1 − task's mean over L0", "shrink": 0.6, "aspect": 30,
                "location": "bottom" if narrow else "right",
            },
            rasterized=True, linewidths=0.4, linecolor="white",
        )  # fmt: skip
        ax.set_xticks(np.arange(len(rows.columns)) + 0.5, [study.name_of(x) for x in rows.columns],
                      rotation=90 if narrow or len(rows.columns) > 12 else 0)  # fmt: skip
        names = [shortened(task, LONGEST_TASK) if position == 0 or narrow else "" for task in order]
        labels = [f"{name}  {mean:.2f}" for name, mean in zip(names, means, strict=True)]
        ax.set_yticks(np.arange(len(order)) + 0.5, labels, rotation=0, fontsize=7)
        ax.grid(False)
        ax.tick_params(length=0)
        ax.set_title(f"{words.latents(int(k))} per probe")
        ax.set_xlabel("L0")
        ax.set_ylabel("task and its mean F1" if position == 0 else "")
    return figure


def projection_histograms(study: StudyData, narrow: bool) -> Figure:
    """Histograms of the decoder projections of chosen points, linear and logarithmic."""
    table = study.tables["histograms"]
    table = table[table["l0"].isin(study.drawn_l0)]
    if not len(table):
        return empty(narrow, "no decoder metrics")
    figure, (linear, logarithmic) = panels(2, 2, narrow, height=3.2)
    colors = dict(zip(study.drawn_l0, _colors(len(study.drawn_l0)), strict=True))
    for l0 in sorted(table["l0"].unique()):
        rows = table[table["l0"] == l0]
        total = rows.groupby(["low", "high"])["count"].sum().reset_index()
        density = total["count"] / total["count"].sum() / (total["high"] - total["low"])
        for ax in (linear, logarithmic):
            ax.step(total["low"], density, where="post", color=colors[l0], linewidth=1.3,
                    label=study.name_of(l0))  # fmt: skip
    logarithmic.set_yscale("log")
    middle = table[table["count"] > 1e-3 * table["count"].max()]
    linear.set_xlim(middle["low"].min(), middle["high"].max())
    for ax, title in ((linear, "Linear"), (logarithmic, "Logarithmic")):
        ax.set_title(title)
        ax.set_xlabel("projection $(x - b_{dec})\\,W_{dec}^T$")
        ax.set_ylabel("density")
        ax.legend(title="L0")
    linear.set_ylim(bottom=0)
    return figure


def decoder_cosines(study: StudyData, narrow: bool) -> Figure:
    """|cosine| of all pairs of decoder rows of chosen points, similar rows next to each other."""
    if not study.cosines:
        return empty(narrow, "no decoder metrics")
    # Few colours: the matrices are mostly noise, and a smooth scale would make them megabytes.
    colors = ListedColormap(sns.color_palette("rocket_r", 20))
    count = len(study.cosines)
    figure, axes = panels(count, 3, narrow, height=4.4 if narrow else 3.4)
    for ax, (l0, cosines) in zip(axes, sorted(study.cosines.items()), strict=True):
        order = similar_first(cosines)
        blocks = block_means(np.abs(cosines[np.ix_(order, order)]), COSINE_PIXELS)
        image = ax.imshow(
            blocks, cmap=colors, vmin=0,
            vmax=COSINE_TOP, interpolation="nearest", extent=(0, len(cosines), len(cosines), 0),
        )  # fmt: skip
        ax.grid(False)
        ax.set_title(f"L0 {study.name_of(l0)}")
        ax.set_xlabel("latent")
        ax.set_ylabel("latent")
        ticks = FixedLocator([0, len(cosines) // 2, len(cosines)])
        ax.xaxis.set_major_locator(ticks)
        ax.yaxis.set_major_locator(ticks)
    outer_labels(axes)
    figure.colorbar(image, ax=axes, label="|cosine|", shrink=0.8, aspect=30, extend="max")
    return figure


def block_means(
    matrix: Float[np.ndarray, "size size"], at_most: int
) -> Float[np.ndarray, "blocks blocks"]:
    """Return the means over square blocks, so that there are at most `at_most` along a side.

    Examples
    --------
    >>> import numpy as np
    >>> block_means(np.array([[1.0, 0, 2], [0, 1, 2], [3, 3, 4]]), at_most=2)
    array([[0.5, 2. ],
           [3. , 4. ]])
    """
    width = -(-len(matrix) // at_most)
    starts = np.arange(0, len(matrix), width)
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    sizes = np.diff([*starts, len(matrix)])
    return sums / np.outer(sizes, sizes)


def similar_first(
    cosines: Float[np.ndarray, "d_sae d_sae"],
) -> Int[np.ndarray, " d_sae"]:
    """Return an order of latents that puts those with a large |cosine| next to each other.

    Examples
    --------
    Latents 0 and 2 point the same way, and so do 1 and 3:

    >>> import numpy as np
    >>> cosines = np.array([[1, 0, 0.9, 0], [0, 1, 0, -0.8], [0.9, 0, 1, 0], [0, -0.8, 0, 1]])
    >>> order = similar_first(cosines)
    >>> sorted(map(sorted, (order[:2].tolist(), order[2:].tolist())))
    [[0, 2], [1, 3]]
    """
    distance = 1 - np.abs(cosines[np.triu_indices(len(cosines), k=1)])
    return leaves_list(linkage(np.maximum(distance, 0), "average"))


def _colors(count: int) -> list:
    return list(COLORS[:count]) if count <= len(COLORS) else sns.color_palette("viridis_r", count)
