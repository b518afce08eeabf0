"""Manifests: what a result was made from, and whether it still is what it says."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from correct_l0 import __version__
from correct_l0.errors import InputError

DAMAGED = "damaged, without its inputs or outputs"
PACKAGES: tuple[str, ...] = ("torch", "sae-lens", "transformer-lens", "transformers", "zarr")
PACKAGES += ("sae-probes", "scikit-learn", "numba", "eai-sparsify")


def sha256_of(path: Path | str) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an error.

    A reader sees the old file or the new one, never a torn one. The temporary name keeps the
    suffix and carries machine and process id, so that two writers never share it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{socket.gethostname()}.{os.getpid()}"
    temporary = path.with_name(f".{path.stem}.{writer}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write JSON by temporary name and rename; NaN and infinity are refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def code_version() -> str:
    """Return the package's version, with the git commit where the code runs from a checkout."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__}+{commit}"


def write_manifest(
    path: Path | str,
    *,
    stage: str,
    recipe: int,
    parameters: str,
    inputs: Mapping[str, str],
    outputs: Iterable[Path | str],
    made_by: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Write the manifest of a finished result; the last file a job writes.

    Parameters
    ----------
    path
        The manifest. Its outputs are named relative to its folder.
    stage
        Name of the stage, such as `train_sae`.
    recipe
        The stage's `RECIPE`: a whole number that changes when its numbers do.
    parameters
        Canonical JSON string of the settings (`config.canonical`).
    inputs
        Digest of each input's manifest (`digest_of`), by name.
    outputs
        Files whose sizes and checksums are recorded.
    made_by
        `code_version` and `packages` where the outputs were made before; else those of now.
    **facts
        What else is worth keeping: seed, device, wall time, measurements.
    """
    folder = Path(path).parent
    if made_by is None:
        versions = {name: package_version(name) for name in PACKAGES}
        made_by = {"code_version": code_version(), "packages": versions}
    write_json(
        path,
        {
            "stage": stage,
            "recipe": recipe,
            "parameters": parameters,
            "inputs": dict(inputs),
            "outputs": {
                os.path.relpath(file, folder): {
                    "bytes": os.path.getsize(file),
                    "sha256": sha256_of(file),
                }
                for file in outputs
            },
            **facts,
            **made_by,
        },
    )


def package_version(package: str) -> str | None:
    """Return an installed package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_manifest(path: Path | str, stage: str | None = None) -> dict[str, Any]:
    """Return a manifest.

    Parameters
    ----------
    path
        The manifest.
    stage
        The stage that it has to be of; None: of any.

    Raises
    ------
    InputError
        If it is missing, cannot be read, is not JSON or of another stage.
    """
    try:
        manifest = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: missing; run the job that makes it again") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); let it be read, or delete it and run again"
        ) from None
    except ValueError:
        raise InputError(f"{path}: damaged, not JSON; delete it and run again") from None
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: damaged, not a manifest; delete it and run again")
    if stage is not None and manifest.get("stage") != stage:
        raise InputError(
            f"{path}: stage is {manifest.get('stage')!r}, not {stage!r}; name the manifest.json "
            "of that stage"
        )
    return manifest


def read_or_empty(path: Path | str) -> dict[str, Any]:
    """Return a manifest, empty where it is missing or damaged."""
    try:
        return read_manifest(path)
    except InputError:
        return {}


def digest_of(path: Path | str) -> str:
    """Return what identifies a result: the sha256 over stage, recipe, parameters, inputs, outputs.

    Wall times, versions and the device are left out, so that the same bytes made twice have the
    same digest.
    """
    return digest_of_content(read_manifest(path))


def digest_of_content(manifest: Mapping[str, Any]) -> str:
    """Return `digest_of` of a manifest that is already read."""
    keys = ("stage", "recipe", "parameters", "inputs", "outputs")
    return sha256_of_json({key: manifest.get(key) for key in keys})


def sha256_of_json(content: Any) -> str:
    """Return the sha256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_whole(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a manifest names its inputs, and its outputs with size and checksum."""
    inputs, outputs = manifest.get("inputs"), manifest.get("outputs")
    return (
        isinstance(inputs, dict)
        and isinstance(outputs, dict)
        and all(isinstance(x, dict) and {"bytes", "sha256"} <= x.keys() for x in outputs.values())
    )
