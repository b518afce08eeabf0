"""One set of versions: the lock, the conda file, the Makefile and pyproject say the same."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]


def pins(lock: str = "requirements.lock") -> dict[str, str]:
    lines = (ROOT / "envs" / lock).read_text().splitlines()
    found = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", "\n".join(lines), re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    (torch,) = re.findall(r"^TORCH_VERSION := (\S+)$", makefile, re.MULTILINE)
    return {**found, "torch": torch}


def test_the_conda_file_mirrors_the_lock():
    environment = yaml.safe_load((ROOT / "envs" / "environment.yaml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    mirrored = dict(line.split("==") for line in pip)
    assert mirrored == {name: pins().get(name) for name in mirrored}
    assert len(mirrored) > 15


def test_the_lock_meets_the_declared_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for line in (line for group in groups for line in group):
        requirement = Requirement(line)
        assert pins()[requirement.name] in requirement.specifier, line


def test_no_cuda_package_is_locked():
    assert not [name for name in pins() if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_every_package_runs_on_the_oldest_python_that_is_promised():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    asked = {
        each.metadata["Name"].lower(): each.metadata["Requires-Python"] for each in distributions()
    }
    packages = {
        name.lower() for name in (*pins(), *pins("requirements-dev.lock")) if name.lower() in asked
    }
    assert len(packages) > 150
    assert not {x: asked[x] for x in packages if asked[x] and oldest not in SpecifierSet(asked[x])}
