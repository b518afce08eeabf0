"""What is there to compare: the comparisons of every module of this folder, and their stamp."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from comparison import Comparison
from result_tables import UNKNOWN

HERE = Path(__file__).parent
ROOT = HERE.parent
# A module may import this folder's files by either name.
sys.path.append(str(ROOT))
PACKAGES = (
    *("torch", "sae-lens", "sae-probes", "eai-sparsify", "transformer-lens"),
    *("scikit-learn", "numba", "numpy", "zarr"),
)
"""Named in every row."""

STUDY = "default-study"
"""The comparison of whole studies, which `study.py` measures."""


def modules() -> list[str]:
    """Return the modules of this folder that list comparisons."""
    listing = re.compile(r"^COMPARISONS\b", re.MULTILINE)
    return sorted(path.stem for path in HERE.glob("*.py") if listing.search(path.read_text()))


def of_module(module: str) -> list[Comparison]:
    """Return the comparisons of a module."""
    return list(importlib.import_module(module).COMPARISONS)


def everything() -> Iterator[tuple[str, Comparison]]:
    """Yield (module, comparison) for all of them."""
    for module in modules():
        for comparison in of_module(module):
            yield module, comparison


def order() -> list[str]:
    """Return the names of all comparisons, the whole study first: the order of the tables."""
    return [STUDY, *(comparison.name for _, comparison in everything())]


def named(module: str, name: str) -> Comparison:
    """Return a comparison by name."""
    return next(comparison for comparison in of_module(module) if comparison.name == name)


def locked_versions() -> dict[str, str]:
    """Return the version of each package pinned in envs/requirements*.lock."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "envs").glob("*.lock")))
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))


def version(package: str) -> str:
    """Return the installed version of a package, without the build."""
    return importlib.metadata.version(package).split("+")[0]


def stamp() -> dict[str, str]:
    """Return where, when and with what is being measured."""
    return {
        "machine": _cpu(),
        "cores": str(cores()),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "versions": "; ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found.group(1).split()) if found else platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit, with a plus where the measured code differs from it."""
    try:
        name = _git("rev-parse", "--short=10", "HEAD").strip()
        changed = _git("status", "--porcelain", "--", "workflow", "benchmarks/*.py")
        return name + ("+" if changed.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
