"""Finished SAEs, kept where Snakemake does not delete them.

Before it runs a job Snakemake deletes the job's outputs, also where they are whole: after a kill
that left trainings running, after a lost record, in a group whose later job failed. A second name
(hard link) of every file in the undeclared folder `finished/` costs no disk, and makes training the
same SAE again a matter of seconds. Where the file system has no hard links, copies are kept.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import check_manifest, read_manifest
from correct_l0.saes import RECIPE
from correct_l0.saes.settings import PointJob

FOLDER = "finished"
NO_HARD_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links, or with no more for a file, answer."""


def keep_finished(folder: Path | str) -> None:
    """Give a finished SAE's files, its manifest last, a second name in `finished/`."""
    folder = Path(folder)
    names = [*read_manifest(folder / "manifest.json")["outputs"], "manifest.json"]
    try:
        _link(folder, folder / FOLDER, names)
    except OSError as error:
        print(f"no second name for the finished SAE ({error.strerror}); a rerun trains anew")


def still_to_train(jobs: Iterable[PointJob], store_digest: str) -> list[PointJob]:
    """Bring back what was finished earlier; return the other points, their failures forgotten.

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
        if bring_back(
            job.folder,
            recipe=RECIPE,
            parameters=job.settings_json,
            inputs={"activations": store_digest},
            seed=job.seed,
        ):
            print(
                f"{job.folder}: finished earlier with the same settings, seed and activations; "
                "brought back"
            )
        else:
            rest.append(job)
    return rest


def bring_back(
    folder: Path | str, *, recipe: int, parameters: str, inputs: Mapping[str, str], seed: int
) -> bool:
    """Put a finished SAE back in its place, if there is one of the same settings, seed and input.

    Every file is held against its checksum first. The names put back are freshly dated.

    Returns
    -------
    bool
        Whether it was brought back; if not, and something was there, a line says why.
    """
    folder = Path(folder)
    kept = folder / FOLDER / "manifest.json"
    if not kept.exists():
        return False
    try:
        manifest = check_manifest(
            kept, stage="train_sae", recipe=recipe, parameters=parameters, inputs=inputs
        )
    except InputError as error:
        print(f"the SAE finished earlier is not used: {str(error).partition(';')[0]}")
        return False
    if manifest.get("seed") != seed:
        print(f"the SAE finished earlier is not used: its seed is {manifest.get('seed')}")
        return False
    try:
        _link(folder / FOLDER, folder, [*manifest["outputs"], "manifest.json"])
    except OSError as error:
        print(f"the SAE finished earlier could not be brought back: {error.strerror}")
        return False
    return True


def _link(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        new = target / name
        new.parent.mkdir(parents=True, exist_ok=True)
        temporary = new.with_name(f".{new.name}.{socket.gethostname()}.{os.getpid()}.link")
        try:
            os.link(source / name, temporary)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            shutil.copyfile(source / name, temporary)
        os.utime(temporary)
        # Renaming one name of a file over another of the same file leaves both.
        os.replace(temporary, new)
        temporary.unlink(missing_ok=True)
