"""Who is running a study: for the second person who starts it, and for whoever finds a lock."""

from __future__ import annotations

import getpass
import json
import os
import socket
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
