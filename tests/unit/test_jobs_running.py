"""Who runs a study: a live process, a killed one, one on another machine."""

import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from correct_l0.jobs.running import NOTE, describe_run, forget_run, note_run


@pytest.fixture
def other(tmp_path):
    """A process of somebody else that runs the study in the folder."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note_run(tmp_path)
    note = json.loads((tmp_path / NOTE).read_text())
    started = psutil.Process(process.pid).create_time()
    note.update(user="alice", process=process.pid, started=started)
    (tmp_path / NOTE).write_text(json.dumps(note))
    yield process
    process.kill()
    process.wait()


def change(folder, **values):
    note = json.loads((folder / NOTE).read_text())
    (folder / NOTE).write_text(json.dumps({**note, **values}))


def test_nobody(tmp_path):
    assert describe_run(tmp_path) is None


def test_oneself_is_nobody_else_and_is_forgotten(tmp_path):
    note_run(tmp_path)
    assert json.loads((tmp_path / NOTE).read_text())["process"] == os.getpid()
    assert describe_run(tmp_path) is None
    forget_run(tmp_path)
    assert not (tmp_path / NOTE).exists()


def test_a_live_process_is_named_and_its_note_stays(tmp_path, other):
    text = describe_run(tmp_path)
    assert f"is being run by alice on {socket.gethostname()} (process {other.pid}, since" in text
    forget_run(tmp_path)
    assert (tmp_path / NOTE).exists()


def test_a_killed_process_is_said_to_be(tmp_path, other):
    other.kill()
    other.wait()
    assert f"was run by alice on {socket.gethostname()}" in describe_run(tmp_path)
    assert "killed" in describe_run(tmp_path)


def test_a_process_number_used_again_is_not_the_run(tmp_path, other):
    change(tmp_path, started=1.0)
    assert "killed" in describe_run(tmp_path)


def test_another_machine(tmp_path, other):
    change(tmp_path, host="login2")
    assert "started by alice on login2" in describe_run(tmp_path)
    assert "cannot be seen from this machine" in describe_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"user": "alice"}'])
def test_a_damaged_note_is_nobody(tmp_path, text):
    (tmp_path / NOTE).write_text(text)
    assert describe_run(tmp_path) is None
    forget_run(tmp_path)
