"""An imported SAE through SAELens' own loader, as an inference SAE on raw activations.

All that is asked of SAELens beyond what it documents is here: its loaders take files of a hub, and
are given those that are on this machine. `tests/unit/test_saes_imported_load.py` names the version
it was checked with.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.saes.saved import SavedSae, decoder_only

CHECKED_WITH = "6.54"

NO_LAYER = "layer_0/"
"""Before the name of a SAE of Gemma Scope's layout that tells no layer, which SAELens asks for."""

UNIT = 1e-3
"""Largest distance of a decoder row's norm from 1 that counts as 1."""

FIELDS = ("W_enc", "W_dec", "b_dec")

UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError, EOFError,
    pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile,
)  # fmt: skip
"""What loaders raise on a file that is not what it should be."""


def load_imported(
    name: str,
    layout: str,
    origin: str,
    find: Callable[[str], Path],
    *,
    k: int | None = None,
) -> tuple[SavedSae, dict[str, Any]]:
    """Return an SAE and what its files say of its input.

    Parameters
    ----------
    name
        Its name in the repository.
    layout
        How it is written.
    origin
        The repository, whose name tells some loaders the model.
    find
        Returns where a file of the repository lies on this machine.
    k
        For TopK and BatchTopK SAEs without a threshold.

    Returns
    -------
    SavedSae
        In float32, decoder rows of unit norm where that leaves the codes as they are; of a matching
        pursuit SAE, which finds its codes one by one, the decoder alone.
    dict
        `model_name`, `hook_name` where known; `unit_norm`; `normalised` where the SAE was trained
        on scaled activations and the scale is not known.

    Raises
    ------
    InputError
        If a file is missing or holds something else, a value is not finite, or a decoder row is
        zero.
    """
    with _files_from(lambda file: find(file.removeprefix(NO_LAYER))):
        try:
            sae = _build(name, layout, origin, find)
        except InputError:
            raise
        except UNREADABLE as error:
            words = " ".join(str(error).split())[:160]
            if isinstance(error, pickle.UnpicklingError):
                words = "it holds something besides tensors, which is not opened"
            raise InputError(
                f"{name}: cannot be read as {layout} ({words}); name an SAE of this layout"
            ) from None
    facts = {
        key: getattr(sae.cfg.metadata, key, None)
        for key in ("model_name", "hook_name", "context_size")
    }
    saved = _saved(name, sae, k)
    _check(name, saved)
    norms = saved.W_dec.norm(dim=1)
    facts["unit_norm"] = bool((norms - 1).abs().max() <= UNIT)
    facts["normalised"] = str(sae.cfg.normalize_activations)
    return saved, facts


@contextmanager
def _files_from(find: Callable[[str], Path]) -> Iterator[None]:
    """Have SAELens' loaders take files from this machine."""
    import sae_lens  # noqa: F401  (It registers the architectures.)
    from huggingface_hub.errors import EntryNotFoundError
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def path(repo_id: str, filename: str, subfolder: str | None = None, **rest: Any) -> str:
        whole = f"{subfolder}/{filename}" if subfolder else filename
        there = _there(find, whole)
        if there is None:
            if whole.endswith((loaders.SPARSITY_FILENAME, "config.json")):
                raise EntryNotFoundError(whole)
            raise InputError(f"{whole}: missing; delete the study's weights/ and run again")
        return str(there)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        with safe_open(find(filename), framework="pt") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118

    with (
        patch.object(loaders, "hf_hub_download", path),
        patch.object(loaders, "get_safetensors_tensor_shapes", shapes),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _there(find: Callable[[str], Path], name: str) -> Path | None:
    """Return where a file lies; None where it was never fetched, as it is no part of the SAE."""
    try:
        path = find(name)
    except InputError:
        return None
    return path if path.is_file() else None


def _build(name: str, layout: str, origin: str, find: Callable[[str], Path]) -> Any:
    """Return SAELens' SAE."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    folder_name = name
    loader = loaders.NAMED_PRETRAINED_SAE_LOADERS[layout]
    if layout == "gemma_2" and not re.search(r"(2b|9b|27b).*(res|mlp|att)", origin):
        # SAELens reads model and hook off the repository's name; a local folder may have any.
        origin = "gemma-scope-2b-pt-res"
    if layout == "gemma_2" and not re.search(r"layer_\d", name):
        folder_name = NO_LAYER + name

    def convert(path: Any, device: str, cfg_overrides: Any) -> tuple[dict[str, Any], Any]:
        cfg, state, _ = loader(
            repo_id=origin,
            folder_name=folder_name,
            device=device,
            force_download=False,
            cfg_overrides={"dtype": "float32"},
        )
        if layout == "sparsify":
            _as_sparsify_has_it(cfg, state, _json(find(f"{name}/cfg.json")))
        if "W_dec" in state:
            cfg["d_sae"], cfg["d_in"] = state["W_dec"].shape
        return cfg, {key: value.contiguous() for key, value in state.items()}

    sae = SAE.load_from_disk(name, converter=convert)
    if folder_name != name:
        sae.cfg.metadata.hook_name = None
    if sae.cfg.normalize_activations == "expected_average_only_in" and layout == "llama_scope":
        hyper = _json(find(f"{name}/hyperparams.json"))
        norm = hyper["dataset_average_activation_norm"]["in"]
        sae.fold_activation_norm_scaling_factor(sae.cfg.d_in**0.5 / norm)
    return sae


def _as_sparsify_has_it(
    cfg: dict[str, Any], state: dict[str, Tensor], written: Mapping[str, Any]
) -> None:
    """Mend what SAELens takes to be otherwise of a file that sparsify wrote.

    `W_dec` has a row for each latent there, and `b_dec` is subtracted from the input whatever the
    decoder's norms are (`SparseCoder.encode`, sparsify 1.3.3).
    """
    if written.get("transcode"):
        raise InputError("a transcoder of sparsify, which has no input of its own; name an SAE")
    d_in, d_sae = state["W_enc"].shape
    if state["W_dec"].shape == (d_in, d_sae):
        state["W_dec"] = state["W_dec"].T
    cfg["apply_b_dec_to_input"] = True


def _json(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


@torch.no_grad()
def _saved(name: str, sae: Any, k: int | None) -> SavedSae:
    """Return the inference form of SAELens' SAE."""
    architecture = sae.cfg.architecture()
    if architecture == "matching_pursuit":
        return decoder_only(sae.W_dec.detach().float(), sae.b_dec.detach().float())
    if architecture in ("jumprelu", "standard", "gated") or (
        architecture == "topk" and sae.cfg.rescale_acts_by_decoder_norm
    ):
        sae.fold_W_dec_norm()
    parts = {x: getattr(sae, x).detach().float() for x in FIELDS}
    zero = torch.zeros(len(parts["W_dec"]))
    subtracts = bool(sae.cfg.apply_b_dec_to_input)
    if architecture == "gated":
        scale = sae.r_mag.detach().float().exp()
        b_mag, b_gate = sae.b_mag.detach().float(), sae.b_gate.detach().float()
        parts["W_enc"] = parts["W_enc"] * scale
        return SavedSae(
            **parts, b_enc=b_mag, threshold=b_mag - scale * b_gate, apply_b_dec_to_input=subtracts
        )
    if architecture not in ("jumprelu", "standard", "topk", "abstopk"):
        raise InputError(
            f"{name}: architecture {architecture} has codes that are not computed here; known are "
            "jumprelu, standard, gated, topk and abstopk, and of matching_pursuit the decoder"
        )
    b_enc = sae.b_enc.detach().float()
    saved = SavedSae(**parts, b_enc=b_enc, threshold=zero, apply_b_dec_to_input=subtracts)
    if architecture in ("topk", "abstopk"):
        return replace(saved, form=architecture, k=int(sae.cfg.k))
    if architecture == "standard":
        return saved
    threshold: Tensor = sae.threshold.detach().float()
    # BatchTopK of dictionary_learning notes -1 where the threshold was never set.
    if bool((threshold < 0).all()):
        if k is None:
            raise InputError(
                f"{name}: its threshold was never set, and its files tell no k to keep instead; "
                "name an SAE that was trained to its end"
            )
        return replace(saved, form="topk", k=k)
    return replace(saved, threshold=threshold)


def _check(name: str, sae: SavedSae) -> None:
    """Refuse values that are not finite, and decoder rows of zeros."""
    for part in ("W_dec", "W_enc", "b_enc", "b_dec", "threshold"):
        if bad := int((~getattr(sae, part).isfinite()).sum()):
            raise InputError(f"{name}: {bad} values of {part} are not finite; name another SAE")
    if zeros := int((sae.W_dec.abs().amax(dim=1) == 0).sum()):
        raise InputError(
            f"{name}: {zeros} of {sae.d_sae} decoder rows are zero, which have no direction; name "
            "another SAE"
        )
