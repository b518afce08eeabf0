"""How the tests run the workflow on the test cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import yaml
from processes import kill, strings_of
from slurm_cluster import Cluster
from workflow_runs import ROOT, tiny_config

L0, SEED = "4", 0
SAE = f"saes/l0_{L0}/seed_{SEED}"
LONG_TRAINING = 1536 * 512
"""Tokens of a training that takes several seconds, so that it can be hit."""

HANGS_S = 900
"""How long what is waited for may take; far more than a slow machine needs."""

# The plugin looks 10 seconds later after each look that finds no finished job.
LOOK_EVERY_SECOND = """
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor as Remote
Remote.next_seconds_between_status_checks = property(lambda self: 1, lambda self, value: None)
main()
"""


def long_config() -> dict[str, Any]:
    """Return the tiny study with one point, a long training and a checkpoint every second."""
    config = tiny_config()
    config["study"] = "long"
    config["saes"].update(l0=[float(L0)], seeds=[SEED], overrides={}, checkpoint_min=1 / 60)
    config["saes"]["training"]["training_tokens"] = LONG_TRAINING
    return config


def prepare(folder: Path, config: dict[str, Any], activations: Path | None = None) -> Path:
    """Make a folder look like a checkout with a configuration of its own, and return it.

    `activations` is the folder of a study whose cache is shared.
    """
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("Snakefile", "workflow", "profiles", "slurm"):
        (folder / name).symlink_to(ROOT / name)
    if activations is not None:
        share_cache(activations, folder)
    return folder


def share_cache(source: Path, folder: Path) -> None:
    """Give a cache's files second names in a folder; logs, which are written in place, are not."""
    cache = source / "results" / "activations"
    for path in cache.rglob("*"):
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts):
            new = folder / "results" / "activations" / path.relative_to(cache)
            new.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, new)


class Run:
    """A `snakemake --profile slurm` under way in a folder.

    It looks every second whether a job has ended, where not `quick` at the plugin's own pace.
    """

    started: ClassVar[list[Run]] = []

    def __init__(self, folder: Path, *arguments: str, quick: bool = True) -> None:
        self.folder = folder
        snakemake = [sys.executable, "-c", LOOK_EVERY_SECOND]
        if not quick:
            snakemake = [str(Path(sys.executable).with_name("snakemake"))]
        command = [*snakemake, "--profile", "slurm", *arguments]
        command += ["--slurm-init-seconds-before-status-checks", "1"]
        self.screen = folder / f"screen_{len(list(folder.glob('screen_*')))}.txt"
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
        with open(self.screen, "w") as screen:
            self.process = subprocess.Popen(
                command,
                stdout=screen,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
                # A shell's background job ignores Ctrl-C, and so would all that it starts.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        self.started.append(self)

    def text(self) -> str:
        """Return what is on the screen so far."""
        return self.screen.read_text()

    def wait(self, seconds: float = HANGS_S) -> int:
        """Return the exit code once the run has ended."""
        return self.process.wait(seconds)

    def succeed(self) -> str:
        """Wait for an end without an error and return what is on the screen."""
        assert self.wait() == 0, self.text() + job_logs(self.folder)
        return self.text()

    def kill(self) -> None:
        """End the run at once, if it is still under way."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    @classmethod
    def kill_all(cls) -> None:
        """End what a test that failed has left under way."""
        while cls.started:
            cls.started.pop().kill()


def job_logs(folder: Path) -> str:
    """Return what Slurm kept of the jobs that failed, and the logs of all jobs."""
    patterns = (".snakemake/slurm_logs/**/*.log", "results/**/logs/**/*.log")
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return "".join(f"\n--- {path}\n{path.read_text()}" for path in found)


def wait_until(find: Callable[[], Any], what: str, seconds: float = HANGS_S) -> Any:
    """Return the first true value of a function; fail if there is none within the time."""
    end = time.monotonic() + seconds
    while not (value := find()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.05)
    return value


def trainings(cluster: Cluster, folder: Path) -> dict[int, str]:
    """Return the training processes of a folder's jobs, with the ids of their Slurm jobs."""
    jobs = [job["id"] for job in cluster.history(folder) if job["state"] == "RUNNING"]
    return {pid: job for job in jobs for pid in cluster.job_processes(job) if _trains(pid)}


def training(cluster: Cluster, run: Run) -> tuple[int, str]:
    """Wait for a training's first checkpoint; return its process, stopped, and its Slurm job."""

    def found() -> dict[int, str]:
        assert run.process.poll() is None, run.text() + job_logs(run.folder)
        saved = [*run.folder.glob("results/*/saes/*/*/checkpoint/index.json")]
        return trainings(cluster, run.folder) if saved else {}

    ((pid, job),) = wait_until(found, "a training with a checkpoint").items()
    kill(pid, signal.SIGSTOP)
    return pid, job


def _trains(pid: int) -> bool:
    """Return whether a process runs a script that trains, rather than the shell around it."""
    return any(part.endswith(".train_points.py") for part in strings_of(pid, "cmdline")[:3])
