"""Trainings written to Weights & Biases, one run a point, where a study asks for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from correct_l0.errors import InputError
from correct_l0.saes.settings import PointJob

if TYPE_CHECKING:
    from correct_l0.saes.training.train import Run


class Tracker(Protocol):
    """Follows trainings."""

    def look(self, job: PointJob, run: Run) -> None:
        """Note where a training stands; called after each of its steps."""

    def end(self, job: PointJob, facts: Mapping[str, Any]) -> None:
        """Note how a training came out, empty where it failed."""


class Untracked:
    """Follows nothing."""

    def look(self, job: PointJob, run: Run) -> None:
        """Do nothing."""

    def end(self, job: PointJob, facts: Mapping[str, Any]) -> None:
        """Do nothing."""


OUTCOMES = ("l0_measured", "fvu", "dead_latents", "threshold", "wall_s", "tokens_per_s")
"""What is noted of a trained SAE."""


@dataclass
class WandbTracker:
    """Follows trainings in Weights & Biases.

    A training that goes on from a checkpoint goes on in its run. Values are those of the steps
    that are looked at anyway, so that nothing waits for the device.

    Attributes
    ----------
    mode
        `offline`: into files, for `wandb sync`. `online`: to the service.
    study
        Name of the runs' group.
    folder
        Where the files go.
    """

    mode: Literal["offline", "online"]
    study: str
    folder: Path
    _runs: dict[PointJob, Any] = field(default_factory=dict)
    _noted: dict[PointJob, int] = field(default_factory=dict)

    def look(self, job: PointJob, run: Run) -> None:
        """Note the last losses and L0 that were looked at, if they are new, and c_dec."""
        # Known before the losses are asked for, which waits for the device.
        if self._noted.get(job, 0) == run.looked_at or (last := run.last) is None:
            return
        if job not in self._runs:
            self._runs[job] = self._open(job, run.label)
        self._noted[job] = run.looked_at
        values = dict(last)
        if run.looked_at in run.c_dec:
            values["c_dec"] = run.c_dec[run.looked_at]
        tokens = run.looked_at * run.settings.training.batch_tokens
        self._runs[job].log({**values, "tokens": tokens}, step=run.looked_at)

    def end(self, job: PointJob, facts: Mapping[str, Any]) -> None:
        """Close the run, with what was measured of the SAE."""
        run = self._runs.pop(job, None)
        if run is not None:
            run.summary.update({name: facts[name] for name in OUTCOMES if name in facts})
            run.finish(exit_code=0 if facts else 1)

    def _open(self, job: PointJob, label: str) -> Any:
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        identity = f"{job.folder} {job.settings_json} {job.seed}"
        try:
            return wandb.init(
                project="correct-l0",
                group=self.study,
                name=f"{self.study}, {label}",
                id=hashlib.sha256(identity.encode()).hexdigest()[:16],
                resume="allow",
                config={**json.loads(job.settings_json), "seed": job.seed},
                dir=self.folder,
                mode=self.mode,
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        except Exception as error:  # Of the service, of a login, of the network.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"tracking {self.mode}: Weights & Biases refuses ({reason}); log in with `wandb "
                "login`, or set tracking to wandb-offline or none"
            ) from None


def build_tracker(tracking: str, study: str, folder: Path | str) -> Tracker:
    """Return what follows the trainings of a study.

    Parameters
    ----------
    tracking
        `none`, `wandb-offline` or `wandb`.
    study
        Its name.
    folder
        Of its results.
    """
    if tracking == "none":
        return Untracked()
    return WandbTracker("offline" if tracking == "wandb-offline" else "online", study, Path(folder))
