"""The sections of a study's configuration: the only place where an option is declared.

`config/schema.json` and the option table in `config/README.md` are generated from these models by
`python -m correct_l0.config_docs`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from correct_l0.config_base import (
    Count,
    Name,
    PositiveFloat,
    Section,
    Seed,
    check_unique,
    format_l0,
)
from correct_l0.config_training import Training, TrainingOverride


class Model(Section):
    """The language model whose activations are studied."""

    source: str
    """A folder in Hugging Face's layout, a hub name (`google/gemma-2-2b`), or `package:<module>`
    for a Python package that carries a model and has `get_model_path()`."""

    revision: str | None = None
    """Revision of a hub model. Unset: the newest, whose commit is recorded in the manifest."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the weights during the forward pass."""


class Text(Section):
    """The documents the activations are read from."""

    source: Literal["sae-probes", "files", "datasets"]
    """`sae-probes`: the texts shipped with that package. `files`: local files.
    `datasets`: a Hugging Face dataset, streamed on a machine with network."""

    files: tuple[str, ...] = ()
    """For `files`: paths of .txt, .jsonl, .jsonl.gz, .jsonl.zst or .parquet files. A .txt file is
    one document per blank-line-separated paragraph."""

    dataset: str | None = None
    """For `datasets`: the dataset's name, such as `monology/pile-uncopyrighted`."""

    dataset_config: str | None = None
    """For `datasets`: the dataset's configuration, where it has several."""

    dataset_split: str = "train"
    """For `datasets`: the split that is streamed."""

    dataset_revision: str | None = None
    """For `datasets`: a fixed revision."""

    text_field: str = "text"
    """The field or column that holds the text in .jsonl, .parquet and datasets."""

    shuffle_buffer: Count = 10_000
    """For `datasets`: documents in the streaming shuffle buffer."""

    reserve_tasks: Literal["default", "none"] | tuple[str, ...] = "none"
    """Probing tasks whose texts never enter the cache: `default` for the default subset, `none`,
    or a list of task names. Texts are compared word for word."""

    @model_validator(mode="after")
    def _check_source(self) -> Text:
        if self.source == "files" and not self.files:
            raise ValueError("files is empty; text source 'files' needs at least one path")
        if self.source == "datasets" and not self.dataset:
            raise ValueError("dataset is not set; text source 'datasets' needs a dataset name")
        return self


class Activations(Section):
    """The activation cache: it belongs to a model, a hook and a text; studies share it by name."""

    cache: Name
    """Name of the cache: its folder is `results/activations/<cache>`."""

    model: Model
    """The language model."""

    hook_name: str
    """TransformerLens' name of the tensor, such as `blocks.3.hook_resid_post`."""

    d_in: Count
    """Width of that tensor; checked against the model before anything is cached."""

    text: Text
    """The text."""

    context_size: Annotated[int, Field(ge=2)] = 1024
    """Tokens per context, special tokens included."""

    packing: Literal["concatenate", "documents"] = "concatenate"
    """`concatenate`: documents joined by the BOS token and cut into full contexts (causal models).
    `documents`: each context holds the start of one document (encoders)."""

    special_tokens: Literal["keep", "drop"] = "keep"
    """Whether rows at special tokens (BOS, [CLS], [SEP]) are cached."""

    training_tokens: Count
    """Rows cached for training."""

    held_out_tokens: Count
    """Rows cached for evaluation, from documents that train no SAE."""

    dtype: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    """Precision on disk."""

    shard_tokens: Count = 262_144
    """Rows per shard file."""

    shuffle_tokens: Count = 1_048_576
    """Rows shuffled together before they are written; rounded up to whole shards."""

    seed: Seed = 0
    """Order of the documents and of the shuffle."""

    shards_per_job: Count = 4
    """Shards written by one job; rounded up to whole shuffle windows. Fixed when the cache is
    staged. No effect on the numbers."""

    forward_batch_tokens: Count = 16_384
    """Tokens per forward pass. No effect on the numbers beyond rounding."""


class Saes(Section):
    """The sweep: one BatchTopK SAE per L0 and seed."""

    d_sae: Count
    """Number of latents."""

    l0: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Target L0 (mean active latents per token) of each point; fractions are allowed."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Seeds; each L0 is trained once per seed (initialisation and order of the data)."""

    training: Training
    """Shared training parameters."""

    overrides: dict[PositiveFloat, TrainingOverride] = Field({})  # type: ignore[valid-type]
    """Training parameters for single L0 points, by L0."""

    checkpoint_min: PositiveFloat = 10.0
    """Minutes between checkpoints. No effect on the numbers."""

    points_per_job: Literal["auto"] | Annotated[int, Field(ge=1, le=16)] = "auto"
    """SAEs of one seed that one job trains, reading the data once, 1 to 16. `auto`: on a GPU as
    many as its memory holds, at most 8; on a CPU 1. No effect on the numbers."""

    gpu_memory_gb: PositiveFloat = 80.0
    """For `points_per_job: auto`: a GPU's memory in GB. No effect on the numbers."""

    @field_validator("points_per_job", mode="before")
    @classmethod
    def _check_points_per_job(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (whole and 1 <= value <= 16):
            raise ValueError(f"{value!r} is not usable; give auto or a whole number from 1 to 16")
        return value

    @model_validator(mode="after")
    def _check_points(self) -> Saes:
        for l0 in self.l0:
            if l0 > self.d_sae:
                raise ValueError(
                    f"l0 {l0:g} is above d_sae {self.d_sae}; lower it or widen the SAE"
                )
        check_unique(l0=self.l0, seeds=self.seeds)
        for l0 in self.l0:
            if wrong := self.training_of(l0).unusable_at(l0):
                raise ValueError(wrong)
        for l0 in self.overrides:
            if l0 not in self.l0:
                known = ", ".join(format_l0(x) for x in self.l0)
                raise ValueError(
                    f"overrides name l0 {l0:g}, which is not in the list ({known}); "
                    "add it there or remove the override"
                )
        return self

    def training_of(self, l0: float) -> Training:
        """Return the training parameters of one L0 point, overrides applied."""
        override = self.overrides.get(float(l0))
        changed: dict[str, Any] = override.model_dump(exclude_none=True) if override else {}
        return self.training.model_copy(update=changed)


class DecoderMetrics(Section):
    """s_n^dec, c_dec and the histograms of the decoder projections."""

    n: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
    )  # fmt: skip
    """The n of s_n^dec: whole numbers, or fractions of d_sae where below 1. Well above any
    plausible L0 and at most about d_sae / 2."""

    batch_tokens: Count = 4096
    """Tokens per batch of the authors' statistic."""

    batches: Count = 100
    """Batches of held-out tokens; fewer where fewer are cached."""

    histogram_l0: tuple[PositiveFloat, ...] = ()
    """L0 points whose projection histograms are drawn; empty: lowest, middle and highest."""


class Probing(Section):
    """Sparse probing after Kantamneni et al."""

    tasks: Literal["default", "all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    """`all` 113 tasks, the `default` subset (chosen by cost alone), or a list of task names."""

    probe_k: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 16)
    """Numbers of latents in a probe."""

    engine: Literal["exact", "reference"] = "exact"
    """`exact`: the same protocol with shared work. `reference`: sae-probes' own `run_sae_evals`."""
