"""Checkpoints: on a timer and on a signal, so that training goes on to the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from correct_l0.provenance.manifest import replacing, sha256_of, write_json

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""SIGTERM is sent by Slurm and Snakemake, SIGINT by Ctrl-C, SIGUSR1 by `sbatch --signal`."""


class Checkpoints:
    """The checkpoint of one point: a state file and an index that names it.

    The index is replaced in one step once the state is on disk. A state is used only if the index
    is whole, belongs to the same settings, seed and store, and the state's checksum is right;
    anything else counts as no checkpoint. A writer deletes what it found and what it wrote itself:
    a job whose Snakemake was killed may still write beside the one that replaced it.

    Parameters
    ----------
    folder
        Where they are kept; made at the first save.
    identity
        What the state depends on; JSON values only.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self._found = set(folder.iterdir()) if folder.exists() else set()
        self._states = set(folder.glob("step_*.pt"))

    @property
    def _index(self) -> Path:
        return self.folder / "index.json"

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after `step` steps, then forget the one before it."""
        path = self.folder / f"step_{step}.{socket.gethostname()}.{os.getpid()}.pt"
        with replacing(path) as temporary:
            _save(dict(state), temporary)
            digest = sha256_of(temporary)
        index = {"identity": self.identity, "step": step, "file": path.name}
        write_json(self._index, {**index, "sha256": digest})
        self._delete(self._states - {path})
        self._states = {path}

    def load(self) -> dict[str, Any] | None:
        """Return the last state, on the CPU, or None with a line on why there is none."""
        try:
            index = json.loads(self._index.read_text())
            if index["identity"] != self.identity:
                return self.unused("was made with other settings, seed, activations or code")
            path = self.folder / index["file"]
            if sha256_of(path) != index["sha256"]:
                return self.unused("is damaged")
        except FileNotFoundError:
            return self.unused("is incomplete") if self.folder.exists() else None
        except (ValueError, KeyError, TypeError):
            return self.unused("has an unreadable index")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # Whatever unpickling any bytes may raise.
            return self.unused("is unreadable")

    def unused(self, reason: str) -> dict[str, Any] | None:
        """Say why what is there is not used; return that there is nothing."""
        print(f"checkpoint in {self.folder} {reason}: training starts anew")
        return None

    def clear(self) -> None:
        """Delete the checkpoint, and the folder if nobody else writes there."""
        self._delete({*self._found, *self._states, self._index})
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    @staticmethod
    def _delete(paths: Iterable[Path]) -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _save(state: dict[str, Any], path: Path) -> None:
    """Save a state; torch hides that the disk is full behind an error of its own."""
    before = torch.serialization.get_crc32_options()
    # Torch's own checksums take longer than all else, and the index has a better one.
    torch.serialization.set_crc32_options(False)
    try:
        with open(path, "wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    finally:
        torch.serialization.set_crc32_options(before)


class Interruption:
    """Tells when a checkpoint is due: `with Interruption(seconds) as interruption`.

    Within the block the signals that ask a job to stop are only noted, so that the step under way
    ends and its state can be written.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last = time.monotonic()
        self.signal: int | None = None

    def __enter__(self) -> Interruption:
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number

    def due(self) -> bool:
        """Return whether a checkpoint is due by the timer or a signal; restarts the timer."""
        now = time.monotonic()
        if self.signal is None and now - self._last < self._period_s:
            return False
        self._last = now
        return True

    def leave_if_asked(self) -> None:
        """Exit with 128 + the signal's number, as a shell reports it, if a signal came.

        Raises
        ------
        SystemExit
            If a signal came.
        """
        if self.signal is not None:
            print(f"stopped by {signal.Signals(self.signal).name}; the next run goes on from here")
            raise SystemExit(128 + self.signal)
