"""How sparsify trains an SAE (`engine: sparsify`): what its trainer takes beside our settings.

`RECIPE` changes when the same settings, seed and activations give other numbers.

References
----------
`SparseCoderConfig` and `TrainConfig` of eai-sparsify 1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from correct_l0.settings.base import PositiveFloat, Section, format_l0

if TYPE_CHECKING:
    from correct_l0.saes.training_settings import Training

RECIPE = 1

MULTIPLE = 4
"""sparsify's Multi-TopK loss keeps so many times k."""


class BySparsify(Section):
    """What sparsify's trainer takes beside the settings that all engines share."""

    optimizer: Literal["adam", "signum", "muon"] = "adam"
    """sparsify's own default is `signum`, whose learning rate by rule is too high for few
    latents."""

    lr: PositiveFloat | None = None
    """Learning rate. Unset: by sparsify's rule, with `adam` 2e-4 and with `signum` 5e-3, both over
    sqrt(d_sae / 16384), with `muon` 2e-3."""

    multi_topk: bool = False
    """Whether an eighth of the loss with four times as many latents is added."""

    def lr_at(self, d_sae: int) -> float:
        """Return the learning rate at a width.

        Examples
        --------
        >>> BySparsify().lr_at(2**14), BySparsify().lr_at(2**12), BySparsify(lr=0.5).lr_at(2**12)
        (0.0002, 0.0004, 0.5)
        """
        if self.lr is not None:
            return self.lr
        if self.optimizer == "muon":
            return 2e-3
        at_16384 = {"adam": 2e-4, "signum": 5e-3}[self.optimizer]
        return float(at_16384 / (d_sae / 2**14) ** 0.5)


def unusable(training: Training, l0: float | None, d_sae: int) -> str:
    """Return what of these settings cannot be said to sparsify; empty where all can.

    Of another engine: whether what sparsify takes is given in vain.
    """
    given = training.sparsify
    if not training.by_sparsify:
        if given == BySparsify():
            return ""
        return f"sparsify: engine {training.engine} does not read it; remove it or change engine"
    if training.lr != type(training).model_fields["lr"].default:
        return f"lr {training.lr:g}: engine sparsify has its own; give it as sparsify.lr"
    if training.lr_decay_fraction:
        return (
            f"lr_decay_fraction {training.lr_decay_fraction:g}: engine sparsify lowers the "
            "learning rate its own way; remove it"
        )
    if training.lr_warm_up_steps and given.optimizer == "signum":
        return (
            f"lr_warm_up_steps {training.lr_warm_up_steps}: sparsify's signum has no warm-up; "
            "remove it or use optimizer adam"
        )
    if given.multi_topk and training.l0_schedule is not None:
        return "l0_schedule: sparsify.multi_topk keeps to one L0; remove one of them"
    if given.multi_topk and l0 is not None and MULTIPLE * l0 > d_sae:
        return (
            f"sparsify.multi_topk: {MULTIPLE} times l0 {format_l0(l0)} is above d_sae {d_sae}; "
            "lower l0 or widen the SAE"
        )
    return ""
