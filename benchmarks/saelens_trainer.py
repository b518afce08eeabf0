"""SAELens' BatchTopK SAE and its trainer, made in one way for every comparison with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from collect import version

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer
    from torch import Tensor

NAME = f"SAELens {version('sae-lens')}, its trainer"


def batchtopk(d_in: int, d_sae: int, l0: float, **options: Any) -> Any:
    """Return a BatchTopK SAE to be trained, with SAELens' initial weights.

    Its pre-activations are rescaled by the decoder's norms, as ours are: it is the default, and
    what is compared.
    """
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    how = {"rescale_acts_by_decoder_norm": True, **options}
    return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in, d_sae, k=l0, **how))


def trainer(
    sae: Any, batch: int, steps: int, lr: float, batches: Iterable[Tensor] = (), **options: Any
) -> SAETrainer:
    """Return SAELens' trainer of an SAE for so many steps; options go to its configuration."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    cfg = SAETrainerConfig(
        total_training_samples=batch * steps,
        train_batch_size_samples=batch,
        lr=lr,
        lr_end=lr,
        **options,
    )
    return SAETrainer(cfg, sae, iter(batches))


def step_of(made: SAETrainer) -> Callable[[Tensor], Any]:
    """Return a trainer's step on a batch, without a logger."""

    def step(batch: Tensor) -> Any:
        output = made.step(batch)
        made.n_training_steps += 1
        return output

    return step


def save(sae: Any, scale: float, folder: object) -> None:
    """Save a trained SAE for inference on raw activations, which were trained on times `scale`."""
    sae.fold_activation_norm_scaling_factor(scale)
    sae.save_inference_model(str(folder))


def saes(points: int) -> str:
    """Return so many SAEs in words.

    Examples
    --------
    >>> saes(1), saes(8)
    ('1 SAE', '8 SAEs')
    """
    return f"{points} SAE{'s' * (points > 1)}"
