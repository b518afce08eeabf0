"""Points of imported SAEs: the same folder as a trained one has, converted and measured."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import torch

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import write_json, write_manifest
from correct_l0.saes import RECIPE
from correct_l0.saes.imported import MOST_OFF
from correct_l0.saes.imported.fetch import Fetched
from correct_l0.saes.imported.load import load_imported
from correct_l0.saes.imported.settings import FoundSae
from correct_l0.saes.saved import DECODER, SavedSae, load_saved_sae, write_saved_sae
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training import evaluate
from correct_l0.saes.training.result import scale_of
from correct_l0.sources import Source


def import_points(
    jobs: Sequence[PointJob], fetched: Fetched, store: Source, device: str
) -> dict[PointJob, InputError]:
    """Write the folders of imported SAEs; return those that failed, and why.

    Parameters
    ----------
    jobs
        The points.
    fetched
        Their weights.
    store
        What they are measured on; where no rows are held out, nothing is measured.
    device
        `cpu` or `cuda`.
    """
    failed = {}
    for job in jobs:
        try:
            _import(job, fetched, store, device)
        except InputError as error:
            failed[job] = error
            write_json(job.folder / "failure.json", {"reason": str(error)})
            print(f"{job.folder}: {error}", flush=True)
    return failed


def _import(job: PointJob, fetched: Fetched, store: Source, device: str) -> None:
    start = time.perf_counter()
    settings = json.loads(job.settings_json)
    sweep = fetched.sweep
    found = next(x for x in sweep.of_l0(float(settings["l0"])) if x.seed == job.seed)
    told = fetched.facts(found)
    sae, facts = load_imported(found.name, found.layout, sweep.origin, fetched.find, k=told["k"])
    if (sae.d_in, sae.d_sae) != (sweep.d_in, sweep.d_sae):
        raise InputError(
            f"{found.name}: {sae.d_sae} latents of {sae.d_in} dimensions, not {sweep.d_sae} of "
            f"{sweep.d_in} as told; correct saes.import.d_in and d_sae"
        )
    metadata = {key: facts[key] for key in ("model_name", "hook_name", "context_size")}
    files = write_saved_sae(job.folder / "sae", sae, {**metadata, "imported_from": found.name})
    # As it is read again, where it is used; of weights alone no second copy is held.
    saved = load_saved_sae(job.folder / "sae", device) if store.n_held_out else sae
    measured = _measured(saved, found, told, facts, store, device)
    write_manifest(
        job.folder / "manifest.json",
        stage="train_sae",
        recipe=RECIPE,
        parameters=job.settings_json,
        inputs={"activations": store.digest},
        outputs=files,
        seed=job.seed,
        l0=settings["l0"],
        l0_announced=told["announced"],
        imported_from=found.name,
        origin=sweep.origin,
        commit=fetched.commit,
        layout=found.layout,
        weights=told["files"][found.files[0]]["sha256"],
        architecture=sweep.family,
        form=sae.form,
        d_in=sae.d_in,
        d_sae=sae.d_sae,
        unit_norm=facts["unit_norm"],
        training_steps=told["training_steps"],
        overlap_loss=told["overlap_loss"],
        **measured,
        wall_s=round(time.perf_counter() - start, 3),
        device=device,
        threads=torch.get_num_threads(),
    )
    print(f"{found.name}: imported, L0 {measured['l0_measured']:.4g}", flush=True)


def _measured(
    sae: SavedSae,
    found: FoundSae,
    told: dict[str, Any],
    facts: dict[str, Any],
    store: Source,
    device: str,
) -> dict[str, Any]:
    """Return what the SAE does on held-out rows, its L0 held against the announced one.

    Raises
    ------
    InputError
        If the two differ by more than `MOST_OFF`, or neither is known.
    """
    announced = told["announced"]
    if not store.n_held_out:
        if announced is None:
            raise InputError(
                f"{found.name}: its L0 is not told by its names and files, and there are no "
                "activations to measure it on; add it to saes.import.l0, or name a cache"
            )
        return {"l0_measured": announced}
    if store.d_in != sae.d_in:
        raise InputError(
            f"{found.name}: it takes activations {sae.d_in} wide, the source's are {store.d_in} "
            "wide; name a source of the hook that it was trained on"
        )
    if sae.form == DECODER:
        raise InputError(
            f"{found.name}: its latents are found one by one, by matching pursuit, which is not "
            "done here; leave the source out to read c_dec alone"
        )
    if facts["normalised"] not in ("none", "None"):
        raise InputError(
            f"{found.name}: normalize_activations is {facts['normalised']!r}, and the scale of its "
            "training is not told; leave the source out to read c_dec alone"
        )
    scale = scale_of(store)
    measured = evaluate.measure(sae, evaluate.held_out_chunks(store, 1, device), scale)
    if announced and abs(measured["l0_measured"] / announced - 1) > MOST_OFF:
        hook = store.metadata.get("hook_name")
        raise InputError(
            f"{found.name}: L0 {measured['l0_measured']:.4g} measured on the source, "
            f"{announced:.4g} announced, more than {MOST_OFF:.0%} apart; suspects: the hook (the "
            f"SAE's {facts['hook_name']}, the source's {hook}), the first token (kept in one, "
            "dropped in the other), the scale of the activations, the activation function "
            f"({sae.form})"
        )
    return {**measured, "activation_scale": scale}
