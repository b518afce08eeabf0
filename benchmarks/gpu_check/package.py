"""All that the check takes from this repository: the package, and the benchmarks beside it."""

# ruff: noqa: E402
from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path[:0] = [str(BENCHMARKS.parent / "workflow" / "lib"), str(BENCHMARKS)]
HAS_PYDANTIC = importlib.util.find_spec("pydantic") is not None
if not HAS_PYDANTIC:
    from benchmarks.gpu_check.without_pydantic import stand_in

    stand_in()

from step_inputs import BATCHES, activations, uneven_

from correct_l0.metrics.decoder.along_training import measures
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.metrics.decoder.histogram import RESOLUTION_BOUND
from correct_l0.metrics.decoder.measure import (
    POOLED,
    measure_projections,
    s_n_dec_table,
    stream_on,
)
from correct_l0.metrics.decoder.streaming import ProjectionStream
from correct_l0.metrics.probing.encoding import encode
from correct_l0.metrics.stability.measure import compare_seeds
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.dense import DensePattern
from correct_l0.saes.engine.jump_step import JumpOptions
from correct_l0.saes.engine.jump_step import loss_and_gradients as jump_loss_and_gradients
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.step import Gradients, StepOptions, StepResult, loss_and_gradients
from correct_l0.saes.engine.weights import Weights, initial_weights
from correct_l0.saes.engine.workspace import Workspace
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.settings import PointJob, parse_settings
from correct_l0.saes.training import points
from correct_l0.saes.training.trainer import build_trainer

__all__ = [
    "BATCHES",
    "HAS_PYDANTIC",
    "LONG",
    "POOLED",
    "RESOLUTION_BOUND",
    "FusedTrainer",
    "Gradients",
    "JumpOptions",
    "Levels",
    "PointJob",
    "ProjectionStream",
    "StepOptions",
    "StepResult",
    "Weights",
    "Workspace",
    "activations",
    "caching_tools",
    "compare_seeds",
    "copied",
    "encode",
    "fused_trainer",
    "import_saelens",
    "initial_weights",
    "jump_loss_and_gradients",
    "load_saved_sae",
    "loss_and_gradients",
    "mean_absolute_cosine",
    "measure_projections",
    "products_in_training",
    "products_on",
    "s_n_dec_table",
    "saelens_step",
    "selected_of",
    "settings_json",
    "stream_on",
    "train_points",
    "trainer_of",
    "uneven_",
]

LR = 1e-4
LONG = 10**6
"""Steps of a training of which only the first ones are run: nothing is due in these that a training
does once in so many of its steps."""


def settings_json(
    d_sae: int,
    l0: float,
    batch_tokens: int,
    steps: int,
    precision: str,
    architecture: str = "batchtopk",
    **training: Any,
) -> str:
    """Return the settings of a point, as the pipeline hands them to a training job."""
    shared = {"training_tokens": batch_tokens * steps, "batch_tokens": batch_tokens, "lr": LR}
    training = {**shared, "precision": precision, **training}
    own = {"architecture": {"name": architecture}, "training": training}
    return json.dumps({"d_sae": d_sae, "l0": l0, **own})


def fused_trainer(
    weights: Weights, l0: float, batch_tokens: int, precision: str, products: str, device: str
) -> FusedTrainer:
    """Return the pipeline's trainer; the weights, on the CPU, are copied."""
    text = settings_json(
        len(weights.b_enc), l0, batch_tokens, LONG, precision, gpu_products=products
    )
    return FusedTrainer(parse_settings(text), Weights(*(copied(x, device) for x in weights)))


def trainer_of(
    architecture: str, start: Weights, l0: float, batch_tokens: int, precision: str, device: str
) -> Any:
    """Return the pipeline's trainer of an architecture, from these weights."""
    d_sae, d_in = start.W_dec.shape
    text = settings_json(d_sae, l0, batch_tokens, LONG, precision, architecture)
    return build_trainer(parse_settings(text), d_in, 0, device, start=start)


def copied(value: torch.Tensor, device: str) -> torch.Tensor:
    """Return a copy with the same layout in memory."""
    return value.to(device) if device != "cpu" else value.clone()


def selected_of(result: StepResult) -> torch.Tensor:
    """Return which activations a step selected, (batch, d_sae), on the CPU."""
    pattern = result.selected
    if isinstance(pattern, DensePattern):
        return (pattern.acts > 0).cpu()
    from correct_l0.saes.engine.device_pattern import DevicePattern

    assert isinstance(pattern, DevicePattern)
    batch, d_sae = pattern.shape
    found = torch.zeros(batch, d_sae + 1, dtype=torch.bool, device=pattern.latents.device)
    found[pattern.tokens, pattern.latents.long()] = True
    return found[:, :d_sae].cpu()


def products_on(device: str) -> list[str]:
    """Return the forms of `gpu_products` that a device has."""
    return ["dense", "sparse"] if has_kernels(device) else ["dense"]


def has_kernels(device: str) -> bool:
    """Return whether steps on a device are made of the kernels for a GPU."""
    return device == "cuda"


def products_in_training(settings: str, device: str) -> str:
    """Return which products a training of these settings computes on a device, in words."""
    if device == "cpu":
        return "products as a CPU chooses"
    return f"{parse_settings(settings).training.gpu_products} products"


def train_points(source: Any, batches: Any, jobs: Any, device: str, tracker: Any = None) -> Any:
    """Train SAEs as a training job does; return those that failed, and why."""
    return points.train_points(
        source, batches, jobs, measures=measures(), device=device, tracker=tracker
    )


def caching_tools() -> SimpleNamespace:
    """Return what a cache is made with.

    Raises
    ------
    ModuleNotFoundError
        Where zarr, or pydantic, which a cache's settings need, is not installed.
    """
    if not HAS_PYDANTIC:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
    from correct_l0.provenance.manifest import write_json
    from correct_l0.sources import open_source
    from correct_l0.sources.language_model.cache import cache_job
    from correct_l0.sources.language_model.checks import cache_record
    from correct_l0.sources.language_model.language_model import LanguageModel
    from correct_l0.sources.language_model.layout import Layout, job_windows
    from correct_l0.sources.language_model.seal import seal
    from correct_l0.sources.language_model.settings import Activations
    from correct_l0.sources.language_model.text import stage_text

    class Reader(LanguageModel):
        """The pipeline's reader of contexts, over a model that is there already."""

        def __init__(self, model: Any) -> None:
            self.read = model.read  # type: ignore[method-assign]

    return SimpleNamespace(
        Activations=Activations,
        Layout=Layout,
        cache_job=cache_job,
        cache_record=cache_record,
        job_windows=job_windows,
        open_source=open_source,
        reader=Reader,
        seal=seal,
        stage_text=stage_text,
        write_json=write_json,
    )


def import_saelens() -> None:
    """Import SAELens' trainer.

    Raises
    ------
    ModuleNotFoundError
        Where SAELens, or something that it imports, is not installed.
    """
    importlib.import_module("sae_lens.training.sae_trainer")


def saelens_step(
    weights: Weights, l0: float, batch_tokens: int, device: str, *, autocast: bool, compiled: bool
) -> Any:
    """Return the step of SAELens' trainer from the same weights."""
    import saelens_trainer

    d_sae, d_in = weights.W_dec.shape
    torch.manual_seed(0)
    with torch.device(device):
        sae = saelens_trainer.batchtopk(d_in, d_sae, l0, device=device)
    with torch.no_grad():
        for name, value in weights._asdict().items():
            getattr(sae, name).copy_(value)
    if compiled:
        # Else what another L0 was compiled for is made general for both, and slower.
        torch.compiler.reset()
        sae.training_forward_pass = torch.compile(sae.training_forward_pass)
    made = saelens_trainer.trainer(sae, batch_tokens, LONG, LR, device=device, autocast=autocast)
    return saelens_trainer.step_of(made)
