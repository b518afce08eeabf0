"""Fixtures that several rooms' tests share."""

from contextlib import chdir
from pathlib import Path

import pytest

import made_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one of pytest's workers, and all of the one Slurm."""
    for item in items:
        slurm = "slurm" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("slurm" if slurm else str(item.path)))


@pytest.fixture(scope="session")
def made_up_study(tmp_path_factory) -> Path:
    """A folder with the results of a made-up study, and its report; not to be changed."""
    from correct_l0.report.build import build_figures, build_page, build_tables, build_verdict

    folder = tmp_path_factory.mktemp("made_up")
    with chdir(folder):
        plan = made_up.plan()
        made_up.write_study(plan)
        results = Path(plan.results)
        build_tables(plan, results / "tables")
        build_verdict(plan, results / "tables", results / "tables" / "verdict.json")
        paths = results / "tables", results / "tables" / "verdict.json"
        build_figures(plan, *paths, results / "figures")
        build_page(plan, *paths, results / "figures", results / "report.html")
    return folder
