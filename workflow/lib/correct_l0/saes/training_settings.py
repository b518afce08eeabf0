"""How an SAE is trained: the `training` section of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from correct_l0.saes import by_sparsify
from correct_l0.saes.architectures import (
    Architecture,
)
from correct_l0.saes.by_sparsify import BySparsify
from correct_l0.saes.l0_schedule import L0Schedule, unusable
from correct_l0.settings.base import (
    Count,
    Fraction,
    PositiveFloat,
    Section,
)

SPARSE_BELOW = {"reduced": 1 / 160, "float32": 1 / 32}
"""Share of active latents below which a GPU is faster with these alone, at 2304 x 32768 with 4096
tokens on an H100. Measured for `reduced`: both forms take the same at L0 205. Products of float32
take ten times as long, so that a form with one of them stays ahead for longer: by its parts, to L0
1500 or so."""


class Training(Section):
    """Training parameters of one SAE; every one can be overridden for one L0."""

    training_tokens: Count
    """Tokens seen by each SAE; more than are cached means several epochs."""

    batch_tokens: Count = 4096
    """Tokens per training step."""

    lr: PositiveFloat = 3e-4
    """Learning rate of Adam; of engine `sparsify` that of its section."""

    lr_warm_up_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of linear warm-up."""

    lr_decay_fraction: Fraction = 0.0
    """Final fraction of the steps over which the learning rate falls linearly to zero; with engine
    `sparsify` it falls from the warm-up on, but for `signum`'s, which stays."""

    aux_loss_coefficient: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the auxiliary loss that revives dead latents."""

    dead_feature_window: Count = 1000
    """Steps without firing after which a latent counts as dead."""

    engine: Literal["fused", "saelens", "sparsify"] = "fused"
    """`fused`: this project's trainer. `saelens`: SAELens' own, the reference. `sparsify`:
    eai-sparsify's SAE, loss and optimiser, for a whole sweep of `topk`."""

    sparsify: BySparsify = Field(default=BySparsify())
    """What engine `sparsify` takes beside."""

    precision: Literal["float32", "reduced"] = "float32"
    """Matrix products in training. `reduced`: of bfloat16 with float32 sums on CUDA and on a CPU
    with AMX (slower on other CPUs); weights, thresholds and Adam stay in float32. On CUDA the
    auxiliary losses, and all products of engine `saelens`, take TF32 instead."""

    gpu_products: Literal["auto", "dense", "sparse"] = "auto"
    """How a GPU multiplies with the selected activations; a CPU chooses itself. `sparse`: over
    these alone, for `batchtopk`, `topk` and `matryoshka_batchtopk`; `dense`: with all; `auto`:
    `sparse` where L0 is below a 160th of `d_sae`, with `precision: float32` below a 32nd."""

    freeze_decoder: bool = False
    """Keep the decoder's directions as they start, at random: a control, whose c_dec and stability
    are those of chance; give it a sweep of its own beside the one that it controls."""

    l0_schedule: L0Schedule | None = None
    """The course of L0 along the training, from the point's L0 on; unset: it stays."""

    @property
    def steps(self) -> int:
        """Training steps; a last, incomplete batch is left out."""
        return self.training_tokens // self.batch_tokens

    @property
    def decay_steps(self) -> int:
        """Steps at the end over which the learning rate falls to zero."""
        return round(self.lr_decay_fraction * self.steps)

    @property
    def by_sparsify(self) -> bool:
        """Whether sparsify trains the SAE."""
        return self.engine == "sparsify"

    def over_selected(self, l0: float, d_sae: int) -> bool:
        """Return whether a GPU's products run over the selected activations alone."""
        if self.gpu_products == "auto":
            return l0 < SPARSE_BELOW[self.precision] * d_sae
        return self.gpu_products == "sparse"

    def lr_at(self, d_sae: int) -> float:
        """Return the learning rate of SAEs of a width."""
        return self.sparsify.lr_at(d_sae) if self.by_sparsify else self.lr

    def recipe(self, declared: Architecture) -> int:
        """Return the recipe of an SAE of an architecture that is trained so."""
        return by_sparsify.RECIPE if self.by_sparsify else declared.recipe

    def unusable_at(self, label: str, l0: float | None, d_sae: int) -> str:
        """Return why no SAE can be trained so; empty where one can.

        Parameters
        ----------
        label
            How the message names the point.
        l0
            Target L0, where there is one.
        d_sae
            Number of latents.
        """
        if self.steps < 1:
            return (
                f"{label}: training_tokens {self.training_tokens} is below batch_tokens "
                f"{self.batch_tokens}: not one step; train longer or make the batch smaller"
            )
        if self.lr_warm_up_steps + self.decay_steps > self.steps:
            return (
                f"{label}: lr_warm_up_steps {self.lr_warm_up_steps} and {self.decay_steps} steps "
                f"of decay exceed the {self.steps} steps of training; shorten them"
            )
        if l0 is not None and int(l0 * self.batch_tokens) < 1:
            return (
                f"{label}: a batch of {self.batch_tokens} tokens selects no latent, it must select "
                "at least one; raise l0 or batch_tokens"
            )
        if self.l0_schedule is not None:
            wrong = unusable(self.l0_schedule, d_sae, self.steps, self.batch_tokens)
            if wrong:
                return wrong
        if self.gpu_products == "sparse" and self.engine != "fused":
            return (
                f"{label}: gpu_products sparse: engine {self.engine} has its own products; remove "
                "it or use engine fused"
            )
        return by_sparsify.unusable(self, l0, d_sae)
