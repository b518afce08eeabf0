"""What a script's run leaves on the screen and in its log."""

from __future__ import annotations

import os
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


def test_float32_products_are_not_rounded_whatever_the_environment_says(tmp_path):
    """torch reads the variable when it is first asked: "high" then stands for TF32."""
    asked = "import torch; print(torch.get_float32_matmul_precision())"
    code = f"import sys; from correct_l0.jobs.job import job\nwith job(sys.argv[1]): {asked}"
    environment = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    for command, expected in ((asked, "high"), (code, "highest")):
        log = tmp_path / "log"
        run = subprocess.run(
            [sys.executable, "-c", command, str(log)],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        assert (run.stdout or log.read_text()).strip() == expected
