"""Small SAEs in every layout that can be imported, and what each does, written down by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

D_IN, D_SAE = 8, 12


def parts(seed: int = 0, d_in: int = D_IN, d_sae: int = D_SAE) -> dict[str, torch.Tensor]:
    """Return random weights in SAELens' names; decoder rows have norms of 1 to 2."""
    g = torch.Generator().manual_seed(seed)
    W_dec = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=g), dim=1)
    return {
        "W_enc": torch.randn(d_in, d_sae, generator=g),
        "b_enc": 0.1 * torch.randn(d_sae, generator=g),
        "W_dec": W_dec * torch.linspace(1, 2, d_sae)[:, None],
        "b_dec": 0.3 * torch.randn(d_in, generator=g),
        "threshold": torch.linspace(0.2, 1.0, d_sae),
    }


def unit(p: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights whose decoder rows have norm 1."""
    return {**p, "W_dec": p["W_dec"] / p["W_dec"].norm(dim=1, keepdim=True)}


def write(folder: Path, files: Mapping[str, Any]) -> None:
    """Write dictionaries as JSON, and what else there is by its suffix."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".json"):
            path.write_text(json.dumps(content))
        elif name.endswith(".npz"):
            np.savez(path, **{key: value.numpy() for key, value in content.items()})
        elif name.endswith(".pt"):
            torch.save(content, path)
        else:
            save_file({key: value.contiguous() for key, value in content.items()}, path)


def write_gemma_2(folder: Path, p: Mapping[str, torch.Tensor]) -> None:
    """Write `params.npz` in Gemma Scope's keys."""
    write(folder, {"params.npz": p})


def overlapping(share: float, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights of 48 latents in 16 dimensions whose decoder rows have a common direction.

    `share` is its length beside rows of length 1: c_dec is higher the longer it is.
    """
    p = parts(seed, d_in=16, d_sae=48)
    return {**p, "W_dec": unit(p)["W_dec"] + share * torch.eye(16)[0]}


def write_gemma_3(folder: Path, p: Mapping[str, torch.Tensor], l0: float = 4) -> None:
    """Write `params.safetensors` and `config.json` as Gemma Scope 2 has them."""
    config = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "l0": l0}
    renamed = {key.lower(): value for key, value in p.items()}
    write(folder, {"params.safetensors": renamed, "config.json": config})


def write_batchtopk(
    folder: Path, p: Mapping[str, torch.Tensor], *, k: int = 4, threshold: float, **more: Any
) -> None:
    """Write `ae.pt` and `config.json` of a BatchTopK SAE of dictionary_learning."""
    trainer = {
        "dict_class": "BatchTopKSAE", "activation_dim": p["W_dec"].shape[1],
        "dict_size": p["W_dec"].shape[0], "k": k, "layer": 8, "seed": 0, "steps": 1000,
        "lm_name": "EleutherAI/pythia-160m-deduped",
    }  # fmt: skip
    state = {
        "encoder.weight": p["W_enc"].T.contiguous(), "encoder.bias": p["b_enc"],
        "decoder.weight": p["W_dec"].T.contiguous(), "b_dec": p["b_dec"],
        "k": torch.tensor(k), "threshold": torch.tensor(threshold),
    }  # fmt: skip
    write(
        folder,
        {
            "ae.pt": state,
            "config.json": {"trainer": {**trainer, **more}, "buffer": {"ctx_len": 128}},
        },
    )


def write_llama_scope(folder: Path, p: Mapping[str, torch.Tensor]) -> None:
    """Write `final.safetensors` and `hyperparams.json` as Llama Scope has them; mean norm 4."""
    state = {
        "encoder.weight": p["W_enc"].T, "decoder.weight": p["W_dec"].T,
        "encoder.bias": p["b_enc"], "decoder.bias": p["b_dec"],
    }  # fmt: skip
    hyper = {
        "d_model": p["W_dec"].shape[1], "d_sae": p["W_dec"].shape[0], "jump_relu_threshold": 0.5,
        "hook_point_in": "blocks.7.hook_resid_post",
        "dataset_average_activation_norm": {"in": 4.0},
    }  # fmt: skip
    write(folder, {"checkpoints/final.safetensors": state, "hyperparams.json": hyper})


def write_scores(folder: Path, release: str, name: str, **scores: float) -> None:
    """Write result files as SAEBench does, one for each evaluation."""
    from correct_l0.saes.imported.published import SCORES

    for evaluation, value in scores.items():
        metrics: Any = value
        for key in reversed(SCORES[evaluation].path):
            metrics = {key: metrics, "another": 3.0}
        told = {"absorption": "absorption_first_letter"}.get(evaluation, evaluation)
        stem = f"{release}_{name}_custom_sae".replace("/", "_")
        content = {
            "eval_type_id": told,
            "eval_result_metrics": metrics,
            "sae_lens_id": "custom_sae",
        }
        write(folder / evaluation, {f"{stem}_eval_results.json": content})


def write_sparsify(folder: Path, seed: int, k: int = 4) -> dict[str, torch.Tensor]:
    """Write an SAE with sparsify's own writer; return its weights."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    sae = SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, k=k), decoder=True)
    with torch.no_grad():
        sae.b_dec.copy_(torch.linspace(0.1, 0.8, D_IN))
    sae.save_to_disk(folder)
    return {name: value.detach() for name, value in sae.state_dict().items()}


def write_sae_lens(folder: Path, architecture: str, p: Mapping[str, torch.Tensor], **cfg) -> Any:
    """Write an SAE with SAELens' own writer; return it."""
    from sae_lens.registry import get_sae_class

    sae_class, config = get_sae_class(architecture)
    d_sae, d_in = p["W_dec"].shape
    sae = sae_class(config(d_in=d_in, d_sae=d_sae, **cfg))
    sae.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    state = sae.state_dict()
    sae.load_state_dict({name: p[name] for name in state})
    sae.save_model(folder)
    return sae
