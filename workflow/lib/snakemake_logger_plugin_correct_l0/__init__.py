"""A logger plugin of Snakemake: what runs, how far it is, and when the run ends.

The default profile names it. In a terminal a live view stands below the lines of jobs that ended,
in place of Snakemake's own; elsewhere Snakemake's lines stay, and one on the whole run comes every
minute. With `--quiet` of any kind, and in a dry run, it says nothing but what is wrong with a
configuration that Snakemake cannot read.
"""

from __future__ import annotations

import os
import sys
import threading
from argparse import ArgumentParser
from functools import cached_property
from logging import WARNING, LogRecord
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from correct_l0.jobs.watch import Watched

LINE_S = 60.0
"""Seconds between lines where there is no terminal."""

WIDE = 60
"""Columns of a terminal that has room for bars and for what jobs say."""

IN_THE_VIEW = {
    LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.GROUP_INFO,
    LogEvent.PROGRESS, LogEvent.SHELLCMD, LogEvent.RESOURCES_INFO, LogEvent.WORKFLOW_STARTED,
}  # fmt: skip
"""Events whose lines the live view stands for."""

SAID_OF_EACH_ROUND = "Select jobs to execute..."


class LogHandler(LogHandlerBase):
    """Watches the run, and shows it."""

    def __post_init__(self) -> None:
        self._begun = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Any = None
        self._console: Any = None
        plain = self.common_settings
        self._silent = bool(plain.dryrun or plain.quiet)
        wordy = plain.verbose or plain.debug_dag or plain.printshellcmds
        terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shows = terminal and not self._silent and not wordy

    def emit(self, record: LogRecord) -> None:
        """Take up a record; show what is for people."""
        try:
            if not self._silent:
                self._take_up(record)
            if vars(record).get("event") == LogEvent.ERROR:
                _say_what_is_wrong()
        except Exception:
            self.handleError(record)

    def _take_up(self, record: LogRecord) -> None:
        told, event = vars(record), vars(record).get("event")
        self._begun |= event == LogEvent.RUN_INFO or "estimated_s" in told
        # What the Snakefile tells beside Snakemake's own events.
        if "estimated_s" in told:
            self._run.estimated_s = told["estimated_s"]
            return
        ended = self._run.observe(str(event), told) if self._begun else None
        if event == LogEvent.JOB_INFO:
            self._start()
        if not self._shows:
            return
        if ended:
            self._print(f"done: {ended}")
        elif event not in IN_THE_VIEW and not hasattr(record, "quietness"):
            text = self.format(record)
            if text not in ("", "None", SAID_OF_EACH_ROUND):
                self._print(text, "" if record.levelno < WARNING else "red")

    @cached_property
    def _run(self) -> Watched:
        # Not before the Snakefile has named the library that belongs to it.
        from correct_l0.jobs.watch import Watched

        return Watched()

    def _print(self, text: str, style: str = "") -> None:
        if self._live is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._console.print(text, style=style, markup=False, highlight=False)

    def _start(self) -> None:
        """Begin to show the run with its first job."""
        if self._shows and self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._console = Console(stderr=True, no_color=self.common_settings.nocolor or None)
            self._live = Live(
                get_renderable=self._view,
                console=self._console,
                transient=True,
                refresh_per_second=1,
            )
            self._live.start()
        elif not self._shows and self._thread is None:
            self._thread = threading.Thread(target=self._say, daemon=True)
            self._thread.start()

    def _say(self) -> None:
        while not self._ended.wait(LINE_S):
            print(self._run.line(), file=sys.stderr, flush=True)

    def _view(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from correct_l0.jobs.watch import spoken

        table = Table.grid(padding=(0, 1), expand=True)
        wide = self._console.width >= WIDE
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=None if wide else 1)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        if wide:
            table.add_column(width=16)
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        rows = self._run.rows()
        room = max(self._console.height - 4, 1)
        for job, far in rows[:room]:
            if far is None:
                table.add_row(job.name, "", "waiting" if job.waiting else "running")
            else:
                more: list[RenderableType] = []
                if wide:
                    more = [ProgressBar(100, far.percent), far.words]
                table.add_row(job.name, f"{far.percent}%", f"{spoken(far.left_s)} left", *more)
        others = [Text(f"and {len(rows) - room} more")] if len(rows) > room else []
        return Group(Text(self._run.headline(), style="bold"), table, *others)

    def close(self) -> None:
        """Take the view away."""
        self._ended.set()
        if self._live is not None:
            self._live.stop()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it stands in for Snakemake's own lines."""
        return self._shows

    writes_to_file = False
    has_filter = True
    has_formatter = False
    needs_rulegraph = False


def _say_what_is_wrong() -> None:
    """Print a line on each configuration of the command line that cannot be read.

    Snakemake reads them before the Snakefile, and says of most faults neither file nor line.
    """
    from correct_l0.errors import InputError
    from correct_l0.settings.errors import read_yaml

    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=["config/config.yaml"])
    for path in parser.parse_known_args()[0].configfile:
        try:
            read_yaml(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
