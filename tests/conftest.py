"""Fixtures that several rooms' tests share, and which tests go to which of pytest's workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from filelock import FileLock
from xdist.scheduler import LoadFileScheduling

# As they are imported, by whatever comes first: Triton takes its interpreter in place of a GPU, and
# sparsify none of the kernels that need one.
os.environ |= {"TRITON_INTERPRET": "1", "SPARSIFY_DISABLE_TRITON": "1"}
import made_up

USE_SLURM = ("test_slurm.py", "test_slurm_faults.py", "test_slurm_search.py")


class ByFile(LoadFileScheduling):
    """Gives each worker whole files, and one worker all that share the one Slurm."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "slurm" if file.rpartition("/")[2] in USE_SLURM else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what shares the one Slurm first: it takes longest, and none of it to another worker."""
    items.sort(key=lambda item: item.path.name not in USE_SLURM)


def pytest_xdist_make_scheduler(config, log) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that has a folder filled once for all workers."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def filled(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def made_up_study(shared) -> Path:
    """A folder with the results of a made-up study, and its report; not to be changed."""
    return shared("made_up", fill_with_a_made_up_study)


def fill_with_a_made_up_study(folder: Path) -> None:
    from correct_l0.report.build import build_figures, build_page, build_tables, build_verdict

    with chdir(folder):
        plan = made_up.plan()
        made_up.write_study(plan)
        results = Path(plan.results)
        build_tables(plan, results / "tables")
        build_verdict(plan, results / "tables", results / "tables" / "verdict.json")
        paths = results / "tables", results / "tables" / "verdict.json"
        build_figures(plan, *paths, results / "figures")
        build_page(plan, *paths, results / "figures", results / "report.html")
