"""What the toy study's figures share: the true L0, a linear L0 axis, pictures of cosines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from correct_l0.report.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PINK, nothing, panels
from correct_l0.toy_model.report.data import ToyData

COLORS = (BLUE, ORANGE, GREEN, PINK, INK, GREY)
SIGNED = ListedColormap(sns.color_palette("RdBu_r", 41))


def empty(why: str, narrow: bool) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, axes = panels(1, 1, narrow, height=1.2)
    nothing(axes[0], why)
    return figure


def truth_line(ax: Axes, study: ToyData, horizontal: bool = False) -> None:
    """Draw the true L0."""
    line = ax.axhline if horizontal else ax.axvline
    line(study.truth, color=INK, linestyle=":", linewidth=1.4, zorder=1,
         label=f"true L0, {study.truth:.2f}")  # fmt: skip


def l0_axis(ax: Axes, label: str = "L0 (active latents per sample)") -> None:
    """Name a linear L0 axis, with ticks at whole numbers."""
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_xlabel(label)


def seed_dots(
    ax: Axes, table: pd.DataFrame, x: str, y: str, color: str | tuple, label: str, **line: object
) -> None:
    """Draw the mean over seeds as a line, their range as a band, and every seed as a dot."""
    rows = table.dropna(subset=[x, y])
    by_x = rows.groupby(x)[y]
    ax.fill_between(by_x.min().index, by_x.min(), by_x.max(), color=color, alpha=0.2, linewidth=0)
    ax.plot(by_x.mean(), color=color, label=label, **line)  # type: ignore[arg-type]
    ax.plot(rows[x], rows[y], color=color, linestyle="none", marker="o", markersize=3.2, alpha=0.7,
            markeredgewidth=0)  # fmt: skip


def cosine_matrix(table: pd.DataFrame) -> Float[np.ndarray, "latents features"]:
    """Return one SAE's cosines from their tidy rows, latents down, features across.

    Examples
    --------
    >>> table = pd.DataFrame({"latent": [0, 0, 1, 1], "feature": [0, 1, 0, 1],
    ...                       "cosine": [1.0, 0.1, 0.2, 0.9]})
    >>> cosine_matrix(table)
    array([[1. , 0.1],
           [0.2, 0.9]])
    """
    return table.pivot_table(index="latent", columns="feature", values="cosine").to_numpy()


def first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the lowest seed."""
    return table[table["seed"] == table["seed"].min()]


def cosine_pictures(
    pictures: Sequence[tuple[str, Float[np.ndarray, "latents features"]]],
    narrow: bool,
    columns: int,
    numbers: bool = False,
) -> Figure:
    """Draw cosines of latents and features, one panel each, on one scale from -1 to 1.

    Parameters
    ----------
    pictures
        Title and matrix of each panel.
    narrow
        For a screen of a phone's width.
    columns
        Panels side by side in the wide version.
    numbers
        Write each cosine into its cell.
    """
    height = 3.7 if narrow else 10.4 / columns
    figure, axes = panels(len(pictures), columns, narrow, height=height)
    image: AxesImage | None = None
    for position, (ax, (title, matrix)) in enumerate(zip(axes, pictures, strict=True)):
        image = ax.imshow(matrix, cmap=SIGNED, vmin=-1, vmax=1, interpolation="nearest")
        ax.grid(False)
        ax.set_title(title)
        ax.set_xlabel("true feature")
        ax.set_ylabel("latent" if position % columns == 0 or narrow else "")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if numbers:
            for (row, column), value in np.ndenumerate(matrix):
                text = f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")
                ax.text(column, row, text, ha="center", va="center",
                        fontsize=7.5, color="white" if abs(value) > 0.6 else INK)  # fmt: skip
    if image is not None:
        figure.colorbar(image, ax=axes, label="cosine", shrink=0.7, aspect=28,
                        location="bottom" if narrow else "right")  # fmt: skip
    return figure
