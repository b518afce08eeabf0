"""A logger plugin of Snakemake: what it says of the run and its jobs, as JSON, one event a line.

`snakemake --logger jsonl --logger-jsonl-path FILE`. Snakemake itself prints what it always does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

FIELDS: Mapping[LogEvent, tuple[str, ...]] = {
    LogEvent.WORKFLOW_STARTED: (),
    LogEvent.RUN_INFO: ("stats",),
    LogEvent.JOB_INFO: ("rule_name", "wildcards", "reason"),
}
"""What is told of each kind of event."""


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the plugin."""

    path: Path = field(default=Path("events.jsonl"), metadata={"help": "Where the events go."})


class LogHandler(LogHandlerBase):
    """Writes events as they come; a field that Snakemake does not give is left out."""

    def __post_init__(self) -> None:
        assert isinstance(self.settings, LogHandlerSettings)
        self.baseFilename = str(self.settings.path)
        Path(self.baseFilename).write_text("")

    def emit(self, record: LogRecord) -> None:
        """Write one event."""
        told = vars(record)
        event = told.get("event")
        if isinstance(event, LogEvent) and event in FIELDS:
            values = {name: told[name] for name in FIELDS[event] if name in told}
            with open(self.baseFilename, "a") as file:
                file.write(json.dumps({"event": str(event), **values}, default=str) + "\n")

    writes_to_file = True
    writes_to_stream = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False
