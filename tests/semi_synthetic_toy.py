"""A small SAE and the cache it decodes: by hand, and one that something can be learnt from."""

from pathlib import Path

import numpy as np
import torch

from correct_l0.saes.saved import SavedSae, write_saved_sae
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
