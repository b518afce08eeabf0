"""The stated throughputs behind `costs`: what was measured, and what is only assumed.

Figures for one CPU core were measured on the default study (one core with AVX-512, SAEs of 384 x
768, 2,048 steps of 512 tokens); the trainings recorded in the tests are met within 35%. Figures for
a GPU were measured on an H100 by `make gpu-check`, at 2304 x 32768 with 4096 tokens, where they do
not say that they are assumed; the steps of the tests are met within 10%. An A100 is
assumed to take three times as long, which the time limits (`RUNTIME_SAFETY`) allow for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """What one device sustains: a GPU, or one core, as jobs have one thread each."""

    float32: float
    """Training's matrix products with `precision: float32`, FLOP per s (a multiply-add is 2)."""
    reduced: float
    """The same with `precision: reduced`."""
    model: float
    """The language model's forward pass, FLOP per s."""
    memory: float
    """Bytes per s through the device's memory."""
    start_s: float
    """Seconds until a job begins its work: imports, the model or the SAE loaded."""


THROUGHPUT = {
    # Measured: 22 to 51 GFLOP/s over the whole step, which is 1.5 to 4.2 products and Adam; 8,000
    # tokens/s through four blocks of MiniLM, 14 MFLOP each. `reduced` as without AMX.
    "cpu": Throughput(100e9, 100e9, 110e9, 10e9, 15),
    # Measured: products of 8192 x 8192, a copy, 114,000 tokens/s through fourteen blocks of Gemma
    # 2's shape in bfloat16. A group of SAEs begins within 4 s, a language model within 10; imports
    # and a shared file system are assumed.
    "cuda": Throughput(51e12, 780e12, 270e12, 2.9e12, 30),
}
MODEL_FLOAT32_CUDA = 20e12
"""The language model in float32 on a GPU, FLOP per s; assumed."""
DISK_READ, DISK_WRITE = 500e6, 300e6
"""Bytes per s of a shared file system to one job; assumed."""
DOWNLOAD = 50e6
"""Bytes per s from a hub; assumed."""
MEASURED_ROWS = 4096
"""Held-out rows whose codes are held at once where an SAE is measured."""
STAGED_TOKENS = 100_000
"""Tokens per s of staging: documents read, split, tokenised and packed; measured 130,000."""

FUSED_SPARSE, FUSED_PER_DENSITY, FUSED_DENSE = 1.5, 10.0, 4.2
"""A step of the fused engine on a CPU, in products of the encoder's size: the first plus the second
times l0 / d_sae, at most the third. Measured."""
DENSE_CUDA, SPARSE_CUDA = 5.0, 1.0
"""The same on a GPU: encoder, decoder and three gradients, or the encoder alone."""
SPARSIFY_DENSE, SPARSIFY_PER_DENSITY, SPARSIFY_PASSES = 3.0, 150.0, 3
"""For sparsify's engine on a core: the first plus the second times l0 / d_sae, measured within a
factor of two. It writes a row of the encoder's gradient for every active latent of every token; on
a GPU that is so many passes over them beside a step like ours (assumed)."""
FACTORS_AT = 32, 1536
"""L0 and d_sae at which `cost_factor` of SAELens' engine was measured on a core. On a GPU all its
architectures take the same (assumed)."""

STEP_S, SAELENS_STEP_S = 5e-4, 3e-3
"""Seconds of a step however small the SAE, its calls and launches, and the same in SAELens' engine
and sparsify's. Measured on a core, SAEs of 8 x 16 to 64 x 128: 0.3 to 0.5 ms, and 2.8 to 4.3; on a
GPU assumed."""
WEIGHT_PASSES, ACT_PASSES, SAELENS_ACT_PASSES = 7, 13, 120
"""Passes over the weights in a step (Adam: four tensors read, three written) and, on a GPU, over
the batch's latent activations, ours and SAELens'."""
ROW_PASSES = {"reduced": 1, "float32": 2}
"""The same over a row of d_in for every selected activation, where products run over these alone;
for float32 by the size of its numbers, not measured."""
TO_HOST = 1e9
"""Bytes per s of latent activations from a GPU to the host: measured 7,450 rows of 32,768 per s."""

BLOCK_PARAMETERS = 16
"""Parameters of a transformer block in d_in^2; 12 in MiniLM and GPT-2, 15 in Gemma-2-2b."""
MODEL_PARAMETERS = 750
"""Parameters of a whole model in d_in^2, embeddings included; 150 in MiniLM, 300 in Llama-3.2-1b,
490 in Gemma-2-2b, 720 in Gemma-2-9b."""

FEATURE_S = 2e-8
"""Seconds per sample and feature of a synthetic world, on a core."""
SURVEYED_SAMPLES = 100 * 1024
"""Samples on which a world's constants are measured."""
MATCHING_PRODUCTS, MATCHING_S = 5, 0.1
"""Matching the latents of two seeds one to one: passes over all their cosines, and seconds of a
core at 1,000 latents, which grow as their square. Measured with one thread of
`benchmarks/matching.py half`: 2.8 s at 4096x512, 56 s at 16384x1024."""
MATCHING_BYTES = 24_000
"""Of each latent that is matched: its candidates, several times over, and its column of a block of
cosines. Measured 2.3 GB at 32768x2304, of which 1.2 GB are decoders and unit rows and 0.3 GB the
program."""

TASK_TOKENS, TASK_ROWS = (10_000, 205_000), (1_470, 3_380)
"""Tokens of different prompts, and rows, per probing task: of the default subset, of the others.
Counted on sae-probes' data."""
FIT_S, ENCODED_ROWS = 0.15, 2_000
"""Seconds of one sparse probe (measured 0.02 at L0 300 to 0.07 at L0 4, more where latents are
larger), and rows encoded per task."""
CONTROLS = 3.3
"""Time of a task's controls in times of its probes: fits to no information use up their iterations.
Measured 2.7 to 5.3 (768 latents of all-MiniLM-L6-v2 at L0 220, 4 and 64)."""
REFERENCE_ENGINE = 3.5
"""sae-probes' own engine in times of the exact one; 3.1 at 2304 x 32768, from measured parts."""
BASELINE_S = 2e-3
"""Seconds of a task's logistic regression per dimension of the activations; measured 1.5e-3."""

LIBRARIES_MB = {"cpu": 1500, "cuda": 4000}
"""Host memory of torch and the other libraries: measured 400 to 1,000; with CUDA's assumed."""
MEMORY_GROWTH = 1.5
"""Memory of an attempt over that of the one before."""
RUNTIME_SAFETY = 3.0
"""Time limit over estimate. A job that runs out of time goes on from its checkpoint or its shards:
a limit too low costs another place in the queue, one too high a longer wait for the first."""
FLOOR_MIN, SMALL_FLOOR_MIN = 30, 10
"""Shortest time limits: of staging, caching and training, and of all other jobs."""
CHECKPOINT_COPIES = 3
"""A checkpoint in weights: the weights and Adam's two moments."""
MOST_POINTS, GPU_SHARE = 8, 0.9
"""`points_per_job: auto`: the most SAEs of a job, and the part of a GPU's memory they may fill."""
