"""Processes of this machine, as /proc shows them, and ones without a network."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_UNSHARE = ["unshare", "--net", "--map-root-user"]
CUT = [] if subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode else _UNSHARE
"""What is typed before a command to run it where there is no network, not even this machine's own;
nothing where the kernel allows nobody to."""


def pids() -> list[int]:
    """Return all processes."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def strings_of(pid: int, name: str) -> list[str]:
    """Return the strings in a process's `cmdline` or `environ`; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def named(program: str) -> list[int]:
    """Return the processes of a program, such as slurmstepd."""
    # A step calls itself "slurmstepd: [12.batch]".
    first = {pid: "".join(strings_of(pid, "cmdline")[:1]).partition(":")[0] for pid in pids()}
    return [pid for pid, name in first.items() if Path(name).name == program]


def alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits for its parent's notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def kill(pid: int | None, number: int) -> None:
    """Send a signal to a process, if it is there."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
