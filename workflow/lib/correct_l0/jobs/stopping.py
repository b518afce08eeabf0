"""Ctrl-C: once stops a run, and more of them do no harm."""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType

STOPPING = "Stopping already: jobs leave, trainings with a checkpoint; this takes some seconds.\n"
STOPPED = "Stopped. The same command goes on where this one was."


def stop_once(tells: bool) -> None:
    """Have the first Ctrl-C stop this Snakemake, and further ones do nothing.

    Else the first may be lost, where asyncio takes it for that of a task; and the second ends
    Snakemake while its threads still wait for jobs, in "Cannot close a running event loop". Where
    Ctrl-C means something else than Python makes of it, it is left alone.

    Parameters
    ----------
    tells
        Whether it says so on the screen.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, say_so)
        if tells:
            atexit.register(end)
        raise KeyboardInterrupt

    def say_so(number: int, frame: FrameType | None) -> None:
        # Not printed: printing may be what was interrupted.
        if tells:
            os.write(2, STOPPING.encode())

    def end() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(STOPPED)

    signal.signal(signal.SIGINT, stop)
