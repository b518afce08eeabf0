"""TopK SAEs as folders of sparsify, the library of arXiv 2406.04093's open replications.

Its `SparseCoder.load_from_disk` reads what is written here; nothing of it is imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import replacing, write_json

if TYPE_CHECKING:
    from correct_l0.saes.saved import SavedSae

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
"""sparsify's names of the weights; its encoder is the transpose of ours."""
NEEDED: dict[str, Any] = {"activation": "topk", "transcode": False, "skip_connection": False}


def is_sparsify_folder(folder: Path) -> bool:
    """Return whether a folder holds an SAE as sparsify saves it."""
    return (folder / WEIGHTS).exists()


def write_sparsify_sae(folder: Path | str, sae: SavedSae) -> list[Path]:
    """Write a TopK SAE as sparsify does; return the files.

    Raises
    ------
    InputError
        If it is not a TopK SAE that subtracts `b_dec` from its input: sparsify has no other.
    """
    if sae.form != "topk" or not sae.apply_b_dec_to_input:
        form = (
            sae.form if sae.apply_b_dec_to_input else f"{sae.form} that leaves b_dec in its input"
        )
        raise InputError(
            f"{folder}: the SAE is {form}, sparsify's are topk on centred input; export a topk SAE"
        )
    cfg, weights = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    cfg.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        cfg,
        {
            **NEEDED,
            "expansion_factor": 0,
            "num_latents": sae.d_sae,
            "normalize_decoder": True,
            "k": sae.k,
            "multi_topk": False,
            "d_in": sae.d_in,
        },
    )
    values = {theirs: getattr(sae, ours).to("cpu") for theirs, ours in NAMES.items()}
    values["encoder.weight"] = values["encoder.weight"].T
    with replacing(weights) as path:
        save_file({name: value.contiguous() for name, value in values.items()}, path)
        # safetensors makes files that only their owner can read.
        path.chmod(0o644)
    return [cfg, weights]


def read_sparsify_sae(folder: Path, device: str) -> dict[str, Any]:
    """Return the fields of `SavedSae` of an SAE that sparsify saved.

    Raises
    ------
    InputError
        If a file is missing or damaged, or it is no TopK autoencoder.
    """
    try:
        settings = json.loads((folder / CONFIG).read_text())
        found = load_file(folder / WEIGHTS, device=device)
        sae = {ours: found[theirs] for theirs, ours in NAMES.items()}
        k = int(settings["k"])
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: missing; save the SAE again") from None
    except KeyError as error:
        raise InputError(f"{folder}: no {error} of sparsify's; save the SAE again") from None
    except (ValueError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder}: damaged SAE ({error}); save it again") from None
    for name, wanted in NEEDED.items():
        if (value := settings.get(name, wanted)) != wanted:
            raise InputError(
                f"{folder}: {name} is {value!r}, only {wanted!r} is an SAE here; name another"
            )
    sae["W_enc"] = sae["W_enc"].T.contiguous()
    return {**sae, "threshold": torch.zeros_like(sae["b_enc"]), "form": "topk", "k": k}
