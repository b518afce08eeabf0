"""What a study costs: seconds and memory of its jobs, from its sizes and stated throughputs.

Estimates before anything has run, for the limits given to a cluster (`mem_mb`, `runtime_min`) and
for `make why`. Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
What they rest on, measured or assumed, stands in `throughputs`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable

from correct_l0.costs import throughputs as stated
from correct_l0.costs.throughputs import THROUGHPUT
from correct_l0.saes.sections import Training
from correct_l0.sources.language_model.layout import ITEM_BYTES, Layout, job_windows
from correct_l0.sources.language_model.model_files import block_index
from correct_l0.sources.sae_probes import default_tasks, resolve_tasks
from correct_l0.study.config import Config
from correct_l0.study.groups import split_labels

MIB = 2**20
FLOAT = 4
LONG = (
    "stage_text", "cache_activations", "cache_probing_activations", "train_points", "train_sae",
)  # fmt: skip
"""Rules whose time grows with the study; `throughputs.FLOOR_MIN` is for them."""
GPU_RULES = (
    "cache_activations", "cache_probing_activations", "train_points", "train_sae",
    "project_decoder",
)  # fmt: skip
"""Rules whose jobs run on the study's device."""


def device_of(study: Config) -> str:
    """Return the device the estimates are for; `auto` is a GPU where this machine has one."""
    if study.device != "auto":
        return study.device
    return "cuda" if shutil.which("nvidia-smi") else "cpu"


def sae_parameters(study: Config) -> int:
    """Return the parameters of one SAE: encoder, decoder, their biases and the threshold."""
    d_in, d_sae = study.activations.d_in, study.saes.d_sae
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
    if study.saes.points_per_job != "auto":
        return study.saes.points_per_job
    if device_of(study) != "cuda":
        return 1
    room = stated.GPU_SHARE * study.saes.gpu_memory_gb * 1e9
    fit = (n for n in range(1, stated.MOST_POINTS + 1) if gpu_mem_mb(study, n) * MIB <= room)
    return max(fit, default=1)


def training_s(
    d_in: int, d_sae: int, l0: float, training: Training, device: str, together: int = 1
) -> float:
    """Return the seconds of training one SAE, without start and evaluation.

    A step is some products of the encoder's size, and passes over memory; reading the data, which
    `together` SAEs share, costs more only where the disk is slower.

    Examples
    --------
    2,048 steps of 512 tokens at 384 x 768 on a core: measured 11.9 s at L0 16, 28.0 at L0 300.

    >>> training = Training(training_tokens=2**20, batch_tokens=512)
    >>> [round(training_s(384, 768, l0, training, "cpu"), 1) for l0 in (16, 300)]
    [13.9, 29.4]
    """
    speed, weights = THROUGHPUT[device], 2 * d_in * d_sae
    steps, batch = training.steps, training.batch_tokens
    if training.engine == "saelens":
        products = stated.SAELENS
    elif device == "cuda":
        products = stated.FUSED_CUDA
    else:
        products = min(
            stated.FUSED_DENSE, stated.FUSED_SPARSE + stated.FUSED_PER_DENSITY * l0 / d_sae
        )
    flops = products * batch * weights
    passes = stated.WEIGHT_PASSES * weights
    if device == "cuda":
        passes += stated.ACT_PASSES * batch * d_sae
    step_s = flops / getattr(speed, training.precision) + passes * FLOAT / speed.memory
    return max(steps * step_s, steps * batch * d_in * 2 / stated.DISK_READ / together)


def _train(study: Config, l0: float, together: int = 1) -> float:
    speed, training = THROUGHPUT[device_of(study)], study.training(l0)
    d_in, d_sae = study.activations.d_in, study.saes.d_sae
    # Threshold and measures: encoder and decoder on the held-out tokens.
    evaluation = 3 * study.activations.held_out_tokens * 2 * d_in * d_sae / speed.float32
    return training_s(d_in, d_sae, l0, training, device_of(study), together) + evaluation


def _forward_s(study: Config, tokens: float) -> float:
    a, device = study.activations, device_of(study)
    blocks = (block_index(a.hook_name) or 0) + 1
    slow = device == "cuda" and a.model.dtype == "float32"
    speed = stated.MODEL_FLOAT32_CUDA if slow else THROUGHPUT[device].model
    return tokens * 2 * stated.BLOCK_PARAMETERS * a.d_in**2 * blocks / speed


def _cache(study: Config) -> float:
    """Return the seconds of all caching jobs together."""
    tokens = study.activations.training_tokens + study.activations.held_out_tokens
    written = tokens * Layout.of(study.activations).row_bytes
    return _forward_s(study, tokens) + written / stated.DISK_WRITE


def caching_jobs(study: Config) -> int:
    """Return into how many jobs an activation cache that is not begun would be divided."""
    a = study.activations
    return len(job_windows(Layout.of(a), a.shards_per_job))


def over_tasks(study: Config, per_task: tuple[int, int]) -> int:
    """Return the sum over the tasks; `per_task`: of the default subset, of the others."""
    cheap = set(default_tasks())
    return sum(per_task[task not in cheap] for task in resolve_tasks(study.probing.tasks))


def _project(study: Config) -> float:
    d, speed = study.decoder_metrics, THROUGHPUT[device_of(study)]
    d_in, d_sae = study.activations.d_in, study.saes.d_sae
    tokens = min(d.batches * d.batch_tokens, study.activations.held_out_tokens)
    # Projections, their counts and order statistics (measured 2.5 products); every pair of rows.
    return (3 * tokens + d_sae) * 2 * d_in * d_sae / speed.float32


def _probe(study: Config) -> float:
    p, tasks = study.probing, len(resolve_tasks(study.probing.tasks))
    encoded = tasks * stated.ENCODED_ROWS * 2 * study.activations.d_in * study.saes.d_sae
    seconds = tasks * len(p.probe_k) * stated.FIT_S + encoded / THROUGHPUT["cpu"].float32
    return seconds * (stated.REFERENCE_ENGINE if p.engine == "reference" else 1)


def _stage(study: Config) -> float:
    tokens = study.activations.training_tokens + study.activations.held_out_tokens
    return 10 + tokens / stated.STAGED_TOKENS


def _train_together(study: Config, l0: tuple[float, ...]) -> float:
    return sum(_train(study, each, len(l0)) for each in l0)


SECONDS: dict[str, Callable[[Config, tuple[float, ...]], float]] = {
    "stage_text": lambda study, _: _stage(study),
    "cache_activations": lambda study, _: _cache(study) / caching_jobs(study),
    "seal_activations": lambda study, _: 1 + 0.05 * Layout.of(study.activations).shards("training"),
    "cache_probing_activations": lambda study, _: _forward_s(
        study, over_tasks(study, stated.TASK_TOKENS)
    ),
    "train_points": _train_together,
    "train_sae": _train_together,
    "project_decoder": lambda study, _: _project(study),
    "probe_sae": lambda study, _: _probe(study),
    "probe_baselines": lambda study, _: (
        len(resolve_tasks(study.probing.tasks)) * study.activations.d_in * stated.BASELINE_S
    ),
    "gather_tables": lambda study, _: 1 + 0.2 * len(study.points()),
    "read_curves": lambda study, _: 2.0,
    "plot_figures": lambda study, _: 12.0,
    "write_report": lambda study, _: 2.0,
}


def start_s(rule: str, study: Config) -> float:
    """Return the seconds until a job begins its work."""
    return THROUGHPUT[device_of(study) if rule in GPU_RULES else "cpu"].start_s


def work_s(rule: str, study: Config, l0: float | str | None = None) -> float:
    """Return the estimated seconds of one job's work; see `seconds`."""
    if rule in ("train_points", "train_sae") and l0 is None:
        longest = max(study.saes.l0, key=lambda each: _train(study, each))
        points: tuple[float, ...] = (longest,) * members(rule, study)
    else:
        points = tuple(map(float, split_labels(str(l0 or 0))))
    return SECONDS[rule](study, points)


def seconds(rule: str, study: Config, l0: float | str | None = None) -> float:
    """Return the estimated seconds of one job, its start included.

    Parameters
    ----------
    rule
        Name of the Snakemake rule.
    study
        The configuration.
    l0
        Target L0 of the point, for `train_sae`, or those of a group (`groups.Group.l0s`), for
        `train_points`; unset: what takes longest.
    """
    return start_s(rule, study) + work_s(rule, study, l0)


def members(rule: str, study: Config, l0: float | str | None = None) -> int:
    """Return how many SAEs a job trains, for a group unnamed the most it may."""
    if l0 is None:
        return points_per_job(study) if rule == "train_points" else 1
    return len(split_labels(str(l0)))


def runtime_min(
    rule: str,
    study: Config,
    attempt: int = 1,
    l0: float | str | None = None,
    *,
    brought_back: bool = False,
) -> int:
    """Return the time limit of a job in minutes: `RUNTIME_SAFETY` times the estimate or a floor.

    An SAE that is `brought_back` from a group takes the floor: time to redo, alone, what its last
    checkpoint does not hold, where the group failed.
    """
    floor = stated.FLOOR_MIN if rule in LONG else stated.SMALL_FLOOR_MIN
    takes = 0.0 if brought_back else seconds(rule, study, l0)
    return math.ceil(attempt * max(floor, stated.RUNTIME_SAFETY * takes / 60))


def _host_bytes(rule: str, study: Config, l0: str | None) -> float:
    """Return the peak of what a job holds in the host's memory, besides the libraries."""
    a, d_in = study.activations, study.activations.d_in
    layout, on_gpu = Layout.of(a), device_of(study) == "cuda"
    sae = FLOAT * sae_parameters(study)
    model = stated.MODEL_PARAMETERS * d_in**2 * ITEM_BYTES[a.model.dtype]
    if rule == "stage_text":
        # Token and document of each row, int32, in pieces and as the whole.
        return 16.0 * (a.training_tokens + a.held_out_tokens)
    if rule == "cache_activations":
        # A shuffle window, and the same once more while it is written.
        return model + 2 * layout.window_shards * layout.shard_rows * layout.row_bytes
    if rule == "cache_probing_activations":
        return model + 2 * FLOAT * d_in * over_tasks(study, stated.TASK_ROWS)
    if rule in ("train_points", "train_sae"):
        saes = members(rule, study, l0)
        # Rows: the split where it is at most 2 GiB, else groups of up to 1 GiB and the next one.
        rows = min(layout.rows("training") * layout.row_bytes, 2 * 2**30)
        if on_gpu:  # Initial SAEs; the saved one twice, a checkpoint while it is read.
            return rows + (5 + saes) * sae
        # Weights and Adam of each; gradients, and for a while all of one once more; latent
        # activations and masks.
        acts = FLOAT * _batch(study) * study.saes.d_sae
        return rows + (3 * saes + 5) * sae + 6 * acts
    if rule == "project_decoder":
        return 2 * sae + 4 * FLOAT * study.decoder_metrics.batch_tokens * study.saes.d_sae
    if rule == "probe_sae":
        return 2 * sae + 6 * FLOAT * stated.ENCODED_ROWS * study.saes.d_sae
    return 0.0


def _batch(study: Config) -> int:
    return max(study.training(l0).batch_tokens for l0 in study.saes.l0)


def mem_mb(rule: str, study: Config, attempt: int = 1, l0: str | None = None) -> int:
    """Return the host memory of a job in MB; it grows by half with each attempt."""
    libraries = stated.LIBRARIES_MB[device_of(study) if rule in GPU_RULES else "cpu"]
    return math.ceil(
        (libraries + _host_bytes(rule, study, l0) / MIB) * stated.MEMORY_GROWTH ** (attempt - 1)
    )


def gpu_mem_mb(study: Config, saes: int = 1) -> int:
    """Return what a GPU must hold while training some SAEs, in MB.

    Weights and Adam's two moments of each; of the one whose step it is the gradients, two
    temporaries of that shape, latent activations and their masks; CUDA's own.
    """
    acts = FLOAT * _batch(study) * study.saes.d_sae
    tensors = FLOAT * sae_parameters(study)
    return math.ceil((3 * (saes + 1) * tensors + 6 * acts) / MIB) + 1000
