"""Snakemake in forks of one process that has imported it, as imports are most of its time.

As a program it is that process: it reads a request per line, and writes each fork's exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from processes import CUT


class Forks:
    """Runs `python -m snakemake` with some arguments, in a folder, without a network."""

    _parent: subprocess.Popen[str] | None = None

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Return what `subprocess.run` would."""
        if self._parent is None:
            self._parent = subprocess.Popen(
                [*CUT, sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        assert self._parent.stdin is not None and self._parent.stdout is not None
        with tempfile.TemporaryDirectory() as at:
            files = [str(Path(at) / name) for name in ("stdout", "stderr", "imported")]
            request = [*files, str(folder), dict(environment), list(arguments)]
            print(json.dumps(request), file=self._parent.stdin, flush=True)
            code = int(self._parent.stdout.readline())
            said = (Path(path).read_text() for path in files[:2])
            return subprocess.CompletedProcess(arguments, code, *said)


def become_a_fork() -> None:
    """Return in a fork for each request, as a process that `python -m snakemake` has started.

    What one fork had to import is there for the next.
    """
    for line in sys.stdin:
        stdout, stderr, imported, folder, environment, arguments = json.loads(line)
        # Else each fork's collections go through all that is here, for most of its time.
        gc.freeze()
        if pid := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if Path(imported).exists():
                import_all(Path(imported).read_text().split())
            print(code, flush=True)
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for path, to in ((stdout, 1), (stderr, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), to)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[0] = folder
        sys.argv[1:] = arguments
        sys.orig_argv[:] = [sys.executable, "-m", "snakemake", *arguments]
        leave_the_package_to(Path(arguments[arguments.index("--snakefile") + 1]))
        atexit.register(tell_imports, Path(imported), set(sys.modules))
        return
    sys.exit()


def leave_the_package_to(snakefile: Path) -> None:
    """Forget the package, where it is not the one beside a Snakefile."""
    package = sys.modules.get("correct_l0")
    if package and not Path(str(package.__file__)).is_relative_to(snakefile.parent):
        for name in [name for name in sys.modules if name.split(".")[0] == package.__name__]:
            del sys.modules[name]


def tell_imports(path: Path, before: set[str]) -> None:
    """Write which modules are here that were not before."""
    path.write_text("\n".join(sorted(sys.modules.keys() - before)))


def import_all(names: Sequence[str]) -> None:
    """Import modules, those that can be."""
    for name in names:
        # Some are made as Snakemake runs, and are in no file.
        with suppress(Exception):
            importlib.import_module(name)


if __name__ == "__main__":
    from snakemake.cli import get_argument_parser, main

    # It finds all plugins, once in a process.
    get_argument_parser()
    become_a_fork()
    main()
