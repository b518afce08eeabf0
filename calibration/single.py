"""Is the L0 of a single SAE too low? How often its reading is right, on worlds of known truth.

In every synthetic world with an answer SAEs are trained at several multiples of the right L0; each
is trained on for a short while, as a study of one imported SAE does it, and read.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from calibration.measure import make_source
from calibration.truth import Truth, truths
from calibration.worlds import SEMI, World, world
from correct_l0.provenance.manifest import replacing
from correct_l0.reading.single import ABOUT_RIGHT, CANNOT_TELL, TOO_HIGH, TOO_LOW, read_single
from correct_l0.saes.imported.train_on import FEWEST_STEPS, TrainOn
from correct_l0.study.opened import open_plan
from correct_l0.study.plan import Plan
from correct_l0.trial import run_study
from correct_l0.trial.train_on import train_on

SINGLE = Path(__file__).with_name("single.parquet")

STARTS = (0.3, 0.55, 1.0, 1.8, 3.0)
"""L0 of the SAEs, in units of the right one as the grid tells it."""

SHARE = 0.01
"""Length of a training that starts from an SAE, as a share of its own: ten of them are a tenth."""

HELD_OUT_TOKENS = 4000

CHOSEN_ON = (2, 10, 11, 19, 25, 26, 33, 35, 41, 45, 51, 53)
"""Worlds that were looked at while the rule was chosen; others were swept after it stood."""

OFF = 1.4
"""Factor off the right L0 from which on an SAE's is too low or too high."""


def answered(*tables: pd.DataFrame) -> dict[int, Truth]:
    """Return what is right in the synthetic worlds that have an answer, of tables as `truths`."""
    return {
        number: truth
        for number, truth in truths(*tables).items()
        if truth.has_answer and SEMI not in world(number).config
    }


def starts_of(each: World, right: float) -> list[float]:
    """Return the L0 that SAEs of a world are trained at, those it cannot have left out."""
    l0 = [float(f"{factor * right:.3g}") for factor in STARTS]
    return [x for x in l0 if x <= each.config["saes"]["d_sae"] / 2]


def single_plan(each: World, right: float) -> Plan:
    """Return the study of the SAEs of a world that are trained on: one seed, several L0."""
    config = copy.deepcopy(each.config)
    config["saes"] |= {"l0": starts_of(each, right), "seeds": [0]}
    config["synthetic"]["held_out_tokens"] = HELD_OUT_TOKENS
    config["decoder_metrics"] = {"n": [0.4], "batch_tokens": HELD_OUT_TOKENS // 2, "batches": 1}
    return open_plan(config)


def train_on_of(training: dict[str, Any]) -> TrainOn:
    """Return how an SAE of some training is trained on."""
    steps = training["training_tokens"] // training["batch_tokens"]
    return TrainOn(
        training_tokens=max(FEWEST_STEPS, round(SHARE * steps)) * training["batch_tokens"],
        batch_tokens=training["batch_tokens"],
        lr=training["lr"],
    )


def measure_single(each: World, right: float, folder: Path) -> None:
    """Train SAEs of a world, and each on, unless that is done; write the table to `folder`."""
    done = folder / each.file
    if done.exists():
        return
    work = folder / each.name
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(work), open("log.txt", "a") as log, contextlib.redirect_stdout(log):
        plan = single_plan(each, right)
        make_source(plan)
        points = run_study(plan)["points"]
        asked = train_on_of(each.config["saes"]["training"])
        rows = []
        for label, l0 in zip(plan.labels, points.sort_values("l0")["l0_measured"], strict=True):
            changed = plan.study.model_copy(update={"train_on": asked, "sweep": f"from_{label}"})
            sae = Path(plan.point_folder("saes", label, 0), "sae")
            found = train_on(replace(plan, study=changed), sae, float(l0))
            rows.append(found.assign(world=each.number, start=float(label)))
        table = pd.concat(rows, ignore_index=True)
    with replacing(done) as path:
        table.to_parquet(path, index=False)
    shutil.rmtree(work, ignore_errors=True)


def single_quietly(number: int, folder: str) -> int:
    """Do a world in a process of its own, on one core."""
    from calibration.search import MEASURED

    os.environ["OMP_NUM_THREADS"] = "1"
    truth = answered(pd.read_parquet(MEASURED).query("world == @number"))[number]
    measure_single(world(number), truth.right, Path(folder))
    return number


def judge_single(
    trained_on: pd.DataFrame, measured: pd.DataFrame, *beside: pd.DataFrame
) -> pd.DataFrame:
    """Return one row for each SAE: what is said of its L0, and whether that is so.

    Worlds that have no answer by the points beside their grid are left out.

    Parameters
    ----------
    trained_on
        What `measure_single` found, one world under another.
    measured, *beside
        The sweeps of the suite (`measure.one_table`), and further points of its worlds.
    """
    rows = []
    right = {number: truth.right for number, truth in answered(measured, *beside).items()}
    for _, table in trained_on[trained_on["world"].isin(right)].groupby(["world", "start"]):
        number, start = int(table["world"].iloc[0]), float(table["start"].iloc[0])
        each, reading = world(number), read_single(table)
        times = reading.own_l0 / right[number]
        true = TOO_LOW if times < 1 / OFF else TOO_HIGH if times > OFF else ABOUT_RIGHT
        rows.append(
            {
                "world": each.number, "kind": each.kind,
                "worlds": "chosen on" if number in CHOSEN_ON else "unseen", "l0": start,
                "right": right[number], "times": times, "true": true,
                "said": reading.outcome, "confidence": reading.confidence, "pull": reading.pull,
                "stays": reading.stays,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def asked_by(judged: pd.DataFrame) -> dict[str, float]:
    """Return the confidence that the worlds ask for, by what is said.

    Of the SAEs of unseen worlds that are called so the share that is so, by Laplace's rule: those
    that the rule was chosen on promise too much.
    """
    unseen = judged[judged["worlds"] == "unseen"]
    called = {said: unseen[unseen["said"] == said] for said in (TOO_LOW, ABOUT_RIGHT, TOO_HIGH)}
    return {
        said: ((each["true"] == said).sum() + 1) / (len(each) + 2) for said, each in called.items()
    }


def scores_of_single(judged: pd.DataFrame) -> pd.DataFrame:
    """Return how often it is right: of SAEs that are off, and of those that are not.

    By whether their worlds were looked at while the rule was chosen.

    Examples
    --------
    >>> rows = pd.DataFrame({"worlds": "unseen", "world": 1,
    ...     "true": ["too low", "too low", "too high", "about right"],
    ...     "said": ["too low", "cannot tell", "too low", "about right"]})
    >>> scores_of_single(rows).iloc[0].to_dict()
    {'worlds': 'unseen', 'number': 1, 'off': 3, 'answered': 0.6666666666666666, \
'direction_right': 0.5, 'near': 1, 'near_said': 1.0, 'near_wrong': 0.0}
    """
    table = []
    for worlds, each in judged.groupby("worlds"):
        off, near = each[each["true"] != ABOUT_RIGHT], each[each["true"] == ABOUT_RIGHT]
        told = off[off["said"] != CANNOT_TELL]
        table.append(
            {
                "worlds": worlds,
                "number": each["world"].nunique(),
                "off": len(off),
                "answered": len(told) / max(len(off), 1),
                "direction_right": (told["said"] == told["true"]).mean(),
                "near": len(near),
                "near_said": (near["said"] == ABOUT_RIGHT).mean(),
                "near_wrong": near["said"].isin((TOO_LOW, TOO_HIGH)).mean(),
            }
        )
    return pd.DataFrame(table)
