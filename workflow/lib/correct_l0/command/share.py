"""A folder with a study's SAEs for a model hub: `SAE.from_pretrained` loads them from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from correct_l0 import __version__
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest, read_or_empty
from correct_l0.settings.base import format_l0, plain_name
from correct_l0.study.plan import points_in

COLUMNS = ("SAE", "target L0", "measured L0", "FVU", "dead latents")


@dataclass(frozen=True)
class Shared:
    """An SAE that is shared.

    Attributes
    ----------
    name
        Its folder, SAELens' `sae_id`.
    folder
        Where it was trained.
    facts
        Its manifest.
    cfg
        What SAELens knows of it.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    cfg: dict[str, Any]


def find_saes(results: Path, l0s: Sequence[float] = (), seeds: Sequence[int] = ()) -> list[Shared]:
    """Return the SAEs of a sweep, every file held against its manifest, lowest L0 first.

    Parameters
    ----------
    results
        `results/<study>`, of a study of several sweeps `results/<study>/<sweep>`.
    l0s, seeds
        Those wanted; empty: all.

    Raises
    ------
    InputError
        If there is none, or one is damaged.
    """
    from correct_l0.saes.saved import open_trained_sae

    found = []
    for path in _trained_in(results).glob("l0_*/seed_*/manifest.json"):
        facts = read_manifest(path)
        if (l0s and facts["l0"] not in l0s) or (seeds and facts["seed"] not in seeds):
            continue
        open_trained_sae(path)
        cfg = json.loads((path.parent / "sae" / "cfg.json").read_text())
        name = f"{path.parent.parent.name}/{path.parent.name}"
        found.append(Shared(name, path.parent, facts, cfg))
    if not found:
        of = f" of l0 {', '.join(map(format_l0, l0s))}" if l0s else ""
        of += f" of seed {', '.join(map(str, seeds))}" if seeds else ""
        sweeps = sorted(each.parent.name for each in results.glob("*/saes"))
        remedy = f"name a sweep: {', '.join(sweeps)}" if sweeps else "run the study first"
        raise InputError(f"{results}: no SAE{of} is there; {remedy}")
    return sorted(found, key=lambda sae: (sae.facts["l0_measured"], sae.facts["seed"]))


def _trained_in(results: Path) -> Path:
    """Return the folder of the SAEs that the report is about: of a search the longest trained."""
    settings = read_or_empty(results / "tables" / "manifest.json").get("parameters", "{}")
    factors: list[int] = json.loads(settings).get("saes", {}).get("factors", [])
    return results / points_in("saes", [1, *factors][-1])


def write_shared(saes: Sequence[Shared], results: Path, folder: Path, licence: str = "") -> None:
    """Write the folder: each SAE, the answer's figure, and the card.

    Parameters
    ----------
    saes
        The SAEs.
    results
        Of their sweep.
    folder
        Where it goes; one that is there and not empty is refused.
    licence
        For the card, such as `mit`; empty: left to the person.

    Raises
    ------
    InputError
        If the folder is not empty, or the study has no answer yet.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name another folder, or delete it")
    figure, verdict = results / "figures" / "answer.png", results / "tables" / "verdict.json"
    for path in (figure, verdict):
        if not path.exists():
            raise InputError(f"{path}: missing; run the study to its report first")
    for sae in saes:
        shutil.copytree(sae.folder / "sae", folder / sae.name)
    shutil.copy(figure, folder / "answer.png")
    words = json.loads(verdict.read_text())
    text = card(saes, words, hub_name(folder), licence)
    (folder / "README.md").write_text(text, encoding="utf-8")


def hub_name(folder: Path) -> str:
    """Return what a folder's repository may be called on a hub."""
    return plain_name(folder.absolute().name, "saes")


def card(saes: Sequence[Shared], verdict: dict[str, Any], name: str, licence: str = "") -> str:
    """Return the card: what the SAEs are, what was found about their L0, how they are loaded.

    Parameters
    ----------
    saes
        The SAEs, of one sweep.
    verdict
        What the reading said.
    name
        What the repository is called.
    licence
        Empty: none is named.
    """
    cfg, told = saes[0].cfg, saes[0].cfg["metadata"]
    head: dict[str, Any] = {"library_name": "saelens", "tags": ["sparse-autoencoder", "correct-l0"]}
    if licence:
        head = {"license": licence, **head}
    on = f"`{told['hook_name']}` of {told['model_name']}"
    read = {"files": "text files"}.get(told.get("dataset_path"), told.get("dataset_path"))
    tokens = f"{saes[0].facts['tokens']:,} tokens" + (f" of {read}" if read else "")
    lines = [
        "---", yaml.safe_dump(head, sort_keys=False).rstrip(), "---", "",
        f"# {name}", "",
        f"{len(saes)} sparse autoencoder{'s' * (len(saes) > 1)} on {on}: {cfg['d_sae']:,} latents "
        f"on {cfg['d_in']:,} dimensions, trained as {told['training_architecture']} on {tokens}, "
        f"by correct-l0 {told.get('correct_l0_version', __version__)}.", "",
        "## Which L0", "", verdict["headline"], "",
        *(f"- {line}" for line in (*verdict["lines"], *verdict["stability_lines"])), "",
        *(f"- Against it: {line}" for line in verdict["caveats"]), "",
        "![The measures against L0](answer.png)", "",
        "## The SAEs", "",
        f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}",
        *(_row(sae) for sae in saes), "",
        "L0, FVU and dead latents as measured on held-out tokens.", "",
        "```python", "from sae_lens import SAE", "",
        f'sae = SAE.from_pretrained("<user>/{name}", "{saes[0].name}")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _row(sae: Shared) -> str:
    facts = sae.facts
    numbers = (
        sae.name,
        "–" if facts["l0"] is None else format_l0(facts["l0"]),
        f"{facts['l0_measured']:.4g}",
        f"{facts['fvu']:.4g}",
        str(facts["dead_latents"]),
    )
    return f"| {' | '.join(numbers)} |"
