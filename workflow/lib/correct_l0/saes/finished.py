"""Trained SAEs that are there, and their taking over.

What a training writes is not declared to Snakemake, which therefore never deletes it: not after a
kill that left trainings running, nor after a lost record, nor with a job that failed. Its record
`trained.json`, written last, says what the files are. The declared `manifest.json` is that record
once more, written after every file was held against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import check_manifest, read_manifest, write_json
from correct_l0.saes import RECIPE
from correct_l0.saes.settings import PointJob

TRAINED = "trained.json"


def check_trained(job: PointJob, store_digest: str) -> dict[str, Any]:
    """Return the record of a trained SAE after holding every file against it.

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
    path = job.folder / TRAINED
    trained = check_manifest(
        path,
        stage="train_sae",
        recipe=RECIPE,
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
            if (job.folder / TRAINED).exists():
                print(f"the SAE trained earlier is not used: {str(error).partition(';')[0]}")
            rest.append(job)
        else:
            print(
                f"{job.folder}: trained earlier with the same settings, seed and activations; "
                "taken over"
            )
    return rest


def seal(folder: Path) -> None:
    """Write the manifest of an SAE that was trained, or found trained, by this job."""
    write_json(folder / "manifest.json", read_manifest(folder / TRAINED))
