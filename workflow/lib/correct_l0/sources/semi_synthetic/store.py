"""A semi-synthetic source on disk, and opened: what is trained on, measured on, and true."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_outputs
from correct_l0.provenance.manifest import (
    digest_of,
    read_manifest,
    replacing,
    sha256_of,
    sha256_of_json,
    write_manifest,
)
from correct_l0.sources.language_model.reader import open_store
from correct_l0.sources.outlying import limit_of, norm_facts
from correct_l0.sources.semi_synthetic import RECIPE, STAGE
from correct_l0.sources.semi_synthetic.generator import Generator, LoadSae, Stream
from correct_l0.sources.semi_synthetic.settings import SAE_FILES, SemiSynthetic
from correct_l0.sources.synthetic.store import Truth

# The size of a block is part of the recipe: how a row is rounded depends on those beside it.
BLOCK_TOKENS = 1024
"""Held-out rows are made in blocks, so that each comes out the same whatever is asked for."""

SURVEY_BATCHES = 100
"""Training batches of `BLOCK_TOKENS` on which the mean norm is measured."""

KEPT_BYTES = 2**30
"""Held-out rows that are kept in memory once made, where they are no larger: they are read several
times for each SAE."""


def sae_digest(folder: Path | str) -> str:
    """Return what identifies the SAE in a folder: the sha256 over the checksums of its files."""
    return sha256_of_json([sha256_of(Path(folder) / name) for name in SAE_FILES])


def _generator(settings: SemiSynthetic, load_sae: LoadSae) -> Generator:
    cache = open_store(settings.activations)
    return Generator(
        load_sae(settings.sae),
        cache,
        shuffled=settings.residual == "shuffled",
        n_held_out=min(settings.held_out_tokens, cache.n_held_out),
    )


def make(folder: Path | str, settings_json: str, load_sae: LoadSae) -> dict[str, Any]:
    """Measure what is true of a semi-synthetic source: `truth.npz`, and `manifest.json` last.

    Parameters
    ----------
    folder
        Where to.
    settings_json
        Canonical JSON of the `SemiSynthetic` section.
    load_sae
        Loads the SAE (`saes.saved.load_saved_sae`); that room rests on this one.

    Returns
    -------
    dict
        The manifest. `features` counts the latents that fire on the held-out rows, `true_l0` is
        how many of them do on average.

    Raises
    ------
    InputError
        If no latent fires, or the SAE or the cache is damaged.
    """
    start = time.perf_counter()
    folder = Path(folder)
    settings = SemiSynthetic.model_validate(json.loads(settings_json))
    generator = _generator(settings, load_sae)
    rows = generator.n_held_out
    counts = torch.zeros(len(generator.sae.W_dec), dtype=torch.int64)
    for first in range(0, rows, BLOCK_TOKENS):
        counts += (generator.codes(first, min(first + BLOCK_TOKENS, rows)) > 0).sum(0)
    counts *= generator.sae.W_dec.norm(dim=1) > 0
    latents = counts.nonzero().flatten().numpy()
    if not len(latents):
        raise InputError(
            f"{settings.sae}: none of its latents fires on {rows} held-out rows of "
            f"{settings.activations}; name another SAE, or the cache it was trained on"
        )
    norms = _norms(generator)
    # The cache has left out what it leaves out: what is left is used.
    wanted = settings.cache.outlying.model_copy(update={"rows": "keep"})
    limit = limit_of(norms.numpy(), wanted)
    with replacing(folder / "truth.npz") as path:
        np.savez(path, latents=latents, rates=counts.numpy()[latents] / rows)
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=settings_json,
        inputs={"activations": generator.cache.digest, "sae": sae_digest(settings.sae)},
        outputs=[folder / "truth.npz"],
        features=len(latents),
        d_in=generator.cache.d_in,
        held_out_tokens=rows,
        norms=norm_facts(norms.flatten().numpy(), np.empty(0), wanted) | {"held_out": rows},
        mean_norm=_mean_norm(norms, limit),
        true_l0=int(counts.sum()) / rows,
        true_l0_from=f"measured on {rows} held-out rows",
        wall_s=round(time.perf_counter() - start, 3),
    )
    return read_manifest(folder / "manifest.json")


def _norms(generator: Generator) -> Float[Tensor, "batches rows"]:
    """Return the norms of the first training rows of seed 0."""
    rows = generator.cache.n_training
    batch = min(BLOCK_TOKENS, rows)
    stream = Stream(generator, generator.cache.stream(0, batch))
    batches = min(SURVEY_BATCHES, rows // batch)
    return torch.stack([stream.batch(step).norm(dim=1) for step in range(batches)])


def _mean_norm(norms: Float[Tensor, "batches rows"], limit: float) -> float:
    """Return the mean of the norms that are not outlying."""
    ordinary = [batch[batch <= limit] for batch in norms]
    total = sum(batch.sum(dtype=torch.float64) for batch in ordinary)
    return float(total) / sum(map(len, ordinary))


def open_semi_synthetic(manifest_path: Path | str, load_sae: LoadSae) -> SemiSyntheticStore:
    """Open a semi-synthetic source.

    Parameters
    ----------
    manifest_path
        `manifest.json` in its folder, written by `make`.
    load_sae
        Loads the SAE; see `make`.

    Raises
    ------
    InputError
        If the manifest is missing, damaged or of another stage, or the SAE or the cache is missing,
        damaged or not the one it was made from.
    """
    path = Path(manifest_path)
    manifest = read_manifest(path, STAGE)
    check_outputs(path, f"delete {path} and run again")
    settings = SemiSynthetic.model_validate(json.loads(manifest["parameters"]))
    generator = _generator(settings, load_sae)
    for name, file, found in (
        ("activations", settings.activations, generator.cache.digest),
        ("sae", settings.sae, sae_digest(settings.sae)),
    ):
        if found != manifest["inputs"].get(name):
            raise InputError(
                f"{file}: another than {path} was made from; delete {path} and run again"
            )
    with np.load(path.parent / "truth.npz") as arrays:
        return SemiSyntheticStore(
            generator, manifest, digest_of(path), arrays["latents"], arrays["rates"]
        )


class SemiSyntheticStore:
    """A cache's rows as an SAE decodes them, as a source of activations.

    Attributes
    ----------
    d_in : int
        Width of the rows.
    n_held_out : int
        Held-out rows.
    norms : dict or None
        What is known of the training rows' norms (`outlying.norm_facts`), by a survey.
    mean_norm : float
        Mean norm of the training rows that are not outlying, measured once.
    digest : str
        Identifies the source's content.
    manifest : dict
        The source's manifest.
    metadata : dict
        What a saved SAE tells about its input.
    generator : Generator
        The SAE, the cache, and what becomes of the residual.
    latents : Int[Tensor, " features"]
        The latents of the generating SAE that are the features.
    truth : Truth
        What is known of the held-out rows besides.
    """

    def __init__(
        self,
        generator: Generator,
        manifest: dict[str, Any],
        digest: str,
        latents: Int[np.ndarray, " features"],
        rates: Float[np.ndarray, " features"],
    ) -> None:
        self.generator = generator
        self.manifest = manifest
        self.digest = digest
        self.d_in = generator.cache.d_in
        self.n_held_out = generator.n_held_out
        self.norms = manifest.get("norms")
        self.mean_norm = float(manifest["mean_norm"])
        self.metadata: dict[str, str | int | None] = {
            **generator.cache.metadata,
            "model_name": "semi-synthetic",
        }
        self.latents = torch.from_numpy(latents)
        directions = generator.sae.W_dec[self.latents].float()
        self._norms = directions.norm(dim=1)
        self.truth = Truth(
            directions=directions / self._norms[:, None],
            rates=rates,
            true_l0=float(manifest["true_l0"]),
            true_l0_from=manifest["true_l0_from"],
            magnitudes=self._magnitudes,
        )
        self._kept: dict[int, Tensor] | None = None
        if self.n_held_out * self.d_in * 4 <= KEPT_BYTES:
            self._kept = {}

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return held-out rows [start, stop).

        Raises
        ------
        InputError
            If the range leaves the held-out rows, or the cache is damaged.
        """
        if not 0 <= start <= stop <= self.n_held_out:
            raise InputError(
                f"rows {start}:{stop} leave the {self.n_held_out} held-out rows; ask for fewer"
            )
        rows = torch.empty(stop - start, self.d_in)
        for block in range(start // BLOCK_TOKENS, -(-stop // BLOCK_TOKENS)):
            first = block * BLOCK_TOKENS
            low, high = max(start, first), min(stop, first + BLOCK_TOKENS)
            rows[low - start : high - start] = self._block(block)[low - first : high - first]
        return rows

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return no rows: what the cache leaves out is not decoded."""
        return torch.empty(0, self.d_in)

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> Stream:
        """Return the training batches of a seed: the cache's own, decoded."""
        batches = self.generator.cache.stream(seed, batch_tokens, threads=threads)
        return Stream(self.generator, batches, prefetch=prefetch)

    def _block(self, block: int) -> Tensor:
        if self._kept is not None and block in self._kept:
            return self._kept[block]
        start = block * BLOCK_TOKENS
        rows = self.generator.held_out(start, min(start + BLOCK_TOKENS, self.n_held_out))
        if self._kept is not None:
            self._kept[block] = rows
        return rows

    def _magnitudes(self, start: int, stop: int) -> Float[Tensor, "rows features"]:
        return self.generator.codes(start, stop)[:, self.latents].float() * self._norms
