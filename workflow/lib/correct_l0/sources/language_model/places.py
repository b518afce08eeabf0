"""Where a configuration's local model and text are, and what they hold: identity is content.

Settings that are kept name a local model and text files by digests of what they hold, so that
another spelling of a path or a folder that moved makes nothing anew; their places go beside the
settings. No torch: this runs whenever the workflow is parsed.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_or_empty, sha256_of, write_json
from correct_l0.sources.language_model.model_files import (
    content_files,
    is_local,
    refuse_unlikely_hub_name,
)
from correct_l0.sources.language_model.settings import Activations, Model

DIGEST = "sha256:"
DIGITS = 16
"""Hexadecimal digits of a digest that stand in the settings."""

SLOW_BYTES = 2**30
"""From here on, reading the files for their digests is told: it may take a while."""


@dataclass(frozen=True)
class Places:
    """Where a local model and text are.

    Attributes
    ----------
    model
        The absolute path of the model's folder; empty for a hub name or a package.
    files
        Absolute paths and patterns of text files.
    """

    model: str = ""
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, activations: Activations, base: Path) -> Places:
        """Return where the settings' relative paths lead from a folder, the configuration's.

        Raises
        ------
        InputError
            If the model has a hub name that looks like a folder that is missing.
        """
        files = activations.text.files if activations.text.source == "files" else ()
        model = cls.of_model(activations.model, base).model
        return cls(model, tuple(_absolute(name, base) for name in files))

    @classmethod
    def of_model(cls, model: Model, base: Path) -> Places:
        """Return where the path of a model leads, of a study that has no text.

        Raises
        ------
        InputError
            See `of`.
        """
        if is_local(model.source, base):
            return cls(_absolute(model.source, base))
        refuse_unlikely_hub_name(model.source, base)
        return NOWHERE

    @classmethod
    def from_json(cls, text: str) -> Places:
        """Return what `as_json` wrote."""
        model, files = json.loads(text)
        return cls(model, tuple(files))

    def as_json(self) -> str:
        """Return the places as one string."""
        return json.dumps(list(asdict(self).values()))

    def fill(self, activations: Activations) -> Activations:
        """Return settings with paths where they had digests, or paths of another spelling.

        Raises
        ------
        InputError
            If a pattern matches no file.
        """
        a = activations.model_copy(update={"model": self.fill_model(activations.model)})
        if self.files:
            files = tuple(file for name in self.files for file in _matches(name))
            a = a.model_copy(update={"text": a.text.model_copy(update={"files": files})})
        return a

    def fill_model(self, model: Model) -> Model:
        """Return a model with its path where it had a digest, or a path of another spelling."""
        return model.model_copy(update={"source": self.model}) if self.model else model


NOWHERE = Places()
"""Those of a study without a local path."""


def by_content(activations: Activations, places: Places, memory: Path) -> Activations:
    """Return settings with a digest of what they hold for every local path.

    Parameters
    ----------
    activations
        Settings with paths.
    places
        Where they lead.
    memory
        A file that remembers digests of files by path, size and time.
    """
    a = places.fill(activations)
    texts = [Path(name) for name in a.text.files] if places.files else []
    digests = remembered_digests(texts, memory)
    a = a.model_copy(update={"model": model_by_content(a.model, places, memory)})
    if texts:
        files = tuple(f"{DIGEST}{digests[path][:DIGITS]}" for path in texts)
        a = a.model_copy(update={"text": a.text.model_copy(update={"files": files})})
    return a


def model_by_content(model: Model, places: Places, memory: Path) -> Model:
    """Return a model with a digest of what its folder holds; see `by_content`."""
    if not places.model:
        return model
    folder = Path(places.model)
    digests = remembered_digests(content_files(folder), memory)
    parts = {path.relative_to(folder).as_posix(): digest for path, digest in digests.items()}
    whole = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return model.model_copy(update={"source": f"{DIGEST}{whole[:DIGITS]}"})


def remembered_digests(paths: Iterable[Path], memory: Path) -> dict[Path, str]:
    """Return the sha256 of files; one that is as it was when it was last read is not read again."""
    stats = {path: os.stat(path) for path in paths}
    state = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
    known = read_or_empty(memory) if memory.exists() else {}
    digests = {path: _known(known, path, state[path]) for path in state}
    unread = [path for path, digest in digests.items() if digest is None]
    if sum(stats[path].st_size for path in unread) >= SLOW_BYTES:
        print(f"reading {unread[0].parent} once, to know it again wherever it is", file=sys.stderr)
    fresh = {path: sha256_of(path) for path in unread}
    if fresh:
        entries = {os.path.realpath(path): [*state[path], fresh[path]] for path in fresh}
        # Where nothing can be written they are read again each time.
        with suppress(OSError):
            write_json(memory, {**known, **entries})
    return {path: digest or fresh[path] for path, digest in digests.items()}


def _known(known: Mapping[str, object], path: Path, state: list[int]) -> str | None:
    entry = known.get(os.path.realpath(path))
    if isinstance(entry, list) and entry[:2] == state and len(entry) == 3:
        return str(entry[2])
    return None


def _absolute(path: str, base: Path) -> str:
    return os.path.normpath(base / Path(path).expanduser())


def _matches(name: str) -> list[str]:
    """Return the files that a pattern matches, in order; a plain path, there or not, as it is."""
    if os.path.exists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not found:
        raise InputError(f"text files '{name}': no file matches; correct text.files")
    return found
