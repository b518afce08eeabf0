"""A proposal as a file with comments."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from correct_l0.command.proposal import Proposal
from correct_l0.errors import InputError
from correct_l0.study.opened import open_plans


def write_new(config: Path, proposal: Proposal) -> str:
    """Write a configuration with comments; return the line that runs it.

    Raises
    ------
    InputError
        If the file is there, or the settings cannot be used.
    """
    if config.exists():
        raise InputError(f"{config}: is there already; name another file, or delete it")
    open_plans(proposal.settings, config.parent.absolute())
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(_with_comments(proposal, config), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{config}: cannot be written ({error.strerror}); name a file in a folder of yours"
        ) from None
    return f"snakemake --cores all --configfile {shlex.quote(str(config))}"


def _with_comments(proposal: Proposal, config: Path) -> str:
    has_schema = (config.parent / "schema.json").exists()
    lines = ["# yaml-language-server: $schema=schema.json"] if has_schema else []
    lines += [
        "# Written by `correct-l0 new`; every option is explained in config/README.md.",
        f"# What it would run and cost: correct-l0 why --configfile {shlex.quote(str(config))}",
    ]
    section = ""
    for line in yaml.safe_dump(
        proposal.settings, sort_keys=False, default_flow_style=None, width=100
    ).splitlines():
        key = line.strip().partition(":")[0]
        if not line.startswith(" "):
            section = key
            lines += [""] if section != "study" else []
        remark = proposal.remarks.get(f"{key} of {section}", proposal.remarks.get(key, ""))
        lines.append(f"{line}  # {remark}" if remark else line)
    probing = "\n# Off unless named; English tasks.\n# probing: {tasks: default}"
    return "\n".join([*lines, probing, ""])
