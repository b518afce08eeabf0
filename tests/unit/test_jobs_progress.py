"""What a job says of how far it is, and what is made of it for who watches the run."""

import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_correct_l0 as plugin
from correct_l0.jobs import progress as progress_module
from correct_l0.jobs.progress import HowFar, Progress, file_beside, parse, read_beside, say_beside
from correct_l0.jobs.watch import Watched


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def lines_of_a_job(capsys, seconds, units):
    """Return the lines of a job that does one unit after another in so many seconds in all."""
    clock = Clock()
    progress = Progress(units, "tokens", clock=clock)
    for done in range(1, units + 1):
        clock.now = seconds * done / units
        progress.add(1)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("seconds", "lines"),
    # Under a minute none; of ten minutes one a minute; of ten hours one a percent.
    [(59, 0), (600, 10), (36_000, 100)],
)
def test_a_log_gets_a_line_a_minute_or_a_percent_whichever_is_rarer(capsys, seconds, lines):
    printed = lines_of_a_job(capsys, seconds, 2000)
    assert len(printed) == lines
    assert all(parse(line) for line in printed)


def test_the_first_units_say_nothing_of_the_time_left(tmp_path):
    """The first of 10,000 took 3 s, as a model warms up; 0.7 s later 1% is done."""
    log = tmp_path / "rule.log"
    say_beside(log)
    try:
        clock = Clock()
        progress = Progress(12_000, "prompts", clock=clock)
        progress.keep(2000)
        clock.now = 3.0
        progress.add(1)
        assert read_beside(log) is None
        clock.now = 3.7
        progress.add(99)
        assert read_beside(log).left_s == 366  # 9,900 at 100 in 3.7 s
        clock.now = 0.0
        slow = Progress(10_000, "steps", clock=clock)
        clock.now = 61.0
        slow.add(1)
        assert read_beside(log).left_s == 9_999 * 61
    finally:
        say_beside(None)


def test_time_left_leaves_out_what_an_earlier_run_did(capsys):
    clock = Clock()
    progress = Progress(1000, "steps", clock=clock)
    progress.keep(500)
    clock.now = 100.0
    # 250 steps took 100 s, 250 are left.
    progress.add(250, lambda: "L0 4")
    assert capsys.readouterr().out == "75% done, 0:01:40 left: L0 4\n"


def test_days_are_read_back():
    far = HowFar(1, 2 * 86_400 + 3661, "step 1 of 100")
    assert str(far) == "1% done, 2 days, 1:01:01 left: step 1 of 100"
    assert parse(str(far)) == far


def test_the_file_beside_a_log_is_there_while_the_job_runs(tmp_path):
    log = tmp_path / "rule.log"
    file_beside(log).write_text("99% done, 0:00:01 left: of a job that was killed")
    say_beside(log)
    try:
        assert read_beside(log) is None
        clock = Clock()
        progress = Progress(10, "tokens", clock=clock)
        clock.now = 5.0
        progress.add(5)
        assert read_beside(log) == HowFar(50, 5.0, "5 of 10 tokens, 1 a second")
        # Written again only after a while.
        clock.now = 6.0
        progress.add(1)
        assert read_beside(log).percent == 50
    finally:
        say_beside(None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_stops_no_job(tmp_path):
    say_beside(tmp_path / "gone" / "rule.log")
    try:
        Progress(10, "tokens").add(1)
    finally:
        say_beside(None)


def test_a_count_costs_less_than_two_microseconds():
    progress = Progress(10**9, "steps")
    progress.add(1)
    started = time.process_time()
    for _ in range(100_000):
        progress.add(1)
    assert time.process_time() - started < 0.2


def job(number, log, *, local=True, rule="train_points"):
    return {
        "jobid": number,
        "rule_name": rule,
        "wildcards": {"results": "results/mine/wide", "seed": "0"},
        "log": [str(log)],
        "local": local,
    }


class TestWatched:
    def test_a_job_in_a_queue_waits_until_its_log_begins(self, tmp_path):
        log, now = tmp_path / "a.log", time.time()
        log.write_text("of an earlier run")
        os.utime(log, (now - 100, now - 100))
        run = Watched()
        run.observe("run_info", {"stats": {"train_points": 2, "total": 2}}, now)
        run.observe("job_info", job(1, log, local=False), now)
        assert run.headline(now).startswith("0 of 2 jobs done, 0 running, 1 waiting")
        os.utime(log, (now + 60, now + 60))
        file_beside(log).write_text("25% done, 0:05:00 left: step 1 of 4")
        ((shown, far),) = run.rows()
        assert (shown.name, far) == ("train_points wide seed 0", HowFar(25, 300.0, "step 1 of 4"))
        assert run.line().endswith("; train_points wide seed 0 25% done, 0:05:00 left: step 1 of 4")

    def test_an_attempt_after_a_failure_is_no_second_job(self, tmp_path):
        run = Watched()
        run.observe("run_info", {"stats": {"train_points": 3, "total": 3}}, 0)
        run.estimated_s = {"train_points": 100.0}
        run.observe("job_info", job(1, tmp_path / "a.log"), 0)
        run.observe("job_error", {"jobid": 1}, 50)
        assert run.running == {}
        run.observe("job_info", job(1, tmp_path / "a.log"), 50)
        # This one and two to come, one at a time.
        assert run.ends_in_s(50) == 300.0


def handler(monkeypatch, *, terminal=False, **settings):
    """Return the plugin's handler, in a terminal or not."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shared = dict.fromkeys(
        (
            "printshellcmds",
            "nocolor",
            "debug_dag",
            "verbose",
            "show_failed_logs",
            "stdout",
            "dryrun",
        ),
        False,
    )
    return plugin.LogHandler(SimpleNamespace(**{**shared, "quiet": None, **settings}), None)


def record(event=None, message=None, level=logging.INFO, **told):
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    vars(made).update(told, **({"event": event} if event else {}))
    return made


def run_of_one(tmp_path):
    log = tmp_path / "a.log"
    return [
        record(LogEvent.RUN_INFO, "Job stats:\n...", stats={"train_points": 1, "total": 1}),
        record(estimated_s={"train_points": 60.0}),
        record(LogEvent.JOB_INFO, " Rule: train_points", **job(1, log)),
        record(LogEvent.JOB_FINISHED, "Finished jobid: 1", job_id=1),
        record(message="warning: something", level=logging.WARNING),
    ]


class TestPlugin:
    def test_without_a_terminal_snakemakes_lines_stay_and_one_comes_now_and_then(
        self, monkeypatch, capsys, tmp_path
    ):
        monkeypatch.setattr(plugin, "LINE_S", 0.01)
        shown = handler(monkeypatch)
        assert not shown.writes_to_stream
        for each in run_of_one(tmp_path)[:3]:
            shown.emit(each)
        time.sleep(0.2)
        shown.close()
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("0 of 1 jobs done, 1 running, ends in about 60 s (")

    @pytest.mark.parametrize("settings", [{"quiet": {"rules"}}, {"dryrun": True}])
    @pytest.mark.parametrize("terminal", [False, True])
    def test_where_it_is_not_wanted_it_says_nothing(
        self, monkeypatch, capsys, tmp_path, settings, terminal
    ):
        monkeypatch.setattr(plugin, "LINE_S", 0.01)
        shown = handler(monkeypatch, terminal=terminal, **settings)
        assert not shown.writes_to_stream
        for each in run_of_one(tmp_path):
            shown.emit(each)
        time.sleep(0.1)
        shown.close()
        assert capsys.readouterr().err == ""

    def test_in_a_terminal_lines_of_ended_jobs_and_warnings_stand_above_the_view(
        self, monkeypatch, capsys, tmp_path
    ):
        shown = handler(monkeypatch, terminal=True)
        assert shown.writes_to_stream
        shown.setFormatter(logging.Formatter("%(message)s"))
        for each in run_of_one(tmp_path):
            shown.emit(each)
        shown.close()
        printed = capsys.readouterr().err
        assert "done: train_points wide seed 0 (" in printed
        assert "warning: something" in printed
        assert "Finished jobid" not in printed
        assert "Job stats:" in printed

    @pytest.mark.parametrize(
        ("width", "name", "far"),
        [
            (100, "train_points wide seed 0 ", "25% 5 min left ━━━━ step 1 of 4"),
            (40, "train_points wide seed 0 ", "25% 5 min left"),
            (30, "train_points w… ", "25% 5 min left"),
        ],
    )
    def test_the_view_names_jobs_and_how_far_they_are(
        self, monkeypatch, tmp_path, width, name, far
    ):
        from rich.console import Console

        shown = handler(monkeypatch, terminal=True)
        for each in run_of_one(tmp_path)[:2]:
            shown._run.observe(str(vars(each).get("event")), vars(each))
        log = tmp_path / "a.log"
        shown._run.observe("job_info", job(1, log))
        file_beside(log).write_text("25% done, 0:05:00 left: step 1 of 4")
        shown._console = Console(width=width, height=20)
        with shown._console.capture() as captured:
            shown._console.print(shown._view())
        *headline, line = captured.get().splitlines()
        told = " ".join(map(str.strip, headline))
        assert told.startswith("0 of 1 jobs done, 1 running, ends in about 5 min")
        assert line.startswith(name)
        assert " ".join(line.removeprefix(name).replace("╺", " ").split()) == far

    def test_a_wish_for_no_colour_is_kept(self, monkeypatch, tmp_path):
        """Of the environment, not only of Snakemake's own option."""
        monkeypatch.setenv("NO_COLOR", "1")
        shown = handler(monkeypatch, terminal=True)
        for each in run_of_one(tmp_path)[:3]:
            shown.emit(each)
        assert shown._console.no_color
        shown.close()


def test_the_plugin_loads_without_torch_and_rich():
    code = (
        "import sys, snakemake_logger_plugin_correct_l0;"
        "print(sorted({'torch', 'rich', 'pandas'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_job_leaves_no_file_behind(tmp_path):
    code = """
import sys
from correct_l0.jobs.job import job
from correct_l0.jobs.progress import Progress, file_beside
with job(sys.argv[1]):
    Progress(2, "tokens").add(1)
    assert file_beside(sys.argv[1]).exists()
"""
    log = tmp_path / "rule.log"
    subprocess.run([sys.executable, "-c", code, str(log)], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rule.log"]
    assert progress_module._file is None
