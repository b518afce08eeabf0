"""What every script of the workflow needs around its work: a log, threads, readable errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from correct_l0.errors import DISK_FULL, InputError


def prepare_environment(library: str) -> None:
    """Set what the processes of the jobs inherit, here and on cluster nodes.

    Scripts find this package at `library`; libraries that report usage to their makers do not.
    """
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (library, others) if path)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("WANDB_MODE", "disabled")


@contextmanager
def job(log_path: str | Path, threads: int | None = None) -> Iterator[None]:
    """Run a script's body with its output in the log and its input errors in one line.

    Parameters
    ----------
    log_path
        Everything printed, by this process and by libraries in C, goes to this file; an input
        error goes to the screen too, and so does a full disk.
    threads
        Threads of torch and of the linear algebra libraries; must be set before they load.
    """
    if threads is not None:
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[variable] = str(threads)
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    screen = os.dup(2)
    with open(log_path, "w", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except InputError as error:
            _leave(screen, str(error))
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            file = error.filename or f"{log_path} or a file beside it"
            _leave(screen, f"{file}: disk full or over quota; free space and run again")
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            os.close(screen)


def _leave(screen: int, words: str) -> None:
    """Exit with one line on the screen and in the log, which may lie on a disk that is full."""
    os.write(screen, f"error: {words}\n".encode())
    with suppress(OSError):
        print(f"error: {words}", file=sys.stderr)
    sys.exit(1)


def resolve_device(name: str) -> str:
    """Return the torch device for `auto`, `cpu` or `cuda`.

    Raises
    ------
    InputError
        If `cuda` is asked for and torch finds none.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device 'cuda': torch finds no CUDA device; use 'cpu' or 'auto', "
            "or install a CUDA build of torch"
        )
    return name
