"""One world, from its settings to its tables; what stands is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from calibration.worlds import SEMI, World, generators, world
from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import random_baseline
from correct_l0.provenance.manifest import replacing
from correct_l0.saes.saved import load_saved_sae
from correct_l0.sources.semi_synthetic.store import make as make_semi_synthetic
from correct_l0.sources.synthetic.make import make as make_world
from correct_l0.study.opened import open_plan
from correct_l0.study.plan import Plan
from correct_l0.trial import run_study

KEPT = {
    "points": (
        "d_sae", "d_in", "steps", "fvu", "dead_fraction", "init_cosine_median", "loss_slope",
    ),
    "c_dec": ("value",),
    "c_dec_training": ("step", "c_dec"),
    "s_n_dec": ("statistic", "n", "value", "standard_error"),
    "stability": (
        "seed_a", "seed_b", "pw_mcc", "chance_pw_mcc", "share_above", "reproduced_share",
        "subspace_agreement",
    ),
    "recovery": (
        "mcc", "share_recovered", "mean_best_cosine", "uniqueness", "f1", "true_l0",
    ),
}  # fmt: skip
"""The tables of a study that its reading needs, and what of them is kept."""


def make_generators(worlds: Iterable[int]) -> None:
    """Train the SAEs that semi-synthetic worlds are made of, where one is asked for.

    Raises
    ------
    InputError
        If the activations of the default study are not cached.
    """
    if all(world(number).kind != SEMI for number in worlds):
        return
    plan = open_plan(generators(yaml.safe_load(Path("config/config.yaml").read_text())))
    if not Path(plan.source).exists():
        raise InputError(
            f"{plan.source} is missing, of which semi-synthetic worlds are made; "
            "run make demo first, or make calibrate QUICK=1"
        )
    run_study(plan)


def measure(each: World, folder: Path) -> None:
    """Sweep a world unless that is done; write its tables to `folder`."""
    done = folder / each.file
    if done.exists():
        return
    work = folder / each.name
    start = time.perf_counter()
    table = sweep_in(work, each.config).assign(
        world=each.number, wall_s=round(time.perf_counter() - start, 1)
    )
    with replacing(done) as path:
        table.to_parquet(path, index=False)
    shutil.rmtree(work, ignore_errors=True)


def sweep_in(work: Path, config: dict[str, Any]) -> pd.DataFrame:
    """Make the source of a study in a folder, unless it is there, and sweep it."""
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(work), open("log.txt", "a") as log, contextlib.redirect_stdout(log):
        plan = open_plan(config)
        make_source(plan)
        return one_table(run_study(plan))


def make_source(plan: Plan) -> None:
    """Make the source of a world, unless it is there."""
    if not Path(plan.source).exists():
        folder, settings = Path(plan.source).parent, plan.settings_source()
        if plan.study.semi_synthetic:
            make_semi_synthetic(folder, settings, load_saved_sae)
        else:
            make_world(folder, settings)


def one_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what is kept of a study's tables, one under another, with the name of each."""
    kept = []
    for name, columns in KEPT.items():
        table = tables[name]
        keys = [c for c in ("l0", "l0_measured", "seed") if c in table]
        wanted = [*keys, *(c for c in columns if c in table)]
        kept.append(table[wanted].assign(table=name))
    return pd.concat(kept, ignore_index=True)


def tables_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return a world's tables as `one_table` put them together; those not kept are empty."""
    found = {}
    for name, columns in KEPT.items():
        rows = table[table["table"] == name]
        keys = ["l0", "l0_measured", *(["seed"] if name != "stability" else [])]
        found[name] = rows[[*keys, *columns]].reset_index(drop=True)
    random = random_baseline(int(found["points"]["d_in"].iloc[0]))
    found["c_dec"] = found["c_dec"].assign(random=random)
    found["probing"] = pd.DataFrame(columns=["l0", "l0_measured", "seed", "task", "probe_k", "f1"])
    found["gaps"] = pd.DataFrame(columns=["l0", "seed", "room", "reason"])
    return found


def measure_quietly(number: int, folder: str) -> int:
    """Sweep a world in a process of its own, on one core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    measure(world(number), Path(folder))
    return number
