"""What the names and the small files of an SAE tell of it, in each layout."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from correct_l0.saes.imported.losses import overlap_loss

WEIGHTS_OF: dict[str, tuple[str, ...]] = {
    "sae_lens": ("/sae_weights.safetensors", "/cfg.json"),
    "gemma_2": ("/params.npz",),
    "gemma_3": ("/params.safetensors", "/config.json"),
    "dictionary_learning_1": ("/ae.pt", "/config.json", "/eval_results.json"),
    "sparsify": ("/sae.safetensors", "/cfg.json"),
    "llama_scope": ("/checkpoints/final.safetensors", "/hyperparams.json"),
    "qwen_scope": ("",),
}
"""What stands behind an SAE's name in the names of its files, by layout: the weights, which tell
the layout, then what may be beside them."""

MAY_BE_MISSING = {"/eval_results.json"}

WIDTHS = {
    "4k": 4096, "16k": 16384, "32k": 32768, "65k": 65536, "131k": 131072, "262k": 262144,
    "524k": 524288, "1m": 1048576,
}  # fmt: skip

FAMILIES = (
    ("matryoshka_batchtopk", r"matryoshka|(?:^|/)mat(?:/|$)"),
    ("batchtopk", r"batch_?-?top_?-?k|(?:^|/)btk(?:/|$)"),
    ("abstopk", r"abs_?top_?k"),
    ("topk", r"top_?-?k"),
    ("jumprelu", r"jump_?-?relu|gemma-scope"),
    ("gated", r"gated"),
    ("p_anneal", r"p_?anneal"),
    ("matching_pursuit", r"matching_?pursuit|(?:^|/)mp(?:/|$)"),
    ("standard", r"standard|vanilla|relu"),
)
"""Architectures by what they are called in names and files; the first that is found."""

D_IN = (
    ("gemma-2-2b", 2304), ("gemma-2-9b", 3584), ("gemma-2-27b", 4608), ("gemma-scope-2b", 2304),
    ("gemma-scope-9b", 3584), ("gemma-scope-27b", 4608), ("pythia-160m", 768),
    ("pythia-70m", 512), ("gpt2", 768), ("llama-3.1-8b", 4096), ("llama3_1-8b", 4096),
    ("synth-sae-bench", 768),
)  # fmt: skip
"""Width of the residual stream by a part of the model's name."""


@dataclass(frozen=True)
class Told:
    """What is told of an SAE; `None` and the empty string where nothing is.

    Attributes
    ----------
    name
        Its name: a folder, or a file where the layout has one file.
    layout
        How it is written.
    files
        Its files, the weights first.
    overlap_loss
        What tells that its loss has a term on the overlap of decoder rows, such as orthogonality;
        empty where files tell that it has none.
    """

    name: str
    layout: str
    files: tuple[str, ...]
    announced: float | None = None
    k: int | None = None
    d_in: int | None = None
    d_sae: int | None = None
    seed: int | None = None
    layer: str = ""
    family: str = ""
    training_steps: int | None = None
    overlap_loss: str | None = None


def recognise(names: Iterable[str], layout: str = "") -> list[Told]:
    """Return the SAEs that files belong to, by the names of their weights.

    Parameters
    ----------
    names
        File names.
    layout
        Where it is known.

    Examples
    --------
    >>> [(x.name, x.layout) for x in recognise(["a/l0_4/params.npz", "a/README.md"])]
    [('a/l0_4', 'gemma_2')]
    """
    there, found = set(names), []
    for name in there:
        for each, (weights, *others) in WEIGHTS_OF.items():
            if layout not in ("", each) or not _has(name, each, weights, layout):
                continue
            folder = name.removesuffix(weights)
            # A listing of a release has the weights alone: what is beside them must be there.
            beside = [folder + x for x in others]
            kept = [x for x in beside if layout or x in there]
            found.append(Told(folder, each, (name, *kept)))
    return sorted(found, key=lambda told: natural(told.name))


def _has(name: str, layout: str, weights: str, known: str) -> bool:
    if layout == "qwen_scope":
        return bool(known) or bool(re.search(r"layer\d+\.sae\.pt$", name))
    return name.endswith(weights)


def natural(name: str) -> tuple[Any, ...]:
    """Return a key that sorts numbers in names as numbers.

    Examples
    --------
    >>> sorted(["l0_100", "l0_20"], key=natural)
    ['l0_20', 'l0_100']
    """
    return tuple((x.isdigit(), int(x) if x.isdigit() else x) for x in re.split(r"(\d+)", name))


def tell(told: Told, read: Callable[[str], Mapping[str, Any]], origin: str) -> Told:
    """Return what files and names tell of an SAE; files have the word where both do.

    Parameters
    ----------
    told
        Name, layout and files.
    read
        The content of a JSON file.
    origin
        The repository.
    """
    files = {x.removeprefix(told.name): read(x) for x in told.files if x.endswith(".json")}
    facts = _of_files(told.layout, files)
    by_name = _of_names(told.name, origin)
    merged = {key: value for key, value in by_name.items() if value not in (None, "")}
    merged |= {key: value for key, value in facts.items() if value not in (None, "")}
    return replace(told, **merged, overlap_loss=overlap_loss(f"{origin}/{told.name}", files))


def _of_names(name: str, origin: str) -> dict[str, Any]:
    path = f"{origin}/{name}"
    l0 = _number(r"average_l0_(\d+)", name) or _number(r"(?<![a-z0-9])l0[-_](\d+(?:\.\d+)?)", path)
    l0 = l0 or _number(r"(?<![a-z0-9])k[-_=](\d+)(?![a-z0-9])", name)
    layer = re.search(r"(?:layers?[-_.]?|blocks\.)(\d+)|-L(\d+)[A-Z]", path)
    site = _site(path)
    seed = _number(r"seed[-_]?(\d+)", name)
    return {
        "announced": l0,
        "layer": f"{next(filter(None, layer.groups()), '') if layer else ''} {site}".strip(),
        "d_sae": _width(path),
        "d_in": next((d for part, d in D_IN if part in path.lower()), None)
        if site in ("", *OTHER_STREAMS) else None,
        "seed": None if seed is None else int(seed),
        "family": family_of(name) or family_of(origin),
    }  # fmt: skip


OTHER_STREAMS = ("resid_pre", "resid_mid")
"""Places of the residual stream that are not the one after a block, which goes without a word."""


def _site(words: str) -> str:
    """Return where in a block an SAE is, empty of the residual stream after it.

    Examples
    --------
    >>> _site("resid_post_layer_8"), _site("attn_out/layer_7"), _site("gemma-scope-2b-pt-att")
    ('', 'attn', 'att')
    """
    sites = ("embedding", "attn", "-att", "mlp", *OTHER_STREAMS)
    return next((x.strip("-") for x in sites if x in words), "")


def family_of(words: str) -> str:
    """Return the architecture that words tell, empty where they tell none.

    Examples
    --------
    >>> family_of("MatryoshkaBatchTopK_pythia"), family_of("btk/l0-15"), family_of("layer_1")
    ('matryoshka_batchtopk', 'batchtopk', '')
    """
    return next((name for name, x in FAMILIES if re.search(x, words, re.IGNORECASE)), "")


def _width(path: str) -> int | None:
    if found := re.search(r"width[-_](\d+(?:k|m))(?![a-z0-9])", path):
        return WIDTHS.get(found[1])
    if found := re.search(r"2pow(\d+)", path):
        return int(2 ** int(found[1]))
    if found := re.search(r"-W(\d+)K-", path):
        return 1024 * int(found[1])
    return None


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.IGNORECASE)
    return float(found[1]) if found else None


def _of_files(layout: str, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    known = {
        "sae_lens": _of_sae_lens, "dictionary_learning_1": _of_dictionary_learning,
        "sparsify": _of_sparsify, "llama_scope": _of_llama_scope, "gemma_3": _of_gemma_3,
    }  # fmt: skip
    return known[layout](files) if layout in known else {}


def _of_sae_lens(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    cfg = files.get("/cfg.json", {})
    metadata = cfg.get("metadata") or {}
    details = metadata.get("training_architecture_details") or {}
    k = cfg.get("k") or (cfg.get("activation_fn_kwargs") or {}).get("k") or details.get("k")
    hook = str(metadata.get("hook_name") or cfg.get("hook_name") or "")
    layer = re.search(r"blocks\.(\d+)\.(.*)", hook)
    of_stream = layer and "resid_post" in layer[2]
    words = str(metadata.get("training_architecture") or cfg.get("architecture") or "")
    return {
        "d_in": cfg.get("d_in"),
        "d_sae": cfg.get("d_sae"),
        "announced": _positive(k),
        "k": _whole(k),
        "family": family_of(words) or words,
        "layer": "" if layer is None else layer[1] if of_stream else f"{layer[1]} {layer[2]}",
    }


def _of_dictionary_learning(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    trainer = files.get("/config.json", {}).get("trainer") or {}
    measured = files.get("/eval_results.json", {}).get("l0")
    words = str(trainer.get("dict_class") or "")
    if "PAnneal" in str(trainer.get("trainer_class")):
        words = "p_anneal"
    k = trainer.get("k")
    return {
        "d_in": trainer.get("activation_dim"),
        "d_sae": trainer.get("dict_size"),
        "announced": _positive(measured) or _positive(k) or _positive(trainer.get("target_l0")),
        "k": _whole(k),
        "seed": _whole(trainer.get("seed")),
        "layer": f"{trainer.get('layer', '')} {_site(str(trainer.get('submodule_name')))}".strip(),
        "family": family_of(words) or ("standard" if words == "AutoEncoder" else ""),
        "training_steps": _whole(trainer.get("steps")),
    }


def _of_sparsify(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    cfg = files.get("/cfg.json", {})
    d_in = cfg.get("d_in")
    wide = cfg.get("num_latents") or (d_in or 0) * cfg.get("expansion_factor", 0) or None
    k = cfg.get("k")
    return {
        "d_in": d_in, "d_sae": wide, "announced": _positive(k), "k": _whole(k), "family": "topk",
    }  # fmt: skip


def _of_llama_scope(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = files.get("/hyperparams.json", {})
    return {"d_in": found.get("d_model"), "d_sae": found.get("d_sae"), "family": "jumprelu"}


def _of_gemma_3(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = files.get("/config.json", {})
    return {"announced": _positive(found.get("l0")), "d_sae": found.get("width"),
            "family": "jumprelu"}  # fmt: skip


def _positive(value: Any) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    return None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value == int(value) else None
