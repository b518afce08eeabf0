"""Snakemake in forks of one process that has imported it, as imports are most of a dry run's time.

As a program it is that process: it reads a request per line, and writes each fork's exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


class Forks:
    """Runs `python -m snakemake` with some arguments, in a folder."""

    _parent: subprocess.Popen[str] | None = None

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Return what `subprocess.run` would."""
        if self._parent is None:
            self._parent = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._parent.stdin is not None and self._parent.stdout is not None
        with tempfile.TemporaryDirectory() as at:
            said = [str(Path(at) / name) for name in ("stdout", "stderr")]
            request = [*said, str(folder), dict(environment), list(arguments)]
            print(json.dumps(request), file=self._parent.stdin, flush=True)
            code = int(self._parent.stdout.readline())
            return subprocess.CompletedProcess(
                arguments, code, *(Path(path).read_text() for path in said)
            )


def become_a_fork() -> None:
    """Return in a fork for each request, as a process that `python -m snakemake` has started."""
    for line in sys.stdin:
        if pid := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            print(code, flush=True)
            continue
        stdout, stderr, folder, environment, arguments = json.loads(line)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for path, to in ((stdout, 1), (stderr, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), to)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[0] = folder
        sys.argv[1:] = arguments
        sys.orig_argv[:] = [sys.executable, "-m", "snakemake", *arguments]
        return
    sys.exit()


if __name__ == "__main__":
    from snakemake.cli import main

    become_a_fork()
    main()
