"""A small SAE and the cache it decodes: by hand, and one that something can be learnt from."""

import json
from pathlib import Path

import numpy as np
import torch

from correct_l0.saes.saved import SavedSae, write_saved_sae
from correct_l0.sources.language_model.layout import parse_settings
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan
from language_model_toy import jobs_of, run_job, seal_toy, stage_toy, toy_cache, write_documents

SIZES = {"training_tokens": 3000, "held_out_tokens": 1500, "shard_tokens": 512,
         "shuffle_tokens": 1024}  # fmt: skip


def hand_made(folder, **changes):
    """Write a cache of rows (token, position, -token, 1), and an SAE of four latents.

    Its codes are token, half the position, nothing for -token, and 1; its decoder's rows are the
    axes, the second of length 2. Returns the section of the configuration.
    """
    folder = Path(folder)
    write_documents(folder, documents=800)
    manifest = toy_cache(folder, **SIZES)
    W_enc, W_dec = torch.eye(4), torch.eye(4)
    W_enc[1, 1], W_dec[1, 1] = 0.5, 2.0
    sae = SavedSae(W_enc, torch.zeros(4), W_dec, torch.zeros(4), torch.full((4,), 0.25))
    write_saved_sae(folder / "sae", sae, {})
    wanted = {"sae": str(folder / "sae"), "activations": str(manifest), "held_out_tokens": 1001}
    return wanted | changes


def random_sae(d_in=16, d_sae=24, threshold=1.0):
    """Return an SAE of random unit directions, each latent reading along its own."""
    W_dec = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(7))
    W_dec /= W_dec.norm(dim=1, keepdim=True)
    b_dec = torch.linspace(-0.1, 0.1, d_in)
    return SavedSae(
        W_dec.T.contiguous(), torch.zeros(d_sae), W_dec, b_dec, torch.full((d_sae,), threshold)
    )


class TableModel:
    """The activation of a token is a random row of its own, of norm about 4."""

    def __init__(self, d_in=16):
        self.d_in = d_in
        self.rows = torch.randn(1100, d_in, generator=torch.Generator().manual_seed(3))

    def read_all(self, contexts, batch_tokens, dtype=torch.float32):
        for i, context in enumerate(contexts):
            yield i, self.rows[torch.tensor(np.array(context), dtype=torch.long)].to(dtype)


def write_random(folder, results="results/activations/toy", **changes):
    """Write a cache of random rows and the SAE of `random_sae`; return the paths in the folder."""
    folder = Path(folder)
    write_documents(folder, documents=1600)
    settings, staged = stage_toy(folder, d_in=16, **{**SIZES, "training_tokens": 8000, **changes})
    cache = folder / results
    cache.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(cache)
    for job in jobs_of(settings):
        run_job(settings, cache, job, TableModel())
    seal_toy(settings, cache)
    write_saved_sae(folder / "generating", random_sae(), {})
    return {"sae": "generating", "activations": f"{results}/manifest.json"}


def study(folder: Path, **changes) -> Plan:
    """Return the plan of a study of a small cache, and write that below the current folder."""
    if not (folder / "results").exists():
        write_random(folder)
    cache = folder / "results/activations/toy"
    settings = parse_settings(
        json.loads((cache / "manifest.json").read_text())["parameters"], cache
    )
    training = {"training_tokens": 16_384, "batch_tokens": 256, "lr": 3e-3, "lr_warm_up_steps": 9}
    raw = {
        "study": "tiny",
        "device": "cpu",
        "self_check": True,
        "activations": settings.model_dump(mode="json"),
        "saes": {
            "d_sae": 24, "l0": [1, 2, 4, 6, 8, 10], "seeds": [3, 4], "training": training,
            "overrides": {4: {"lr": 1e-3}},
        },
        "decoder_metrics": {"n": [0.5], "batch_tokens": 512},
    }  # fmt: skip
    return Plan(parse_config(raw | changes))
