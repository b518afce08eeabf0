"""What jobs of a study hold in memory, from its sizes and stated throughputs.

One function for each stage of `stages.STAGES` that holds more than its program; `limits` makes of
them what is given to a cluster. Imported whenever Snakemake parses the workflow, so nothing heavy
is imported here.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence

from correct_l0.costs import throughputs as stated
from correct_l0.sources.language_model.layout import ITEM_BYTES, Layout
from correct_l0.sources.language_model.settings import Prompted
from correct_l0.sources.sae_probes import default_tasks, resolve_tasks
from correct_l0.study import self_check
from correct_l0.study.config import Config

MIB = 2**20
IMPORTED_TOGETHER = 16
"""Imported SAEs that one job converts, one after the other."""
FLOAT = 4


def device_of(study: Config) -> str:
    """Return the device the estimates are for; `auto` is a GPU where this machine has one."""
    if study.device != "auto":
        return study.device
    return "cuda" if shutil.which("nvidia-smi") else "cpu"


def sae_parameters(study: Config) -> int:
    """Return the parameters of one SAE: encoder, decoder, their biases and the threshold."""
    d_in, d_sae = study.source.d_in, study.saes.d_sae
    return 2 * d_in * d_sae + 2 * d_sae + d_in


def points_per_job(study: Config) -> int:
    """Return how many SAEs one job trains.

    `auto` on a GPU: the most, up to `MOST_POINTS`, whose `gpu_mem_mb` is at most `GPU_SHARE` of its
    memory; on a CPU one, as cores are filled by jobs.

    Examples
    --------
    2304 x 32768 in batches of 4096: a float32 SAE is 0.60 GB. Each trained one takes three times
    that (weights, Adam's two moments), 1.8 GB; once for the job come the gradients and two
    temporaries of 0.6 GB, six tensors of 4096 x 32768 (3.2 GB) and CUDA's own 1 GB: n SAEs take
    6.1 + 1.8 n GB.
    """
    if study.saes.imported:
        return IMPORTED_TOGETHER
    if study.saes.points_per_job != "auto":
        return study.saes.points_per_job
    if device_of(study) != "cuda":
        return 1
    room = stated.GPU_SHARE * study.saes.gpu_memory_gb * 1e9
    fit = (n for n in range(1, stated.MOST_POINTS + 1) if gpu_mem_mb(study, n) * MIB <= room)
    return max(fit, default=1)


def gpu_mem_mb(study: Config, saes: int = 1) -> int:
    """Return what a GPU must hold while training some SAEs, in MB.

    Weights and Adam's two moments of each; of the one whose step it is the gradients, two
    temporaries of that shape, latent activations and their masks; CUDA's own.
    """
    acts = FLOAT * study.batch_tokens * study.saes.d_sae
    tensors = FLOAT * sae_parameters(study)
    held = 3 * (saes + 1) * tensors + 6 * acts + sparsify_bytes(study)
    return math.ceil(held / MIB) + 1000


def sparsify_bytes(study: Config) -> float:
    """Return what a step of sparsify's holds more: a row for every active latent of every token."""
    trained = [(l0, study.training(l0)) for l0 in study.saes.l0]
    rows = [l0 * training.batch_tokens for l0, training in trained if training.by_sparsify]
    return FLOAT * study.source.d_in * max(rows, default=0.0)


def over_tasks(study: Config, per_task: tuple[int, int]) -> int:
    """Return the sum over the tasks; `per_task`: of the default subset, of the others."""
    cheap = set(default_tasks())
    return sum(per_task[task not in cheap] for task in resolve_tasks(study.probing.tasks))


def indexing_bytes(study: Config) -> float:
    """Return the bytes of the norms of all rows, of a sorted copy, and of which are outlying."""
    return 16.0 * len(study.stored.rows) if study.stored is not None else 0.0


def stored_bytes(study: Config) -> float:
    """Return the bytes of all rows of somebody's files; none of another source."""
    if study.stored is None:
        return 0.0
    return float(len(study.stored.rows) * study.stored.rows.row_bytes)


def sealing_bytes(study: Config) -> float:
    """Return the bytes of the norms of all rows, of a sorted copy, and of which are outlying."""
    a = study.language_model
    return 12.0 * (a.training_tokens + a.held_out_tokens)


def staging_bytes(study: Config) -> float:
    """Return what staging holds: token and document of each row, int32, in pieces and whole."""
    a = study.language_model
    return 16.0 * (a.training_tokens + a.held_out_tokens)


def read_model(study: Config) -> Prompted:
    """Return the language model that a study reads."""
    assert study.prompted is not None, "asked only where a language model is read"
    return study.prompted


def model_bytes(study: Config) -> float:
    """Return the bytes of the language model's weights."""
    a = read_model(study)
    return stated.MODEL_PARAMETERS * a.d_in**2 * ITEM_BYTES[a.model.dtype]


def caching_bytes(study: Config) -> float:
    """Return what caching holds: the model, a shuffle window, and it once more while written.

    Beside a GPU the next window is computed meanwhile.
    """
    layout = Layout.of(study.language_model)
    window = layout.window_shards * layout.shard_rows * layout.row_bytes
    return model_bytes(study) + (3 if device_of(study) == "cuda" else 2) * window


def prompts_bytes(study: Config) -> float:
    """Return what caching the prompts' activations holds: the model, and the rows twice."""
    rows = over_tasks(study, stated.TASK_ROWS)
    return model_bytes(study) + 2 * FLOAT * study.source.d_in * rows


def source_bytes(study: Config) -> float:
    """Return what reading training rows holds in the host's memory; a synthetic world's are made.

    A cache's split where it is at most 2 GiB, else groups of up to 1 GiB and the next one.
    """
    if study.stored is not None:
        held_out = min(study.stored.held_out_tokens * study.stored.d_in * FLOAT, 2**30)
        return min(stored_bytes(study), 2 * 2**30) + held_out
    if study.cached is None:
        return 0.0
    layout = Layout.of(study.cached)
    rows = min(layout.rows("training") * layout.row_bytes, 2 * 2**30)
    return rows + decoding_bytes(study)


def decoding_bytes(study: Config) -> float:
    """Return what a semi-synthetic source adds: its SAE, held-out rows, a batch's codes."""
    if (source := study.semi_synthetic) is None:
        return 0.0
    held_out = min(source.held_out_tokens * source.d_in * FLOAT, 2**30)
    batch = max(study.batch_tokens, study.decoder_metrics.batch_tokens)
    return held_out + FLOAT * source.d_sae * (2 * source.d_in + 4 * batch)


def snapshot_bytes(study: Config) -> int:
    """Return the bytes of the decoders kept along the training of one SAE: nine, half precision."""
    return 9 * 2 * study.source.d_in * study.saes.d_sae * study.saes.snapshots


def training_bytes(study: Config, saes: int) -> float:
    """Return what training some SAEs in one job holds in the host's memory."""
    rows, sae = source_bytes(study), FLOAT * sae_parameters(study)
    rows += saes * snapshot_bytes(study)
    if study.saes.imported:
        # As it was written, as it is saved, and as it is measured; codes of a chunk.
        chunk = FLOAT * stated.MEASURED_ROWS * study.saes.d_sae if study.has_rows else 0
        return rows + 3 * sae + 3 * chunk
    if device_of(study) == "cuda":
        # Initial SAEs; the saved one twice, a checkpoint while it is read.
        return rows + (5 + saes) * sae
    # Weights and Adam of each; gradients, and for a while all of one once more; latent
    # activations and masks.
    acts = FLOAT * study.batch_tokens * study.saes.d_sae
    return rows + (3 * saes + 5) * sae + 6 * acts + sparsify_bytes(study)


def train_on_bytes(study: Config) -> float:
    """Return what the trainings of one seed hold that start from an imported SAE."""
    asked = study.train_on
    if asked is None:
        return 0.0
    acts = FLOAT * asked.batch_tokens * study.saes.d_sae
    saes = 3 * len(asked.factors) + 6
    return source_bytes(study) + saes * FLOAT * sae_parameters(study) + 6 * acts


def self_check_bytes(study: Config) -> float:
    """Return what a sweep of the self-check holds: its SAEs, the one that generates, its rows."""
    held_out = min(FLOAT * self_check.HELD_OUT_TOKENS * study.source.d_in, 2**30)
    codes = 4 * FLOAT * study.batch_tokens * study.saes.d_sae
    trained = training_bytes(study, self_check.POINTS)
    return trained + held_out + codes + FLOAT * sae_parameters(study)


def projection_bytes(study: Config) -> float:
    """Return what projecting a decoder holds: the SAE twice, and four batches of latents."""
    batch = study.decoder_metrics.batch_tokens * study.saes.d_sae * study.has_rows
    return 2 * FLOAT * sae_parameters(study) + 4 * FLOAT * batch + decoding_bytes(study)


def trained_on_bytes(study: Config, trainings: Sequence[tuple[int, int]]) -> float:
    """Return what training a finished SAE on holds: rows; weights, Adam and gradients of each."""
    if not trainings:
        return 0.0
    latents = [d_sae for d_sae, _ in trainings]
    weights = 4 * FLOAT * 2 * study.source.d_in * sum(latents)
    return source_bytes(study) + weights + 6 * FLOAT * study.batch_tokens * max(latents)


def comparison_bytes(study: Config) -> float:
    """Return what comparing the seeds of an L0 holds: decoders, two of unit rows, a whole SAE.

    And the candidates of their matching, on whatever device its cosines are computed: 2304 x 32768
    of two seeds took 2.3 GB with the program (`benchmarks/matching.py half 32768x2304`).
    """
    decoder = FLOAT * study.source.d_in * study.saes.d_sae
    return (len(study.saes.seeds) + 4) * decoder + stated.MATCHING_BYTES * study.saes.d_sae


def probing_bytes(study: Config) -> float:
    """Return what probing holds: the SAE twice, and the latents of a task's prompts."""
    latents = stated.ENCODED_ROWS * study.saes.d_sae
    return 2 * FLOAT * sae_parameters(study) + 6 * FLOAT * latents
