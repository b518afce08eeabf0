"""A language model, loaded through TransformerLens' TransformerBridge and read at one hook."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.beside import one_behind, to_device, to_host
from correct_l0.sources.language_model.model_files import (
    block_index,
    count_layers,
    read_model_config,
)
from correct_l0.sources.language_model.settings import Activations, Prompted


class LanguageModel:
    """Reads one activation tensor of a language model.

    Only the blocks up to the hook are loaded, and each forward pass ends at the hook.

    Parameters
    ----------
    folder
        The model's folder in Hugging Face's layout.
    hook_name
        TransformerLens' name of the tensor.
    d_in
        Its width.
    dtype
        Precision of the weights.
    device
        Where it runs.

    Raises
    ------
    InputError
        If the model has no such hook (with those it has), the tensor is not (batch, position,
        d_in), or the model cannot be loaded.
    """

    def __init__(
        self, folder: Path | str, hook_name: str, d_in: int, dtype: str, device: str = "cpu"
    ) -> None:
        self.folder = Path(folder)
        self.hook_name = hook_name
        self.d_in = d_in
        self.device = device
        self.bridge = _boot(self.folder, block_index(hook_name), getattr(torch, dtype), device)
        if hook_name not in self.bridge.hook_dict:
            layers = count_layers(read_model_config(self.folder)) or len(self.bridge.blocks)
            near = difflib.get_close_matches(hook_name, self.bridge.hook_dict, n=1)
            raise InputError(
                f"hook_name {hook_name!r} does not exist in this model; "
                + (f"did you mean {near[0]!r}? " if near else "")
                + f"It has {describe_hooks(self.bridge.hook_dict, layers)}"
            )
        self._check_width()

    @classmethod
    def of(cls, folder: Path | str, read: Activations | Prompted, device: str) -> LanguageModel:
        """Load a configured model from its folder."""
        return cls(folder, read.hook_name, read.d_in, read.model.dtype, device)

    @torch.inference_mode()
    def read(
        self, tokens: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_in"]:
        """Return the hook's tensor.

        Parameters
        ----------
        tokens
            Token ids, padded on the right.
        mask
            1 at tokens, 0 at padding.
        """
        from transformer_lens.model_bridge.exceptions import StopAtLayerException

        def stop(value: Tensor, hook: Any) -> None:
            # The bridge ends its forward pass on this exception and returns the tensor. Its own
            # `stop_at_layer` knows blocks by the names `blocks`, `h` and `layers` only: in BERT,
            # where they are called `layer`, it runs every block and the output head.
            raise StopAtLayerException(value)

        return self.bridge.run_with_hooks(
            to_device(tokens, self.device),
            attention_mask=to_device(mask, self.device),
            return_type=None,
            fwd_hooks=[(self.hook_name, stop)],
        )

    def read_all(
        self,
        contexts: Sequence[Int[np.ndarray, " pos"]],
        batch_tokens: int,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[tuple[int, Float[Tensor, "pos d_in"]]]:
        """Yield (number of the context, its activations), contexts of like length together.

        Those of a pass are yielded when the next one is under way: the device computes while the
        host works with them.

        Parameters
        ----------
        contexts
            Token ids of each context.
        batch_tokens
            Tokens per forward pass, padding included; a longer context has a pass of its own.
        dtype
            What the activations are converted to before they leave the device.
        """
        for batch, (values, there) in one_behind(self._passes(contexts, batch_tokens, dtype)):
            if there is not None:
                there.synchronize()
            for row, i in enumerate(batch):
                yield i, values[row, : len(contexts[i])]

    def _passes(
        self, contexts: Sequence[Int[np.ndarray, " pos"]], batch_tokens: int, dtype: torch.dtype
    ) -> Iterator[tuple[list[int], tuple[Tensor, torch.cuda.Event | None]]]:
        """Yield the contexts of each forward pass, and its activations on their way to the host."""
        for batch in length_batches([len(tokens) for tokens in contexts], batch_tokens):
            longest = max(len(contexts[i]) for i in batch)
            tokens = torch.zeros((len(batch), longest), dtype=torch.long)
            mask = torch.zeros_like(tokens)
            for row, i in enumerate(batch):
                tokens[row, : len(contexts[i])] = torch.from_numpy(contexts[i].astype(np.int64))
                mask[row, : len(contexts[i])] = 1
            yield batch, to_host(self.read(tokens, mask).to(dtype))

    def _check_width(self) -> None:
        tokens = torch.zeros((2, 3), dtype=torch.long)
        value = self.read(tokens, torch.ones_like(tokens))
        # A hook that this architecture never calls leaves nothing behind.
        shape = tuple(value.shape) if value is not None else None
        if shape is None or len(shape) != 3 or shape[:2] != (2, 3):
            raise InputError(
                f"hook_name {self.hook_name!r}: for 2 contexts of 3 tokens its shape is {shape}, "
                "not (2, 3, d_in); choose a hook with one vector per token"
            )
        if shape[2] != self.d_in:
            raise InputError(
                f"d_in {self.d_in}: {self.hook_name} of this model is {shape[2]} wide; "
                f"set d_in: {shape[2]}"
            )


def _boot(folder: Path, block: int | None, dtype: torch.dtype, device: str) -> Any:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder))
    layers = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    cut = {layers: block + 1} if block is not None and hasattr(config, layers) else None
    try:
        bridge = TransformerBridge.boot_transformers(
            str(folder), device=device, dtype=dtype, hf_config_overrides=cut
        )
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"model folder '{folder}' cannot be loaded by TransformerLens ({reason}); "
            "choose a model it supports"
        ) from None
    if dtype == torch.float32:
        # Otherwise TransformerLens leaves it to PyTorch, which may choose TF32 on a GPU.
        torch.set_float32_matmul_precision("highest")
    _use_fused_attention(bridge.original_model)
    return bridge.eval()


def _use_fused_attention(model: Any) -> None:
    """Replace eager attention where PyTorch's fused one computes the same.

    The bridge asks for eager attention, for the sake of hooks on attention patterns. Fused
    attention knows no capping of the scores (Gemma 2), so such models stay as they are.
    """
    config = model.config
    if getattr(config, "attn_logit_softcapping", None) is None and model._supports_sdpa:
        config.output_attentions = False
        model.set_attn_implementation("sdpa")


def length_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield the numbers of contexts that go through the model together.

    Longest first, so that too large a batch fails at once; each batch holds at most `batch_tokens`
    with its padding, or a single context.

    Examples
    --------
    >>> list(length_batches([2, 5, 3, 5, 1], 10))
    [[1, 3], [2, 0, 4]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def describe_hooks(names: Iterable[str], layers: int) -> str:
    """Return hook names in one line, those of all blocks together.

    Parameters
    ----------
    names
        Hooks of the loaded blocks, which may be the first ones of the model.
    layers
        Blocks of the whole model.

    Examples
    --------
    >>> describe_hooks(["embed.hook_out", "blocks.0.hook_in", "blocks.0.hook_out"], layers=6)
    'blocks.{0..5}.{hook_in, hook_out}, embed.hook_out'
    """
    matches = [re.fullmatch(r"(?:blocks\.\d+\.)?(.+)", name) for name in names]
    found = [(match.group(1), match.group(0) != match.group(1)) for match in matches if match]
    inner = ", ".join(sorted({name for name, in_block in found if in_block}))
    others = sorted({name for name, in_block in found if not in_block})
    return ", ".join([f"blocks.{{0..{layers - 1}}}.{{{inner}}}", *others])
