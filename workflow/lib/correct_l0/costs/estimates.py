"""What a study costs: seconds of its work, from its sizes and stated throughputs.

One function for each stage of `stages.STAGES`; `limits` makes of them what is given to a cluster.
Imported whenever Snakemake parses the workflow, so nothing heavy is imported here. What they rest
on, measured or assumed, stands in `throughputs`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from correct_l0.costs import throughputs as stated
from correct_l0.costs.memory import (
    FLOAT,
    device_of,
    model_bytes,
    over_tasks,
    read_model,
    sae_parameters,
    source_bytes,
    stored_bytes,
)
from correct_l0.costs.throughputs import THROUGHPUT
from correct_l0.costs.training import training_s
from correct_l0.metrics.probing.settings import CONTROLLED
from correct_l0.saes.training_settings import Training
from correct_l0.sources.language_model.layout import Layout, job_windows
from correct_l0.sources.language_model.model_files import block_index
from correct_l0.sources.language_model.places import DIGEST
from correct_l0.sources.sae_probes import resolve_tasks
from correct_l0.study import frozen_control, self_check
from correct_l0.study.config import Config


def train_s(study: Config, l0: float, together: int = 1) -> float:
    """Return the seconds of one SAE, trained with others, its evaluation included."""
    speed, training = THROUGHPUT[device_of(study)], study.training(l0)
    d_in, d_sae = study.source.d_in, study.saes.d_sae
    # Threshold and measures: encoder and decoder on the held-out tokens.
    evaluation = 3 * study.source.held_out_tokens * 2 * d_in * d_sae / speed.float32
    samples = samples_s(study, training.training_tokens) / together
    if study.saes.imported:
        return converting_s(study) + evaluation
    name = study.saes.architecture_name
    target = _target(study, l0)
    trained = training_s(d_in, d_sae, target, training, device_of(study), together, name)
    return trained + evaluation + samples


def _target(study: Config, l0: float) -> float | None:
    """Return the target L0 of a point of the grid, if it has one."""
    return l0 if study.saes.swept == "l0" else None


def fetching_s(study: Config) -> float:
    """Return the seconds of fetching the weights of imported SAEs, and of reading them once."""
    weights = len(study.points()) * FLOAT * sae_parameters(study)
    down = weights / stated.DOWNLOAD if study.saes.downloads else 0.0
    return 3 + down + weights / stated.DISK_READ


def converting_s(study: Config) -> float:
    """Return the seconds of reading the weights of an imported SAE and writing it anew."""
    weights = FLOAT * sae_parameters(study)
    return weights / stated.DISK_READ + 2 * weights / stated.DISK_WRITE


def _forward_s(study: Config, tokens: float) -> float:
    a, device = read_model(study), device_of(study)
    blocks = (block_index(a.hook_name) or 0) + 1
    slow = device == "cuda" and a.model.dtype == "float32"
    speed = stated.MODEL_FLOAT32_CUDA if slow else THROUGHPUT[device].model
    return tokens * 2 * stated.BLOCK_PARAMETERS * a.d_in**2 * blocks / speed


def finding_model_s(study: Config) -> float:
    """Return the seconds of fetching a model, where it is a hub's, and of reading it once."""
    model = model_bytes(study)
    # Of a folder or a package the digest is known before.
    local = read_model(study).model.source.startswith((DIGEST, "package:"))
    return 3 + model / stated.DISK_READ + (0.0 if local else model / stated.DOWNLOAD)


def caching_s(study: Config) -> float:
    """Return the seconds of all caching jobs together."""
    a = study.language_model
    tokens = a.training_tokens + a.held_out_tokens
    written = tokens * Layout.of(a).row_bytes
    return _forward_s(study, tokens) + written / stated.DISK_WRITE


def caching_jobs(study: Config) -> int:
    """Return into how many jobs an activation cache that is not begun would be divided."""
    a = study.language_model
    return len(job_windows(Layout.of(a), a.shards_per_job))


def measuring_s(study: Config, products: float) -> float:
    """Return the seconds of a metric that costs so many products of a row with the decoder."""
    speed = THROUGHPUT[device_of(study)].float32
    work = products * 2 * study.source.d_in * study.saes.d_sae / speed
    return work + samples_s(study, study.source.held_out_tokens)


def trained_on_s(study: Config, trainings: Sequence[tuple[int, int]]) -> float:
    """Return the seconds of training a finished SAE on, each time to some latents and steps."""
    each = [study.training(l0) for l0 in study.saes.l0]
    steps = max((steps for _, steps in trainings), default=0)
    seconds = samples_s(study, steps * study.batch_tokens)
    for d_sae, steps in trainings:
        for l0, training in zip(study.saes.l0, each, strict=True):
            shorter = training.model_copy(
                update={"training_tokens": steps * training.batch_tokens, "engine": "fused"}
            )
            target, d_in = _target(study, l0), study.source.d_in
            name, device = study.saes.architecture_name, device_of(study)
            taken = training_s(d_in, d_sae, target, shorter, device, len(trainings), name)
            seconds += taken / len(each)
    return seconds


def samples_s(study: Config, samples: float) -> float:
    """Return the seconds of making samples whose truth is known; none of a language model."""
    if (source := study.semi_synthetic) is not None:
        # Encoded and decoded.
        return samples * 4 * source.d_in * source.d_sae / THROUGHPUT["cpu"].float32
    if study.synthetic is None:
        return 0.0
    return samples * study.synthetic.features * stated.FEATURE_S


def semi_synthetic_s(study: Config) -> float:
    """Return the seconds of measuring what is true of a semi-synthetic source."""
    read = source_bytes(study) / stated.DISK_READ
    return read + samples_s(study, stated.SURVEYED_SAMPLES + study.source.held_out_tokens / 2)


def comparison_s(study: Config) -> float:
    """Return the seconds of comparing the seeds at one L0; at all tenths where they are kept."""
    return _comparison_s(study) * (10 if study.saes.snapshots else 1)


def _comparison_s(study: Config) -> float:
    """Return the seconds of matching the latents of every pair of seeds at one L0."""
    return math.comb(len(study.saes.seeds), 2) * _matching_s(study)


def _matching_s(study: Config) -> float:
    """Return the seconds of matching the latents of two SAEs."""
    d_sae = study.saes.d_sae
    products = stated.MATCHING_PRODUCTS * 2 * d_sae**2 * study.source.d_in
    speed = THROUGHPUT[device_of(study)].float32
    return float(products / speed + stated.MATCHING_S * (d_sae / 1000) ** 2)


def probing_s(study: Config) -> float:
    """Return the seconds of probing one SAE."""
    p, tasks = study.probing, len(resolve_tasks(study.probing.tasks))
    encoded = tasks * stated.ENCODED_ROWS * 2 * study.source.d_in * study.saes.d_sae
    fits = float(tasks * len(p.probe_k))
    if p.controls:
        fits *= 1 + stated.CONTROLS / CONTROLLED / len(study.saes.seeds)
    device = device_of(study)
    seconds = fits * stated.FIT_S + encoded / THROUGHPUT[device].float32
    if device == "cuda":
        seconds += tasks * stated.ENCODED_ROWS * study.saes.d_sae * FLOAT / stated.TO_HOST
    return seconds * (stated.REFERENCE_ENGINE if p.engine == "reference" else 1)


def staging_s(study: Config) -> float:
    """Return the seconds of staging model and text."""
    tokens = study.language_model.training_tokens + study.source.held_out_tokens
    return 10 + tokens / stated.STAGED_TOKENS


def trainings_s(study: Config, l0: tuple[float, ...]) -> float:
    """Return the seconds of training the SAEs with these L0 in one job."""
    return sum(train_s(study, each, len(l0)) for each in l0)


def self_check_s(study: Config) -> float:
    """Return the seconds of the self-check: small sweeps of the costliest points, their data."""
    seeds, share = len(self_check.SEEDS), self_check.SHARE
    longest = sorted((train_s(study, l0) for l0 in study.saes.l0), reverse=True)
    trained = seeds * share * sum(longest[: self_check.POINTS])
    points = seeds * min(self_check.POINTS, len(longest))
    # Rows are encoded and decoded; those held out again for each SAE that is measured.
    tokens = seeds * share * study.saes.training.training_tokens
    rows = tokens + points * self_check.HELD_OUT_TOKENS
    decoded = rows * 2 * sae_parameters(study) / THROUGHPUT["cpu"].float32
    measured = points * measuring_s(study, 4.0 * self_check.HELD_OUT_TOKENS)
    return self_check.MOST * (trained + decoded + measured + _comparison_s(study))


def frozen_control_s(study: Config) -> float:
    """Return the seconds of the control: an SAE for each of two seeds, measured and probed."""
    saes = min(frozen_control.SEEDS, len(study.saes.seeds))
    longest = max(train_s(study, l0) for l0 in study.saes.l0)
    measured = measuring_s(study, 4.0 * study.source.held_out_tokens)
    probed = probing_s(study) if resolve_tasks(study.probing.tasks) else 0.0
    return saes * (longest + measured + probed) + _comparison_s(study)


def train_on_s(study: Config) -> float:
    """Return the seconds of the trainings that start from an imported SAE, measured too."""
    asked, saes = study.train_on, study.saes
    if asked is None:
        return 0.0
    training = Training(
        training_tokens=asked.training_tokens, batch_tokens=asked.batch_tokens, lr=asked.lr
    )
    l0 = None if saes.swept == "number" else saes.l0[0]
    d_in, d_sae, together = study.source.d_in, saes.d_sae, len(asked.factors)
    trained = sum(
        training_s(
            d_in, d_sae, l0 and factor * l0, training, device_of(study), together,
            saes.architecture_name,
        )
        for factor in asked.factors
    )  # fmt: skip
    measured = measuring_s(study, 7.0 * study.source.held_out_tokens)
    samples = samples_s(study, asked.training_tokens)
    compared = together * math.comb(len(asked.seeds), 2) * _matching_s(study)
    return len(asked.seeds) * (trained + together * measured + samples) + compared


def sealing_s(study: Config) -> float:
    """Return the seconds of sealing the cache."""
    return 1 + 0.05 * Layout.of(study.language_model).shards("training")


def indexing_s(study: Config) -> float:
    """Return the seconds of looking at every row of somebody's files."""
    return 1 + stored_bytes(study) / stated.DISK_READ


def prompts_s(study: Config) -> float:
    """Return the seconds of caching the activations of the probing prompts."""
    return _forward_s(study, over_tasks(study, stated.TASK_TOKENS))


def baselines_s(study: Config) -> float:
    """Return the seconds of the probing baselines."""
    return len(resolve_tasks(study.probing.tasks)) * study.source.d_in * stated.BASELINE_S
