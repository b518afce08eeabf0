"""What every script of the workflow needs around its work: a log, threads, readable errors."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from correct_l0.errors import DISK_FULL, InputError
from correct_l0.jobs.progress import say_beside

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
"""What keeps Hugging Face's libraries from a hub; to be set before they load."""

ROUNDED = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
"""What has torch round float32 products to TF32 on a GPU, for whoever does not say otherwise; some
containers set it. To be unset before torch is used."""

LONGEST = 300
"""Characters of another's error message that are shown on the screen."""


def prepare_environment(library: str) -> None:
    """Set what the processes of the jobs inherit, here and on cluster nodes.

    Scripts find this package at `library`, and files are UTF-8 whatever the terminal writes;
    libraries that report usage to their makers do not.
    """
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (library, others) if path)
    os.environ.setdefault("PYTHONUTF8", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("WANDB_MODE", "disabled")


def print_what_can_be_printed() -> None:
    """Have a terminal of another encoding than UTF-8 show a question mark, not a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


@contextmanager
def job(
    log_path: str | Path, threads: int | None = None, *, network: bool = False
) -> Iterator[None]:
    """Run a script's body with its output in the log; whatever stops it is one line on the screen.

    Parameters
    ----------
    log_path
        Everything printed, by this process and by libraries in C, goes to this file. The line on
        the screen is its last line too; before it stands the traceback of what is no input error.
    threads
        Threads of torch and of the linear algebra libraries; must be set before they load.
    network
        Whether it may ask a hub; of any other job libraries take what is on this machine, and wait
        for no answer on a node without a network.
    """
    if not network:
        os.environ |= dict.fromkeys(OFFLINE, "1")
    os.environ.pop(ROUNDED, None)
    if threads is not None:
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[variable] = str(threads)
    screen, opened = os.dup(2), False
    try:
        Path(log_path).parent.mkdir(parents=True, exist_ok=True)
        with open(log_path, "w", buffering=1) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        opened = True
        say_beside(log_path)
        yield
    except Exception as error:
        words = f"error: {_words(error, log_path)}"
        os.write(screen, f"{words}\n".encode(errors="replace"))
        if opened:
            # The log may lie on a disk that is full.
            with suppress(OSError):
                if not _is_for_people(error):
                    traceback.print_exc()
                print(words, file=sys.stderr)
        sys.exit(1)
    finally:
        say_beside(None)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os.close(screen)


def _is_for_people(error: Exception) -> bool:
    """Tell whether a person can mend what went wrong without reading a traceback."""
    return isinstance(error, InputError) or getattr(error, "errno", None) in DISK_FULL


def _words(error: Exception, log_path: str | Path) -> str:
    """Return one line on an error."""
    if isinstance(error, InputError):
        return " ".join(str(error).splitlines())
    if _is_for_people(error):
        file = getattr(error, "filename", None) or f"{log_path} or a file beside it"
        return f"{file}: disk full or over quota; free space and run again"
    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ..."
    name = type(error).__name__
    return f"{name}: {text} (log: {log_path})" if text else f"{name} (log: {log_path})"


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
