"""Snakemake's private parts: in one file, and of the version that it was checked with."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import fields
from inspect import signature

from snakemake import api
from snakemake.dag import DAG
from snakemake.jobs import GroupJob, Job
from snakemake.rules import Rule
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings.types import DAGSettings, OutputSettings
from snakemake.target_jobs import TargetSpec
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from workflow_runs import ROOT

ENGINE = ROOT / "workflow" / "rules" / "engine.smk"
PRIVATE = re.compile(r"\bworkflow\.(?!basedir\b)(\w+)")


def code_of(path):
    """Return a file's text without comments and strings."""
    return re.sub(r"#.*|\"[^\"\n]*\"", "", path.read_text())


def test_the_version_is_the_one_checked():
    (checked,) = re.findall(r'^CHECKED_WITH = "(.*)"$', ENGINE.read_text(), re.MULTILINE)
    found = importlib.metadata.version("snakemake")
    assert found.rpartition(".")[0] == checked, (
        f"Snakemake is {found}, but {ENGINE.name} was checked with {checked}: run "
        "tests/workflow/test_stale.py and test_groups.py, then change CHECKED_WITH"
    )


def test_they_are_used_in_one_file():
    files = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    files += (ROOT / "workflow").rglob("*.py")
    users = {path.name for path in files if PRIVATE.search(code_of(path))}
    assert users == {ENGINE.name}


def test_they_are_there():
    used = {*PRIVATE.findall(code_of(ENGINE))}
    of_class = {"dryrun", "is_main_process", "overwrite_configfiles", "rules", "workdir_init"}
    assert used == {"dag", "dag_settings", "output_settings", "scheduler", *of_class}
    assert all(isinstance(getattr(api.Workflow, name, None), property) for name in of_class)
    assert {"dag_settings", "output_settings"} <= {field.name for field in fields(api.Workflow)}
    assert "quiet" in {field.name for field in fields(OutputSettings)}
    assert "target_jobs" in {field.name for field in fields(DAGSettings)}
    assert TargetSpec._fields == ("rulename", "wildcards_dict")
    of_dag = {*re.findall(r"workflow\.dag\.(\w+)", ENGINE.read_text())}
    assert of_dag == {"forcefiles", "targetfiles", "targetrules"}
    assert of_dag <= {*DAG.__init__.__code__.co_names}
    assert "failed" in JobScheduler.__init__.__code__.co_names
    assert callable(Job.is_group)
    of_job = {*re.findall(r"\bjob\.(\w+)", code_of(ENGINE))}
    assert of_job == {"rule", "wildcards_dict", "log", "output"}
    assert of_job <= {*dir(Job)}
    assert "jobs" in dir(GroupJob)
    assert [*signature(Rule.set_input).parameters][:2] == ["self", "input"]


def test_what_a_cluster_s_executor_is_told_and_does_is_there():
    reports = {*re.findall(r"\breport_job_\w+", ENGINE.read_text())}
    assert reports == {"report_job_submission", "report_job_success", "report_job_error"}
    for name in reports:
        assert [*signature(getattr(RemoteExecutor, name)).parameters][:2] == ["self", "job_info"]
    assert [*signature(RemoteExecutor.cancel_jobs).parameters] == ["self", "active_jobs"]
    for ending in (RemoteExecutor.cancel, RemoteExecutor.shutdown):
        assert [*signature(ending).parameters] == ["self"]
