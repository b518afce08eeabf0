"""One part of the check, in a process of its own: an error or a hanging device ends it alone."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys

from benchmarks.gpu_check.rows import Report
from benchmarks.gpu_check.shapes import FULL, SMALL

PACKAGES = ("torch", "triton", "numpy", "numba", "transformers", "sae-lens")
"""Named in every row."""


def stamp(device: str) -> dict[str, str]:
    """Return the device and the versions of what matters to its speed."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    found = [f"{package} {version}" for package in PACKAGES if (version := version_of(package))]
    cuda = [f"CUDA {torch.version.cuda}"] if device == "cuda" else []
    return {"device": name + threads, "versions": "; ".join(found + cuda)}


def version_of(package: str) -> str | None:
    """Return an installed package's version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: list[str]) -> int:
    """Run a part: its name, the device, `full` or `small`."""
    name, device, size = arguments
    # Whatever the pipeline prints goes to the log; the rows alone go to the process that asked.
    rows = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        remedy = "install a build for CUDA, or try the check alone: --device cpu --small"
        print(f"torch {torch.__version__} sees no CUDA device; {remedy}", file=sys.stderr)
        return 3
    rows.write(json.dumps({"stamp": stamp(device)}) + "\n")
    rows.flush()
    report = Report(name, rows)
    with report.trying(name):
        part = importlib.import_module(f"benchmarks.gpu_check.{name}")
        part.run(report, FULL if size == "full" else SMALL, device)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
