"""Files dated in the future are seen before a run, with the line that mends them."""

import os
import subprocess
import time
from contextlib import chdir
from pathlib import Path

import pytest

import made_up
from correct_l0.errors import InputError
from correct_l0.standing.clock import check_dates, read_by_jobs


@pytest.fixture
def study(tmp_path):
    with chdir(tmp_path):
        plan = made_up.plan()
        for path in read_by_jobs(plan):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        yield plan


def set_date(path, seconds):
    os.utime(path, (time.time() + seconds,) * 2)


def mended(plan):
    """Run the command that the error prints."""
    with pytest.raises(InputError) as told:
        check_dates([plan])
    line = str(told.value)
    assert "\n" not in line
    subprocess.run(line.partition("where the clock is right: ")[2], shell=True, check=True)
    check_dates([plan])
    return line


def test_dates_of_now_and_of_a_clock_that_differs_a_little_pass(study):
    set_date(study.source, 30)
    check_dates([study])


@pytest.mark.parametrize("room", ["source", "saes", "decoder_metrics"])
def test_one_file_is_named_with_the_line_that_mends_it(study, room):
    path = Path(study.source if room == "source" else study.manifests(room)[0])
    os.utime(path, (1893499200, 1893499200))
    line = mended(study)
    assert line.startswith(f"{path}: dated 2030-01-01") and line.endswith(f": touch {path}")


def test_many_files_are_mended_by_one_line(study):
    for path in read_by_jobs(study):
        set_date(path, 3600)
    assert f" and {len(read_by_jobs(study)) - 1} more: dated " in mended(study)
