"""A Slurm cluster on this machine, for tests: one node, two fake GPUs, no accounting.

    python tests/workflow/slurm_cluster.py start FOLDER
    python tests/workflow/slurm_cluster.py stop FOLDER

Needs root and the Debian packages in `PACKAGES`. Jobs are really queued, scheduled, cancelled and
timed out; GPUs are character devices that nothing opens. Not covered: memory limits, CUDA, sacct.
One such cluster fits on a machine, as its programs read /etc/slurm.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
INSTALL = f"apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
DAEMONS = ("munged", "slurmctld", "slurmd", "slurmstepd")
NODE = "n1"
NAME = "correct-l0-test"
PORT = 16817
ETC = Path("/etc/slurm")

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=2
GresTypes=gpu
ReturnToService=2
MinJobAge=600
KillWait=5
OverTimeLimit=0
InactiveLimit=0
SlurmctldTimeout=60
SlurmdTimeout=10
Waittime=0
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=64000 \
Gres=gpu:fake:2 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=UNLIMITED DefMemPerCPU=500 State=UP
PartitionName=gpu Nodes=ALL MaxTime=UNLIMITED DefMemPerCPU=500 State=UP
"""

GRES_CONF = """\
NodeName={node} Name=gpu Type=fake File=/dev/null Count=1
NodeName={node} Name=gpu Type=fake File=/dev/zero Count=1
"""


class Cluster:
    """A running cluster; its `start` empties what an earlier one left in the folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).resolve()
        self.host = socket.gethostname().split(".")[0]

    def start(self) -> None:
        """Write the configuration, start the three daemons, wait until the node is idle.

        What a failed start has begun is stopped again.

        Raises
        ------
        RuntimeError
            If a package is missing, with the line that installs it; without root's rights; if
            this machine has a Slurm already; if the node does not come up.
        """
        missing = [d for d in ("munged", "slurmctld", "slurmd", "sbatch") if not _which(d)]
        if missing:
            raise RuntimeError(f"{', '.join(missing)} not found; as root: {INSTALL}")
        if os.geteuid():
            raise RuntimeError("a test cluster needs root's rights; run as root")
        self._refuse_another()
        try:
            self._write_configuration()
            folder = self.folder / "munge"
            _run(
                "munged", "--force", f"--key-file={folder}/key", f"--socket={folder}/sock",
                f"--pid-file={folder}/pid", f"--log-file={folder}/log",
                f"--seed-file={folder}/seed",
            )  # fmt: skip
            _run("slurmctld", "-f", self._conf)
            self.start_node()
        except BaseException:
            self.stop()
            raise

    def start_node(self) -> None:
        """Start the node's daemon and wait until the node takes jobs."""
        _run("slurmd", "-N", NODE, "-f", self._conf)
        self.wait_for_node("idle", "mixed", "allocated")

    def lose_node(self) -> None:
        """Kill all that runs on the node, as when its power fails."""
        _kill(_pid(self.folder / "run" / f"slurmd.{NODE}.pid"), signal.SIGKILL)
        for pid in [*_named("slurmstepd"), *self.job_processes()]:
            _kill(pid, signal.SIGKILL)

    def wait_for_node(self, *states: str, seconds: float = 90) -> None:
        """Wait until the node is in one of the states.

        Raises
        ------
        RuntimeError
            If it is not within the time.
        """
        if not _wait(lambda: self.node_state() in states, seconds):
            log = (self.folder / "log" / "slurmctld.log").read_text()[-2000:]
            state = self.node_state()
            raise RuntimeError(f"node {NODE} is {state}, not {' or '.join(states)}\n{log}")

    def node_state(self) -> str:
        """Return the node's state in sinfo's words; `*` means that it does not answer."""
        return _ask("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").strip()

    def jobs(self, *states: str) -> list[str]:
        """Return the ids of the jobs in the queue, of all states or of some (PENDING, RUNNING)."""
        chosen = ["-t", ",".join(states)] if states else []
        return _ask("squeue", "-h", "-o", "%i", *chosen).split()

    def history(self, folder: Path) -> list[dict[str, str]]:
        """Return the jobs submitted from a folder, first one first, those that ended too."""
        keys = {"id": "%i", "state": "%T", "start": "%S", "end": "%e", "gres": "%b", "name": "%k"}
        lines = _ask("squeue", "-h", "-t", "all", "-S", "i", "-o", "|".join(["%Z", *keys.values()]))
        jobs = [line.split("|") for line in lines.splitlines()]
        return [dict(zip(keys, job, strict=True)) for at, *job in jobs if at == str(folder)]

    def job_processes(self, job: str | None = None) -> list[int]:
        """Return the processes of a job, or of all jobs."""
        wanted = {f"SLURM_CLUSTER_NAME={NAME}", *([f"SLURM_JOB_ID={job}"] if job else [])}
        return [pid for pid in _pids() if wanted <= set(_proc(pid, "environ"))]

    def clear(self) -> None:
        """Bring the node back, cancel all jobs and wait until none is left."""
        if not _alive(_pid(self.folder / "run" / f"slurmd.{NODE}.pid")):
            self.start_node()
        _ask("scontrol", "update", f"nodename={NODE}", "state=resume")
        for pid in self.job_processes():
            _kill(pid, signal.SIGCONT)
        self._cancel_all()
        self.wait_for_node("idle")

    def stop(self) -> None:
        """Cancel all jobs, wait for an empty queue, stop the daemons, remove the links."""
        if _alive(_pid(self.folder / "run" / "slurmctld.pid")):
            self._cancel_all()
        for name in (f"run/slurmd.{NODE}.pid", "run/slurmctld.pid", "munge/pid"):
            pid = _pid(self.folder / name)
            _kill(pid, signal.SIGTERM)
            if not _wait(lambda pid=pid: not _alive(pid), 20):
                _kill(pid, signal.SIGKILL)
            (self.folder / name).unlink(missing_ok=True)
        for pid in [*_named("slurmstepd"), *self.job_processes()]:
            _kill(pid, signal.SIGKILL)
        for name in ("slurm", "gres", "cgroup"):
            link = ETC / f"{name}.conf"
            if link.is_symlink() and link.readlink().parent == self.folder:
                link.unlink()

    @property
    def _conf(self) -> str:
        return str(self.folder / "slurm.conf")

    def _refuse_another(self) -> None:
        link = ETC / "slurm.conf"
        if link.exists() and not link.is_symlink():
            raise RuntimeError(f"{link} belongs to a cluster of this machine; use another machine")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)):
                return
        other = link.readlink().parent if link.is_symlink() else "an unknown folder"
        raise RuntimeError(
            f"a test cluster of {other} runs on this machine, one is possible; stop it: "
            f"{sys.executable} {__file__} stop {other}"
        )

    def _write_configuration(self) -> None:
        for name in ("run", "log", "state", "spool", "munge"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        (self.folder / "spool" / NODE).mkdir()
        (self.folder / "munge").chmod(0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ETC.mkdir(exist_ok=True)
        texts = {"slurm": SLURM_CONF, "gres": GRES_CONF, "cgroup": "CgroupAutomount=no\n"}
        values = {"host": self.host, "folder": self.folder, "node": NODE, "port": PORT}
        for name, text in texts.items():
            path = self.folder / f"{name}.conf"
            path.write_text(text.format(**values, name=NAME))
            # The step that runs a job strips SLURM_CONF from its environment.
            link = ETC / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path)

    def _cancel_all(self) -> None:
        if jobs := self.jobs():
            _ask("scancel", *jobs)
            _wait(lambda: not self.jobs(), 30)


def leftovers() -> list[str]:
    """Return what a stopped cluster must not leave: daemons, and links in /etc/slurm."""
    processes = [f"{name} ({pid})" for name in DAEMONS for pid in _named(name)]
    return processes + [str(path) for path in ETC.glob("*.conf") if path.is_symlink()]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _proc(pid: int, name: str) -> list[str]:
    """Return the strings in a process's `cmdline` or `environ`; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _named(program: str) -> list[int]:
    """Return the processes of a program, such as slurmstepd."""
    # A step calls itself "slurmstepd: [12.batch]".
    first = {pid: "".join(_proc(pid, "cmdline")[:1]).partition(":")[0] for pid in _pids()}
    return [pid for pid, name in first.items() if Path(name).name == program]


def _pid(file: Path) -> int | None:
    return int(file.read_text()) if file.exists() else None


def _alive(pid: int | None) -> bool:
    """Return whether a process runs; one that only waits for its parent's notice does not."""
    try:
        return pid is not None and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def _kill(pid: int | None, number: int) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _which(program: str) -> str | None:
    """Return a program's path; daemons live in folders that a user's PATH may lack."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(program: str, *arguments: str) -> None:
    command = [_which(program) or program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def _ask(program: str, *arguments: str) -> str:
    return subprocess.run(
        [_which(program) or program, *arguments], capture_output=True, text=True, check=False
    ).stdout


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit(__doc__)
    try:
        getattr(Cluster(sys.argv[2]), sys.argv[1])()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
