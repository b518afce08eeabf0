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


def run(folder):
    """Return what the function gives, and whether it came from the disk."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kept")}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
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
