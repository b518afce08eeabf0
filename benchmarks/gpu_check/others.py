"""Steps of TopK, Matryoshka and JumpReLU SAEs on a device, against the package's on the CPU."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from benchmarks.gpu_check import package
from benchmarks.gpu_check.measuring import PRECISIONS, products_in
from benchmarks.gpu_check.rows import Report

L0 = 8
DEVIATIONS = 2.2
"""A JumpReLU's thresholds, in standard deviations of its pre-activations."""
NEAR = 4.0
"""Its bandwidth: so many whole numbers are near a threshold."""


def check_others(
    report: Report,
    x: torch.Tensor,
    weights: list[torch.Tensor],
    limits: dict[str, float],
    device: str,
) -> None:
    """Report one step of each architecture, with many dead latents, against float64.

    Parameters
    ----------
    x
        The batch, (batch, d_in), on the CPU in float32.
    weights
        In the order in which a step takes them.
    limits
        Largest relative difference, by precision.
    device
        Where the step is done.
    """
    d_sae = weights[1].shape[0]
    levels = package.Levels((d_sae // 8, d_sae // 2, d_sae), (0.5, 2.0, 1.0), own_errors=True)
    kinds: dict[str, dict[str, Any]] = {"topk": {"per_token": L0}, "matryoshka": {"levels": levels}}
    dead = torch.arange(0, d_sae, 3)
    for name, own in kinds.items():
        asked = {"count": L0 * len(x), "guess": None, "aux_coefficient": 1.0, **own}
        wide = [value.double() for value in weights]
        options = package.StepOptions(**asked, dead=dead, sparse=False)
        right_loss, _, right = package.loss_and_gradients(x.double(), *wide, options)
        for precision, products in itertools.product(PRECISIONS, package.products_on(device)):
            label = f"step of {name}, {precision}, {products}, L0 {L0}"
            options = package.StepOptions(
                **asked,
                dead=dead,
                sparse=products == "sparse",
                kernels=package.has_kernels(device),
            )
            with report.trying(label), products_in(precision):
                its = [package.copied(value, device) for value in weights]
                loss, _, found = package.loss_and_gradients(x.to(device), *its, options)
                pairs = [(loss, right_loss), *zip(found, right, strict=True)]
                worst = max(relative(mine.cpu(), theirs) for mine, theirs in pairs)
                report.must(f"{label}: loss and gradients", worst, "", limits[precision])


def check_jumprelu(
    report: Report,
    x: torch.Tensor,
    weights: list[torch.Tensor],
    limits: dict[str, float],
    device: str,
) -> None:
    """Report a JumpReLU's step, with dead latents, against float64.

    Parameters
    ----------
    x, weights
        Whole numbers, so that no rounding moves a pre-activation over a threshold or the edge of
        what is near it.
    limits, device
        See `check_others`.
    """
    d_sae = len(weights[2])
    spread = float((x.double() @ weights[0].double()).std())
    threshold = torch.full((d_sae,), round(DEVIATIONS * spread) + 0.25)
    dead = torch.arange(0, d_sae, 3)
    options = package.JumpOptions(
        mode="quadratic", coefficient=1.0, target_l0=float(L0), aim=float(L0), tanh_scale=1.0,
        bandwidth=NEAR, to_input=True, pre_act_coefficient=1e-3, dead=dead, sparse=False,
    )  # fmt: skip

    def step(where: str, dtype: torch.dtype) -> list[torch.Tensor]:
        its = [package.copied(value.to(dtype), where) for value in (*weights, threshold)]
        own = replace(options, dead=dead.to(where))
        gradients = package.Gradients.empty_like(its[0], its[2])
        found = package.jump_loss_and_gradients(
            x.to(where, dtype), *its, own, package.Workspace(gradients)
        )
        return [value.cpu() for value in (found[0], found[2], *gradients)]

    right = step("cpu", torch.float64)
    for precision in PRECISIONS:
        label = f"step of jumprelu, {precision}"
        with report.trying(label), products_in(precision):
            pairs = zip(step(device, torch.float32), right, strict=True)
            worst = max(relative(mine, theirs) for mine, theirs in pairs)
            report.must(f"{label}: loss and gradients", worst, "", limits[precision])


def relative(found: torch.Tensor, right: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what is right.

    Examples
    --------
    >>> relative(torch.tensor([3.0, 4.5]), torch.tensor([3.0, 4.0]).double())
    0.1
    """
    difference = (found.double() - right).norm()
    return float(difference / right.norm().clamp(min=1e-30))
