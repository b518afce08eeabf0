"""Who is running a study, for the second person who starts it; why its jobs failed."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import psutil

from correct_l0.provenance.manifest import write_json

NOTE = "running.json"


def note_run(results: Path | str) -> None:
    """Write down that this process runs the study whose results are in a folder."""
    me = psutil.Process()
    write_json(
        Path(results) / NOTE,
        {
            "user": _user(),
            "host": socket.gethostname(),
            "process": me.pid,
            "started": me.create_time(),
        },
    )


def forget_run(results: Path | str) -> None:
    """Remove the note, if it is this process's."""
    path = Path(results) / NOTE
    if _read(path).get("process") == os.getpid():
        path.unlink(missing_ok=True)


def describe_run(results: Path | str) -> str | None:
    """Return who else runs the study, None where nobody is known to.

    A run that ends takes its note along, also when it fails or is stopped: the note of a process
    that is gone is that of a killed one. Whether one on another machine has ended cannot be seen
    from here, which the text says.
    """
    note = _read(Path(results) / NOTE)
    if not note or note["process"] == os.getpid():
        return None
    start = datetime.fromtimestamp(note["started"]).strftime("%Y-%m-%d %H:%M")
    who = f"{note['user']} on {note['host']} (process {note['process']}, since {start})"
    if note["host"] != socket.gethostname():
        return f"was started by {who}; whether that run goes on cannot be seen from this machine"
    try:
        alive = abs(psutil.Process(note["process"]).create_time() - note["started"]) < 1
    except psutil.Error:
        alive = False
    if alive:
        return f"is being run by {who}"
    return (
        f"was run by {who}, which was killed; where the folder is locked, see that its jobs have "
        "ended too, then --unlock"
    )


def started(results: Path | str) -> float:
    """Return when the run of a study began, as files are dated; 0 where there is no note of it."""
    note = Path(results) / NOTE
    return note.stat().st_mtime if note.exists() else 0.0


WITHOUT_A_WORD = "ended without a word"
"""What is said of a failed job that left no reason."""


def why_failed(name: str, logs: Iterable[str | Path], results: Path | str) -> str:
    """Return the line that a failed job left in its log, as it stood on the screen.

    Parameters
    ----------
    name
        The job, for one that could not say anything.
    logs
        Its logs; one that is older than the note of the run is of another run.
    results
        The study's results.
    """
    since = started(results)
    found = [path for path in map(Path, logs) if path.exists() and path.stat().st_mtime >= since]
    lines = [line for path in found for line in path.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    where = f"log: {found[0]}" if found else "it left no log"
    return f"error: {name}: {WITHOUT_A_WORD}, killed or out of memory or time ({where})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as in some containers.
        return str(os.getuid())


def _read(path: Path) -> dict:
    """Return a note; a missing or damaged one, of no use to anybody, is empty."""
    try:
        note = json.loads(path.read_text())
        return note if {"user", "host", "process", "started"} <= note.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}
