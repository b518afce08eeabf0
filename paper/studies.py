"""The studies of the paper's toy model: which sweep stands for what, and what it left.

What a sweep stands for follows from its settings, not from its name: the world, the architecture,
the schedule of L0. A sweep that differs in anything else but the batch, the learning rate and the
number of samples is held against no claim.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.manifest import digest_of, read_manifest
from correct_l0.reading import RECIPE
from correct_l0.report.gather import load_tables
from correct_l0.saes.l0_schedule import LinearSchedule
from correct_l0.saes.saved import SavedSae, open_trained_sae
from correct_l0.saes.training_settings import Training
from correct_l0.settings.canonical import canonical
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.store import SyntheticStore, open_world
from correct_l0.standing.chain import result_key
from correct_l0.study.opened import open_plans
from correct_l0.study.plan import Plan
from correct_l0.study.report import report_settings

WORLDS = {"toy model": Synthetic(), "superposition": Synthetic(d_in=40, directions="spread")}
"""The worlds that the claims are about."""

D_SAE, TRANSITION_END, TRANSITION_STARTS = 50, 11.0, (20.0, 2.0)

JUMPRELU = {"name": "jumprelu", "jumprelu_sparsity_loss_mode": "tanh"}
"""The paper's JumpReLU, whose coefficient is swept; all else as by default."""
ROLES = ("sweep", "transitions", "auto_l0", "jumprelu", "superposition")
"""What a sweep can stand for."""

PAPERS = {"training_tokens": 15_000_000, "batch_tokens": 1024, "lr": 3e-4}
"""Training of the paper's code. Its text has batches of 500, its JumpReLU SAEs have lr 2e-4."""
PAPERS_TOO = {("batch_tokens", 500), ("lr", 2e-4)}


@dataclass(frozen=True)
class Point:
    """A trained SAE of a sweep."""

    plan: Plan
    label: str
    seed: int

    @property
    def manifest(self) -> Path:
        """Its manifest."""
        return Path(self.plan.point_folder("saes", self.label, self.seed)) / "manifest.json"

    @property
    def facts(self) -> dict[str, Any]:
        """What its manifest says."""
        return read_manifest(self.manifest)

    def sae(self) -> SavedSae:
        """Return the SAE, after holding its files against their manifest."""
        return open_trained_sae(self.manifest)[0]

    def decoder_norms(self) -> Float[Tensor, " d_sae"]:
        """Return the norms of the decoder's rows as they were trained, in raw units."""
        return torch.from_numpy(np.load(self.manifest.parent / "decoder_norms.npy"))

    def course(self) -> pd.DataFrame:
        """Return the course of L0 along the training: `step`, `l0`, and what was measured."""
        return pd.read_csv(self.manifest.parent / "l0_course.csv")


@dataclass(frozen=True)
class Sweep:
    """A finished sweep, what it stands for, and its tables."""

    plan: Plan
    role: str
    tables: Mapping[str, pd.DataFrame]

    @property
    def name(self) -> str:
        """Study, and sweep where the study has several."""
        return str(Path(self.plan.results).relative_to("results"))

    @property
    def training(self) -> Training:
        """How its SAEs were trained."""
        return self.plan.study.saes.training

    @property
    def points(self) -> list[Point]:
        """Its SAEs, lowest L0 first."""
        return [Point(self.plan, label, seed) for label, seed in self.plan.points]

    def world(self) -> SyntheticStore:
        """Return the world that it was trained on."""
        return open_world(self.plan.source)


def role_of(plan: Plan) -> str:
    """Return what a sweep stands for: one of `ROLES`.

    Raises
    ------
    InputError
        Naming why no claim is about it.
    """
    study, saes = plan.study, plan.study.saes
    if study.synthetic is None:
        raise InputError("its source is a language model; name a study of the toy model")
    found = canonical(study.synthetic, "held_out_tokens")
    worlds = {canonical(world): name for name, world in WORLDS.items()}
    if found not in worlds:
        other = describe_difference(canonical(WORLDS["toy model"]), found)
        raise InputError(f"another world than the paper's ({other}); change it back")
    if saes.d_sae != D_SAE:
        raise InputError(f"d_sae {saes.d_sae}, the claims are about {D_SAE} latents; change it")
    training = canonical(saes.training, *PAPERS, "engine", "precision", "l0_schedule")
    if training != "{}" or saes.overrides:
        other = "overrides of single L0" if saes.overrides else training
        raise InputError(f"another training than the paper's ({other}); change it back")
    schedule, name = saes.training.l0_schedule, saes.architecture.get("name", "batchtopk")
    if saes.architecture not in ({}, JUMPRELU):
        raise InputError(f"no claim is about the architecture {saes.architecture}; change it")
    if worlds[found] == "superposition":
        if schedule is None and name == "batchtopk":
            return "superposition"
        raise InputError("in superposition claims are about BatchTopK at fixed L0; change it")
    if name == "jumprelu":
        return "jumprelu"
    if isinstance(schedule, LinearSchedule):
        if schedule.end_l0 != TRANSITION_END or not set(saes.l0) <= set(TRANSITION_STARTS):
            starts = " or ".join(f"{x:g}" for x in TRANSITION_STARTS)
            raise InputError(f"claims are about L0 from {starts} to {TRANSITION_END:g}; change it")
        return "transitions"
    return "sweep" if schedule is None else "auto_l0"


def unlike_the_papers(training: Training) -> str:
    """Return in words what a training differs in from the paper's; empty where in nothing.

    Examples
    --------
    >>> unlike_the_papers(Training(training_tokens=15_000_000, batch_tokens=500))
    ''
    >>> unlike_the_papers(Training(training_tokens=2_560_000, batch_tokens=256, lr=1e-3))
    'training_tokens 2,560,000 for 15,000,000, batch_tokens 256 for 1,024, lr 0.001 for 0.0003'
    """
    parts = []
    for name, wanted in PAPERS.items():
        found = getattr(training, name)
        if found != wanted and (name, found) not in PAPERS_TOO:
            parts.append(f"{name} {found:,} for {wanted:,}")
    return ", ".join(parts)


def open_sweep(plan: Plan) -> Sweep:
    """Open a finished sweep.

    Raises
    ------
    InputError
        Naming why there is none that a claim can be held against: it was not run, or not to its
        end, with these settings and this code, or it is of another world or training.
    """
    role, tables = role_of(plan), Path(plan.results) / "tables"
    if not (tables / "manifest.json").exists():
        raise InputError("not run; run it")
    inputs = read_manifest(tables / "manifest.json")["inputs"]
    check_manifest(
        tables / "manifest.json",
        stage="gather_tables",
        recipe=RECIPE,
        parameters=report_settings(plan),
        inputs=inputs,
    )
    sweep = Sweep(plan, role, load_tables(tables))
    for point in sweep.points:
        if digest_of(point.manifest) != inputs.get(result_key("saes", point.label, point.seed)):
            raise InputError(f"{point.manifest}: not what the tables were made from; run it again")
    return sweep


def open_sweeps(configs: Sequence[Path]) -> tuple[list[Sweep], dict[str, str]]:
    """Open the sweeps of some studies.

    Returns
    -------
    tuple
        The sweeps that claims can be held against, and why not of each other one, by its name.

    Raises
    ------
    InputError
        If a configuration cannot be used, or two sweeps stand for the same.
    """
    sweeps: list[Sweep] = []
    refused: dict[str, str] = {}
    taken: dict[str, str] = {}
    for plan in _plans(configs):
        name = str(Path(plan.results).relative_to("results"))
        try:
            sweep = open_sweep(plan)
        except InputError as error:
            refused[name] = str(error).partition(";")[0]
            continue
        schedule = sweep.training.l0_schedule
        what = json.dumps([sweep.role, schedule.kind if schedule else None])
        if sweep.role != "transitions" and what in taken:
            raise InputError(
                f"{taken[what]} and {name} both stand for {sweep.role}; leave one of them out"
            )
        taken[what] = name
        sweeps.append(sweep)
    return sweeps, refused


def _plans(configs: Sequence[Path]) -> Iterator[Plan]:
    for config in configs:
        yield from open_plans(yaml.safe_load(config.read_text()))
