"""The settings of a language model's activations: the model, the text, the cache."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, Name, Section, Seed
from correct_l0.settings.canonical import canonical
from correct_l0.sources.settings import Outlying, SourceSection


class Model(Section):
    """The language model whose activations are studied."""

    source: str
    """A folder in Hugging Face's layout (a relative path starts from the configuration's folder), a
    hub name (`google/gemma-2-2b`), or `package:<module>` for a Python package that carries a model
    and has `get_model_path()`. A folder is known by its content: it may move."""

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
    """For `files`: paths or patterns (`mine/*.jsonl`) of .txt, .jsonl, .jsonl.gz, .jsonl.zst or
    .parquet files; relative ones start from the configuration's folder. A .txt file is one document
    per blank-line-separated paragraph. Files are known by their content: they may move."""

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


class Prompted(Section):
    """The tensor of a language model that the prompts of probing are read at."""

    cache: Name
    """What their files are named after: the activation cache, else the study."""

    model: Model
    """The language model."""

    hook_name: str
    """TransformerLens' name of the tensor."""

    d_in: Count
    """Its width."""

    special_tokens: Literal["keep", "drop"] = "keep"
    """Whether a prompt's last token may be a special one."""

    forward_batch_tokens: Count = 16_384
    """Tokens per forward pass."""

    @classmethod
    def of(cls, settings: str, cache: str) -> Prompted:
        """Return what `identity` wrote, or what the settings of a cache say of it."""
        given = json.loads(settings)
        told = {name: given[name] for name in _OF_ROWS if given.get(name) is not None}
        return cls.model_validate({**told, "cache": cache})

    @property
    def identity(self) -> str:
        """The canonical settings that the prompts' activations depend on."""
        told = json.loads(canonical(self))
        return canonical({name: told.get(name) for name in _OF_ROWS})


_OF_ROWS = ("model", "hook_name", "d_in", "special_tokens")


class Activations(SourceSection):
    """The activation cache: it belongs to a model, a hook and a text; studies share it by name."""

    kind = "language_model"
    stage = "seal_activations"

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
    """`concatenate`: documents joined by the separator and cut into full contexts (causal models).
    `documents`: each context holds the start of one document (encoders)."""

    separator: Literal["bos", "eos", "none"] = "bos"
    """For `concatenate`, the token between documents. `bos`: it begins each context too. `eos`: for
    tokenizers without BOS, such as Qwen's; a context begins with whatever comes."""

    special_tokens: Literal["keep", "drop"] = "keep"
    """Whether rows at special tokens (BOS, [CLS], [SEP]) are cached."""

    outlying: Outlying = Outlying()
    """Rows of massive norm. Changed, the cache is sealed anew, not made anew."""

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

    @model_validator(mode="after")
    def _check_separator(self) -> Activations:
        if self.packing == "documents" and self.separator != "bos":
            raise ValueError(
                f"separator {self.separator!r} has no effect with packing 'documents'; remove it"
            )
        return self

    @property
    def prompted(self) -> Prompted:
        """The tensor that prompts are read at: the one that is cached."""
        return Prompted(
            cache=self.cache,
            model=self.model,
            hook_name=self.hook_name,
            d_in=self.d_in,
            special_tokens=self.special_tokens,
            forward_batch_tokens=self.forward_batch_tokens,
        )
