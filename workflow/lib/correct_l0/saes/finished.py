"""Trained SAEs that are there: what stands is left, what does not is trained again.

What a training writes is not declared to Snakemake, which therefore never deletes it: not after a
kill that left trainings running, nor after a lost record, nor with a job that failed. The manifest,
written last, says what the files are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.saes.settings import PointJob, recipe_of


def check_trained(job: PointJob, store_digest: str) -> dict[str, Any]:
    """Return the manifest of a trained SAE after holding every file against it.

    Parameters
    ----------
    job
        The point.
    store_digest
        Identifies the activations that it is trained on.

    Raises
    ------
    InputError
        If there is none, or it is of other settings, another seed or other activations, or a file
        is missing or damaged.
    """
    path = job.folder / "manifest.json"
    trained = check_manifest(
        path,
        stage="train_sae",
        recipe=recipe_of(job.settings_json),
        parameters=job.settings_json,
        inputs={"activations": store_digest},
    )
    if trained.get("seed") != job.seed:
        raise InputError(f"{path}: its seed is {trained.get('seed')}; run again")
    return trained


def still_to_train(jobs: Iterable[PointJob], store_digest: str) -> list[PointJob]:
    """Return the points whose SAE is not there as it should be; earlier failures are forgotten.

    Parameters
    ----------
    jobs
        Points.
    store_digest
        Identifies the activations they are trained on.
    """
    rest = []
    for job in jobs:
        (job.folder / "failure.json").unlink(missing_ok=True)
        try:
            check_trained(job, store_digest)
        except InputError as error:
            if (job.folder / "manifest.json").exists():
                print(f"the SAE trained earlier is not used: {str(error).partition(';')[0]}")
            rest.append(job)
        else:
            print(f"{job.folder}: trained earlier with the same settings, seed and activations")
    return rest
