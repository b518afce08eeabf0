"""Made-up probing activations for real tasks, and an SAE of random weights that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from correct_l0.metrics.probing.data import activations_file, read_task
from correct_l0.provenance.manifest import write_manifest

CACHE, HOOK = "toy", "blocks.1.hook_resid_post"
D_IN, D_SAE = 24, 96
# How far apart the classes are: not at all, a little, completely.
TASKS = {"117_us_state_FL": 0.0, "131_temp_cat_Typical Time": 0.7, "95_toxic_is": 60.0}


def on_grid(values: torch.Tensor, steps: int | None) -> torch.Tensor:
    """Return the nearest multiples of 1/steps; None leaves the values as they are.

    Sums of products of such numbers are exact in float32 here, whatever kernel makes them: what
    two programs make of them can be compared bit by bit on any processor.
    """
    return values if steps is None else (values * steps).round() / steps


def write_activations(folder: Path, steps: int | None = None) -> None:
    """Write the tasks' activations in the package's layout, equal for equal prompts."""
    generator = torch.Generator().manual_seed(0)
    for name, distance in TASKS.items():
        task = read_task(name)
        of_prompt = {p: torch.randn(D_IN, generator=generator) for p in dict.fromkeys(task.prompts)}
        rows = 3 * torch.stack([of_prompt[prompt] for prompt in task.prompts]) + 1
        direction = torch.nn.functional.normalize(torch.randn(D_IN, generator=generator), dim=0)
        rows += distance * torch.from_numpy(task.labels)[:, None] * direction
        path = activations_file(folder, CACHE, name, HOOK)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(on_grid(rows, steps), path)


def write_sae(
    point: Path,
    threshold: float = 4.0,
    rows: torch.Tensor | None = None,
    steps: int | None = None,
    **changes: object,
) -> Path:
    """Write an SAE in SAELens' format with its manifest, whose path is returned.

    Its latents' directions are random, or from the mean of `rows` to each of them; then a latent
    fires on 5% of the rows.
    """
    generator = torch.Generator().manual_seed(1)
    if rows is None:
        W_dec = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=generator), dim=1)
        weights = {
            "W_dec": W_dec,
            "W_enc": W_dec.T + 0.1 * torch.randn(D_IN, D_SAE, generator=generator),
            "b_enc": 0.1 * torch.randn(D_SAE, generator=generator),
            "b_dec": torch.randn(D_IN, generator=generator),
            "threshold": torch.full((D_SAE,), threshold),
        }
    else:
        b_dec = rows.mean(dim=0)
        W_dec = torch.nn.functional.normalize(rows - b_dec, dim=1)
        weights = {
            "W_dec": W_dec,
            "W_enc": W_dec.T,
            "b_enc": torch.zeros(len(rows)),
            "b_dec": b_dec,
            "threshold": ((rows - b_dec) @ W_dec.T).quantile(0.95, dim=0),
        }
    fine = steps and 64 * steps
    grid = {"b_dec": steps, "W_enc": fine, "b_enc": fine}
    weights.update({name: on_grid(weights[name], of) for name, of in grid.items()})
    cfg = {
        "architecture": "jumprelu",
        "d_in": W_dec.shape[1],
        "d_sae": W_dec.shape[0],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {},
        **changes,
    }
    folder = point / "sae"
    folder.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(cfg))
    write_manifest(
        point / "manifest.json",
        stage="train_sae",
        recipe=1,
        parameters="{}",
        inputs={},
        outputs=sorted(folder.iterdir()),
        activation_scale=1.5,
    )
    return point / "manifest.json"
