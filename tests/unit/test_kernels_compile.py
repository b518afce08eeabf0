"""Every kernel of the package compiles for the cards it is used on, with no card at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CARDS = ("80", "90")
"""An A100's capability and an H100's."""


def test_every_kernel_compiles_for_an_a100_and_an_h100(tmp_path):
    """In a process of its own, as this one's are the interpreter's."""
    # What was compiled before is not found.
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    del environment["TRITON_INTERPRET"]
    command = [sys.executable, str(TESTS / "compile_kernels.py"), *CARDS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kernels"]
    assert found["compiled"] == {name: [f"sm_{c}" for c in CARDS] for name in found["kernels"]}
