"""Several SAEs trained on one stream in one job, each to the bits it would have alone.

What the members share is the batch, which none of them changes. Parameters, optimiser state and
randomness are each member's own: the group costs one reading or making of the data instead of many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from correct_l0.toy_model.generator import Stream


class Member(Protocol):
    """One SAE in training."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""


def train_group(
    members: Sequence[Member],
    stream: Stream,
    steps: int,
    checkpoints: Checkpoints,
    interruption: Interruption,
    train_step: Callable[[Any, Tensor, int], None],
) -> float:
    """Train all members to the end, or from the last checkpoint on; return the seconds for data.

    Parameters
    ----------
    members
        New members; changed in place.
    stream
        The samples by step.
    steps
        Steps in all.
    checkpoints, interruption
        Where and when the state of all members is saved, always between two steps; it is also
        saved at the end.
    train_step
        Trains one member on one batch: `train_step(member, batch, step)`.

    Raises
    ------
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    step, wait_s = 0, 0.0
    state = checkpoints.load()
    if state is not None:
        step, wait_s = state["step"], state["wait_s"]
        for member, saved in zip(members, state["members"], strict=True):
            member.load_state_dict(saved)
        print(f"going on from step {step} of {steps}")
    while step < steps:
        started = time.perf_counter()
        batch = stream.batch(step)
        wait_s += time.perf_counter() - started
        for member in members:
            train_step(member, batch, step)
        step += 1
        if interruption.due() or step == steps:
            saved = [member.state_dict() for member in members]
            checkpoints.save(step, {"step": step, "wait_s": wait_s, "members": saved})
            interruption.leave_if_asked()
    return wait_s
