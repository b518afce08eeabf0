"""The report's figures, each drawn from a gathered study: wide, and narrow for phones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from matplotlib import pyplot
from matplotlib.figure import Figure

from correct_l0.provenance.manifest import replacing
from correct_l0.report import figures_of
from correct_l0.report.data import StudyData
from correct_l0.report.figures import (
    answer,
    hedging,
    metrics,
    pictures,
    published,
    recovery,
    single,
    stability,
    training,
)
from correct_l0.report.figures.style import set_theme

Study = TypeVar("Study")

FIGURES: dict[str, Callable[[StudyData, bool], Figure]] = {
    "answer": answer.answer,
    "trained_on": single.trained_on,
    "stability": stability.stability,
    "f1": metrics.f1_scores,
    "published": published.published,
    "recovery": recovery.recovery,
    "reconstruction": training.reconstruction,
    "measured_l0": training.measured_l0,
    "training": training.training_health,
    "hedging": hedging.hedging,
    "s_n_dec": metrics.s_n_dec_by_n,
    "probing_tasks": pictures.probing_tasks,
    "histograms": pictures.projection_histograms,
    "decoder_cosines": pictures.decoder_cosines,
}


def draw_all(study: StudyData, folder: Path | str) -> list[Path]:
    """Draw every figure that a study has data for; see `draw_figures`."""
    wanted = figures_of(study.plan)
    return draw_figures({name: FIGURES[name] for name in wanted}, study, folder)


def draw_figures(
    figures: Mapping[str, Callable[[Study, bool], Figure]], study: Study, folder: Path | str
) -> list[Path]:
    """Draw figures as `{name}.png`, `{name}.svg` and `{name}.narrow.svg`; return the files.

    The same study gives the same bytes.

    Parameters
    ----------
    figures
        What draws each, by name, from a study and whether it is for a phone.
    study
        What they are drawn from.
    folder
        Where the files go.
    """
    set_theme()
    files = []
    for name, draw in figures.items():
        for narrow, suffixes in ((False, ("png", "svg")), (True, ("narrow.svg",))):
            figure = draw(study, narrow)
            # Here, not before each file: the layout takes as long as the drawing.
            figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
            figure.set_layout_engine(None)
            for suffix in suffixes:
                path = Path(folder) / f"{name}.{suffix}"
                with replacing(path) as temporary:
                    figure.savefig(temporary, metadata=_undated(temporary.suffix))
                files.append(path)
            pyplot.close(figure)
    return files


def _undated(suffix: str) -> dict[str, str | None]:
    return {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
