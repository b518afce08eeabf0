"""What the files of one point say: a reader for each table that has rows of points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from correct_l0.metrics import metrics
from correct_l0.standing.gaps import PointFiles

LOSS_ROWS = 400

FACTS = (
    "d_in", "d_sae", "steps", "tokens", "threshold", "fvu", "fvu_ordinary", "fvu_outlying", "mse",
    "dead_latents", "dead_fraction", "evaluated_tokens", "activation_scale", "init_cosine_median",
    "loss_slope", "tokens_per_s", "data_wait_fraction", "wall_s", "resumed_from_step", "device",
    "threads", "code_version",
)  # fmt: skip

IMPORTED_FACTS = ("l0_announced", "training_steps", "overlap_loss", "imported_from", "form")
"""What the manifest of an imported SAE says besides."""


def _read_facts(point: PointFiles) -> pd.DataFrame:
    manifest = point.manifests["saes"]
    names = (*FACTS, *IMPORTED_FACTS) if "imported_from" in manifest else FACTS
    return pd.DataFrame([{name: manifest.get(name) for name in names}])


def _has(point: PointFiles, file: str) -> bool:
    """Tell whether the folder of an SAE has a file: of imported ones no course of training."""
    return file in point.manifests["saes"]["outputs"]


def _read_init_cosines(point: PointFiles) -> pd.DataFrame:
    if not _has(point, "decoder_init_cosine.npy"):
        return pd.DataFrame()
    cosines = np.load(point.folders["saes"] / "decoder_init_cosine.npy")
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    return pd.DataFrame({"quantile": levels, "cosine": np.quantile(cosines, levels)})


def _read_loss(point: PointFiles) -> pd.DataFrame:
    """Loss curve, averaged over runs of steps so that no curve has more than LOSS_ROWS rows."""
    if not _has(point, "loss.csv"):
        return pd.DataFrame()
    loss = pd.read_csv(point.folders["saes"] / "loss.csv").drop(columns="c_dec")
    width = max(1, -(-len(loss) // LOSS_ROWS))
    return loss.groupby(np.arange(len(loss)) // width).mean().reset_index(drop=True)


def _read_c_dec_training(point: PointFiles) -> pd.DataFrame:
    """c_dec at every tenth of training: the few steps of the loss curve that have it.

    With the distance from the start where decoders were kept, and at the end.
    """
    if not _has(point, "loss.csv"):
        return pd.DataFrame()
    columns = ["step", "tokens", "c_dec"]
    steps = pd.read_csv(point.folders["saes"] / "loss.csv", usecols=columns)[columns]
    manifest = point.manifests["saes"]
    medians = {
        **{int(step): x for step, x in manifest.get("init_cosine_medians", {}).items()},
        manifest["steps"]: manifest["init_cosine_median"],
    }
    found = steps.dropna(subset="c_dec").reset_index(drop=True)
    return found.assign(init_cosine_median=found["step"].map(medians))


def _read_scores(point: PointFiles) -> pd.DataFrame:
    return pd.read_csv(point.folders["probing"] / "scores.csv")


Reader = Callable[[PointFiles], pd.DataFrame]


def readers() -> dict[str, tuple[str, Reader]]:
    """Return the room and the reader of every table that has rows of points."""
    found: dict[str, tuple[str, Reader]] = {
        "points": ("saes", _read_facts),
        "init_cosines": ("saes", _read_init_cosines),
        "loss": ("saes", _read_loss),
        "c_dec_training": ("saes", _read_c_dec_training),
        "probing": ("probing", _read_scores),
    }
    for room, metric in metrics().items():
        for name in metric.tables:
            found[name] = room, partial(_read_metric, room, name)
    return found


def _read_metric(room: str, name: str, point: PointFiles) -> pd.DataFrame:
    """Return one table of a metric of a point."""
    read = metrics()[room].load().read
    table: pd.DataFrame = read(point.folders[room], point.manifests[room])[name]
    return table
