"""What a script's run leaves on the screen and in its log."""

from __future__ import annotations

import subprocess
import sys

REFUSED = """
import sys
from correct_l0.errors import InputError
from correct_l0.jobs.job import job
with job(sys.argv[1]):
    print("on the way", flush=True)
    raise InputError("17 is too many; take 2")
"""


def refused(log) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REFUSED, str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_input_error_is_one_line_on_the_screen_and_in_the_log(tmp_path):
    run = refused(tmp_path / "logs" / "rule.log")
    assert (run.returncode, run.stdout, run.stderr) == (1, "", "error: 17 is too many; take 2\n")
    log = (tmp_path / "logs" / "rule.log").read_text()
    assert log == "on the way\nerror: 17 is too many; take 2\n"


def test_a_full_disk_is_named_on_the_screen_where_the_log_has_no_room():
    run = refused("/dev/full")
    assert run.returncode != 0
    words = "/dev/full or a file beside it: disk full or over quota; free space and run again"
    assert run.stderr == f"error: {words}\n"
