"""A process that is run on behalf of a command ends with it, and keeps its work."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import pathlib, signal, sys, time
def end(number, frame):
    time.sleep(0.6)
    pathlib.Path(sys.argv[1], "saved").write_text(str(number))
    sys.exit(7)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
pathlib.Path(sys.argv[1], "there").touch()
time.sleep(60)
"""
PARENT = (
    "import sys; from correct_l0.jobs.child import status_of; sys.exit(status_of(sys.argv[1:]))"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_stops_a_command_stops_what_it_runs_and_waits_for_it(tmp_path, number):
    command = [sys.executable, "-c", PARENT, sys.executable, "-c", CHILD, str(tmp_path)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while not (tmp_path / "there").exists():
            assert process.poll() is None
            time.sleep(0.02)
        if number == signal.SIGINT:
            # As a terminal does, which asks all that run in it.

            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(30) == 7
        assert (tmp_path / "saved").read_text() == str(int(number))
    finally:
        process.kill()


def test_its_status_is_told():
    command = [sys.executable, "-c", PARENT, sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(command, check=False).returncode == 3
