"""The settings of activations in somebody's own files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, Seed
from correct_l0.settings.canonical import canonical
from correct_l0.sources.language_model.settings import Model, Prompted
from correct_l0.sources.settings import Outlying, SourceSection
from correct_l0.sources.stored import STAGE, is_path

if TYPE_CHECKING:
    from correct_l0.sources.stored.rows import Rows

PLACES = ("path", "documents")
"""Where things lie: files are known by their content, and may move."""

OF_PROMPTS = ("model", "special_tokens", "forward_batch_tokens")
"""What only the reading of prompts depends on."""


class Stored(SourceSection):
    """Activations that you have: rows in files, read where they lie and not copied."""

    kind = "stored"
    stage = STAGE

    path: str
    """A `.npy` or `.safetensors` file, a pattern of several (`acts/*.npy`), the folder of a Zarr
    array, or a folder that `datasets` saved, SAELens' cached activations among them. A relative
    path starts from the configuration's folder."""

    array: str | None = None
    """Name of the tensor, array or column with the activations, where there are several."""

    d_in: Count
    """Width of the rows; checked against the files."""

    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Unset: as the files say. NumPy and Zarr have no bfloat16: `bfloat16` says that whole numbers
    of two bytes are its bits."""

    documents: str | None = None
    """Which text each row is of: a `.npy` file or Zarr array of whole numbers, one for each row, or
    the name of such a tensor or column beside the activations. Whole texts are then held out."""

    block_tokens: Count = 4096
    """Rows that are held out together, where neither texts nor the sequences of rows are known."""

    held_out_tokens: Annotated[int, Field(ge=1, le=100_000_000)] = 100_000
    """Rows that train no SAE and are measured on. All others are trained on, in as many passes as
    the training takes."""

    seed: Seed = 0
    """Which texts, sequences or blocks are held out."""

    outlying: Outlying = Outlying()
    """Rows of massive norm."""

    model_name: str | None = None
    """The model they are of, which a saved SAE tells. Nothing is read of it."""

    hook_name: str | None = None
    """The tensor they are of, which a saved SAE tells; TransformerLens' name of it where `model` is
    named."""

    model: Model | None = None
    """The model they are of, for `probing`: it reads the prompts at `hook_name`. No row is made of
    it, and no SAE depends on it."""

    special_tokens: Literal["keep", "drop"] = "keep"
    """Whether rows at special tokens (BOS, [CLS], [SEP]) are among them; where not, the last token
    of a prompt is the last one that is not special. For `probing`."""

    forward_batch_tokens: Count = 16_384
    """Tokens of prompts per forward pass. No effect on the numbers beyond rounding."""

    @model_validator(mode="after")
    def _check_hook(self) -> Stored:
        if self.model is not None and self.hook_name is None:
            raise ValueError(
                f"hook_name is not set: model {self.model.source!r} is read at a hook; name the "
                "one that the rows are of, such as blocks.3.hook_resid_post"
            )
        return self

    @property
    def identity(self) -> str:
        """The canonical settings that the index depends on, besides the files."""
        return canonical(self, *PLACES, *OF_PROMPTS)

    def prompted(self, name: str) -> Prompted | None:
        """Return the tensor that probing reads, its files named so; None without a model."""
        if self.model is None:
            return None
        return Prompted(
            cache=name,
            model=self.model,
            hook_name=str(self.hook_name),
            d_in=self.d_in,
            special_tokens=self.special_tokens,
            forward_batch_tokens=self.forward_batch_tokens,
        )

    def at(self, base: Path) -> Stored:
        """Return the settings with paths from a folder on, the configuration's."""
        found = {name: getattr(self, name) for name in PLACES}
        placed = {
            name: str(base / Path(value).expanduser())
            for name, value in found.items()
            # A name has no suffix: it is that of a tensor or column beside the activations.
            if value is not None and (name == "path" or is_path(value))
        }
        return self.model_copy(update=placed)

    @property
    def made_from(self) -> list[str]:
        """The files that tell whether anything changed."""
        beside = [self.documents] if self.documents and is_path(self.documents) else []
        return [*self.rows.files, *beside]

    @cached_property
    def rows(self) -> Rows:
        """The files, opened.

        Raises
        ------
        InputError
            If they cannot be used.
        """
        from correct_l0.sources.stored.rows import open_rows

        return open_rows(self.path, self.array, self.dtype)
