"""What training one SAE costs, from its sizes; nothing heavy is imported, as in `estimates`."""

from __future__ import annotations

from correct_l0.costs import throughputs as stated
from correct_l0.costs.memory import FLOAT
from correct_l0.costs.throughputs import THROUGHPUT
from correct_l0.saes.architectures import DEFAULT, architecture
from correct_l0.saes.training_settings import Training


def training_s(
    d_in: int,
    d_sae: int,
    l0: float | None,
    training: Training,
    device: str,
    together: int = 1,
    name: str = DEFAULT,
) -> float:
    """Return the seconds of training one SAE, without start and evaluation.

    A step is some products of the encoder's size, passes over memory, and what any step costs
    however small; reading the data, which `together` SAEs share, costs more only where the disk is
    slower. `name` is the architecture's; of one that SAELens trains the L0 is no matter, and of one
    whose L0 is not known before, it is taken to be small.

    Examples
    --------
    2,048 steps of 512 tokens at 384 x 768 on a core: measured 11.9 s at L0 16, 28.0 at L0 300.

    >>> training = Training(training_tokens=2**20, batch_tokens=512)
    >>> [round(training_s(384, 768, l0, training, "cpu"), 1) for l0 in (16, 300)]
    [15.0, 30.4]
    """
    speed, weights = THROUGHPUT[device], 2 * d_in * d_sae
    steps, batch = training.steps, training.batch_tokens
    floor_s = stated.STEP_S if _is_trained_by_us(training, name) else stated.SAELENS_STEP_S
    flops = _products(d_sae, l0, training, device, name) * batch * weights
    passes: float = stated.WEIGHT_PASSES * weights
    if device == "cuda":
        ours = training.by_sparsify or _is_trained_by_us(training, name)
        passes += (stated.ACT_PASSES if ours else stated.SAELENS_ACT_PASSES) * batch * d_sae
        passes += _row_passes(d_sae, l0, training, name) * batch * (l0 or 0.0) * d_in
    step_s = floor_s + flops / getattr(speed, training.precision) + passes * FLOAT / speed.memory
    return max(steps * step_s, steps * batch * d_in * 2 / stated.DISK_READ / together)


def _is_trained_by_us(training: Training, name: str) -> bool:
    return training.engine == "fused" and architecture(name).own_cost_factor > 0


def _row_passes(d_sae: int, l0: float | None, training: Training, name: str) -> int:
    """Return a GPU's passes over a row of d_in for every selected activation."""
    if training.by_sparsify:
        return stated.SPARSIFY_PASSES
    passes = stated.ROW_PASSES[training.precision]
    return passes if _over_few(d_sae, l0, training, name) else 0


def _over_few(d_sae: int, l0: float | None, training: Training, name: str) -> bool:
    """Return whether a GPU's products run over the selected activations alone."""
    few = l0 is not None and training.over_selected(l0, d_sae)
    return few and _is_trained_by_us(training, name) and not architecture(name).learns_thresholds


def _products(d_sae: int, l0: float | None, training: Training, device: str, name: str) -> float:
    """Return a training step in products of the encoder's size."""
    if training.by_sparsify:
        sparse = stated.SPARSIFY_PER_DENSITY * (l0 or 0.0) / d_sae
        return stated.DENSE_CUDA if device == "cuda" else stated.SPARSIFY_DENSE + sparse
    if _is_trained_by_us(training, name):
        fused = _fused(l0 or 0.0, d_sae)
        if device == "cuda":
            few = _over_few(d_sae, l0, training, name)
            fused = stated.SPARSE_CUDA if few else stated.DENSE_CUDA
        return architecture(name).own_cost_factor * fused
    if device == "cpu":
        return architecture(name).cost_factor * _fused(*stated.FACTORS_AT)
    return stated.DENSE_CUDA


def _fused(l0: float, d_sae: int) -> float:
    """Return a step of the fused engine on a core in products of the encoder's size."""
    return min(stated.FUSED_DENSE, stated.FUSED_SPARSE + stated.FUSED_PER_DENSITY * l0 / d_sae)
