"""The trainings that start from a single imported SAE: how far its latents turn, and c_dec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.provenance.manifest import digest_of, replacing, sha256_of, write_manifest
from correct_l0.saes.finished import check_trained
from correct_l0.saes.settings import PointJob
from correct_l0.saes.sweep import Start
from correct_l0.saes.training.start import open_start
from correct_l0.settings.base import format_l0
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings
from correct_l0.study.train_on import RECIPE, STAGE, TABLE, train_on_plan
from correct_l0.trial import run_study


def run_train_on(
    plan: Plan,
    folder: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_s: float = 600.0,
) -> pd.DataFrame:
    """Train a study's one SAE on, at several L0; write what came of it and its manifest.

    What stands of an earlier call is taken over, trainings that were cut off go on.

    Parameters
    ----------
    plan
        The study.
    folder
        Where to.
    device, threads, checkpoint_s
        As in `run_study`.

    Raises
    ------
    InputError
        If the activations or the SAE are missing or damaged, or no training comes to its end.
    """
    ((label, seed),) = plan.points
    point = Path(plan.point_folder("saes", label, seed))
    source = digest_of(plan.source)
    l0 = check_trained(PointJob(point, plan.settings_sae(label), seed), source)["l0_measured"]
    found = train_on(
        plan, point / "sae", l0, device=device, threads=threads, checkpoint_s=checkpoint_s
    )
    with replacing(folder / TABLE) as path:
        found.to_parquet(path, index=False)
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs={"activations": source, "sae": digest_of(point / "manifest.json")},
        outputs=[folder / TABLE],
    )
    return found


def train_on(
    plan: Plan,
    sae: Path,
    l0: float,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_s: float = 600.0,
) -> pd.DataFrame:
    """Train an SAE on, at several L0 around its own; return one row for each L0 and seed.

    Parameters
    ----------
    plan
        The study, whose `train_on` says how.
    sae
        Folder of the saved SAE.
    l0
        Its measured L0.
    device, threads, checkpoint_s
        As in `run_study`.

    Returns
    -------
    DataFrame
        `factor` (target L0 over the SAE's own), `l0`, `l0_measured`, `seed`; `turned` (mean angle
        in degrees between a latent's direction before and after), `c_dec`, `fvu`, `dead_fraction`,
        `reproduced_share` (of the pairs of seeds at this L0); `own_l0` and `own_c_dec` of the SAE
        itself, `random` (c_dec of random directions).

    Raises
    ------
    InputError
        If the SAE cannot be trained on, or no training comes to its end.
    """
    weights = sae / "sae_weights.safetensors"
    start = Start(sae=str(sae), sha256=sha256_of(weights))
    small = train_on_plan(plan, l0, start)
    tables = run_study(small, device=device, threads=threads, checkpoint_s=checkpoint_s)
    keys = ["l0", "seed"]
    rows = tables["points"][["l0", "l0_measured", "seed", "fvu", "dead_fraction"]]
    c_dec = tables["c_dec"].rename(columns={"value": "c_dec"})[[*keys, "c_dec", "random"]]
    alike = tables["stability"].groupby("l0")["reproduced_share"].mean()
    turned = [_turned(small, *key) for key in rows[keys].itertuples(index=False)]
    return rows.merge(c_dec, on=keys).assign(
        factor=rows["l0"] / l0,
        turned=turned,
        reproduced_share=rows["l0"].map(alike),
        own_l0=l0,
        own_c_dec=mean_absolute_cosine(open_start(start).W_dec),
    )


def _turned(plan: Plan, l0: float, seed: float) -> float:
    """Return the mean angle, in degrees, by which the latents of an SAE that is trained on turn."""
    folder = Path(plan.point_folder("saes", format_l0(l0), int(seed)))
    cosines = np.load(folder / "decoder_init_cosine.npy").astype(float)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())
