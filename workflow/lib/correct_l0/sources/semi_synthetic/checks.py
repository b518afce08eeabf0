"""What can be said about the SAE and the cache of a source in a moment. No torch."""

from __future__ import annotations

from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest
from correct_l0.sources.semi_synthetic.settings import SAE_FILES, SemiSynthetic


def check_semi_synthetic(wanted: SemiSynthetic, study_folder: Path | str) -> None:
    """Check the SAE and the cache that a configuration names.

    Parameters
    ----------
    wanted
        The settings.
    study_folder
        The study's own folder, in which the SAE must not be.

    Raises
    ------
    InputError
        Naming the value, the limit and the remedy.
    """
    folder, manifest = Path(wanted.sae), Path(wanted.activations)
    for name in SAE_FILES:
        if not (folder / name).is_file():
            raise InputError(
                f"semi_synthetic.sae: {folder / name} is missing; name a folder with "
                f"{' and '.join(SAE_FILES)}"
            )
    if folder.resolve().is_relative_to(Path(study_folder).resolve()):
        raise InputError(
            f"semi_synthetic.sae: {folder} is in the study's own folder, where its own SAEs go; "
            "give the study another name"
        )
    if not manifest.is_file():
        raise InputError(
            f"semi_synthetic.activations: {manifest} is missing; name the manifest.json of a "
            "sealed activation cache"
        )
    stage = read_manifest(manifest).get("stage")
    if stage != "seal_activations":
        raise InputError(
            f"semi_synthetic.activations: stage of {manifest} is {stage!r}, not "
            "'seal_activations'; name the manifest.json of a sealed activation cache"
        )
    settings = read_manifest(folder / "cfg.json")
    cache = wanted.cache
    if settings.get("d_in") != cache.d_in:
        raise InputError(
            f"semi_synthetic: {folder} takes activations {settings.get('d_in')} wide, "
            f"{manifest} holds {cache.d_in} wide ones; name the cache it was trained on"
        )
    if settings.get("architecture") == "abstopk":
        raise InputError(
            f"semi_synthetic.sae: latents of {folder}, an abstopk SAE, fire with either sign, "
            "which is no feature; name a jumprelu or topk SAE"
        )
    if wanted.held_out_tokens > cache.held_out_tokens:
        raise InputError(
            f"semi_synthetic.held_out_tokens {wanted.held_out_tokens} is above the "
            f"{cache.held_out_tokens} held-out tokens of {manifest}; lower it"
        )
