"""Compiled loops are kept on disk, and compiled again where what was kept is damaged."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import loops
print(loops.double(21), sum(loops.double.stats.cache_hits.values()))
"""
LOOPS = """
from correct_l0.jobs.compiled import compiled

@compiled
def double(x):
    return 2 * x
"""


def started(folder, script=SCRIPT, **environment):
    """Return a finished process that ran a script in a folder."""
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )


def run(folder):
    """Return what the function gives, and whether it came from the disk."""
    done = started(folder, NUMBA_CACHE_DIR=str(folder / "kept"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    value, hits = map(int, done.stdout.split())
    return value, hits > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "loops.py").write_text(LOOPS)
    assert run(folder) == (42, False)
    return folder


def test_what_is_compiled_is_kept(folder):
    assert run(folder) == (42, True)


@pytest.mark.parametrize("kind", ["nbc", "nbi"])
@pytest.mark.parametrize("bytes_left", [0, 20])
def test_a_torn_file_is_made_anew(folder, kind, bytes_left):
    (path,) = (folder / "kept").rglob(f"*.{kind}")
    os.truncate(path, bytes_left)
    assert run(folder) == (42, False)
    assert run(folder) == (42, True)


NOT_KEPT = (
    "compiled loops cannot be kept: seconds are lost at each start; "
    "set NUMBA_CACHE_DIR to a folder that can be written\n"
)


def without_a_place(folder):
    """Return an environment in which no folder for compiled code can be made, by root neither."""
    (folder / "file").touch()
    inside = str(folder / "file" / "folder")
    names = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "IPYTHONDIR")
    return dict.fromkeys(names, inside)


def test_without_a_place_for_them_loops_are_compiled_each_time(tmp_path):
    (tmp_path / "loops.py").write_text(LOOPS)
    # Where Python keeps its own, beside the code.
    (tmp_path / "__pycache__").touch()
    for _ in range(2):
        done = started(tmp_path, **without_a_place(tmp_path))
        assert (done.returncode, done.stdout, done.stderr) == (0, "42 0\n", NOT_KEPT)


def test_a_place_that_is_lost_after_the_start(tmp_path):
    (tmp_path / "loops.py").write_text(LOOPS)
    script = "import os, shutil, loops\nshutil.rmtree('kept'); open('kept', 'w')\n" + SCRIPT
    done = started(tmp_path, script, NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "42 0\n", NOT_KEPT)


def test_a_torn_file_that_cannot_be_replaced(tmp_path):
    (tmp_path / "loops.py").write_text(LOOPS)
    assert run(tmp_path) == (42, False)
    (index,) = (tmp_path / "kept").rglob("*.nbi")
    index.write_bytes(b"torn")
    full = "import errno, os\ndef replace(*_): raise OSError(errno.ENOSPC, 'full')\n"
    script = f"{full}os.replace = replace\n{SCRIPT}"
    done = started(tmp_path, script, NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "42 0\n", NOT_KEPT)
