"""A Snakemake, or another process, that is run on behalf of a command."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from types import FrameType


def status_of(command: Sequence[str]) -> int:
    """Run a command and return its exit status, whatever asks this process to stop meanwhile.

    What asks this process to stop asks the other one, which ends in its own way; this one waits for
    it. A terminal's Ctrl-C reaches both by itself.
    """
    process: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def hand_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if process is not None and number != signal.SIGINT:
            process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        process = subprocess.Popen(command)
        if asked:
            process.send_signal(asked[-1])
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
