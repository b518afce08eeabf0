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
from pathlib import Path

from processes import alive, kill, named, pids, strings_of, wait

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
INSTALL = f"apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
NODE = "n1"
SLURMD, SLURMCTLD, MUNGED = f"run/slurmd.{NODE}.pid", "run/slurmctld.pid", "munge/pid"
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
        kill(self._daemon(SLURMD), signal.SIGKILL)
        self._kill_jobs()

    def wait_for_node(self, *states: str, seconds: float = 90) -> None:
        """Wait until the node is in one of the states.

        Raises
        ------
        RuntimeError
            If it is not within the time.
        """
        if not wait(lambda: self.node_state() in states, seconds):
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
        keys = {"id": "%i", "state": "%T", "start": "%S", "end": "%e", "queue": "%P", "name": "%k"}
        lines = _ask("squeue", "-h", "-t", "all", "-S", "i", "-o", "|".join(["%Z", *keys.values()]))
        jobs = [line.split("|") for line in lines.splitlines()]
        return [dict(zip(keys, job, strict=True)) for at, *job in jobs if at == str(folder)]

    def job_processes(self, job: str | None = None) -> list[int]:
        """Return the processes of a job, or of all jobs."""
        wanted = {f"SLURM_CLUSTER_NAME={NAME}", *([f"SLURM_JOB_ID={job}"] if job else [])}
        return [pid for pid in pids() if wanted <= set(strings_of(pid, "environ"))]

    def clear(self) -> None:
        """Bring the node back, cancel all jobs and wait until none of them is left, no process."""
        if self._daemon(SLURMD) is None:
            self.start_node()
        _ask("scontrol", "update", f"nodename={NODE}", "state=resume")
        for pid in self.job_processes():
            kill(pid, signal.SIGCONT)
        self._cancel_all()
        self.wait_for_node("idle")

    def stop(self) -> None:
        """Cancel all jobs, wait for an empty queue, stop the daemons, remove the links."""
        if self._daemon(SLURMCTLD):
            self._cancel_all()
        for name in (SLURMD, SLURMCTLD, MUNGED):
            kill(self._daemon(name), signal.SIGTERM)
            if not wait(lambda name=name: self._daemon(name) is None, 20):
                kill(self._daemon(name), signal.SIGKILL)
        self._kill_jobs()
        for name in ("slurm", "gres", "cgroup"):
            link = ETC / f"{name}.conf"
            if self._is_ours(link):
                link.unlink()

    def leftovers(self) -> list[str]:
        """Return what a stopped cluster must not leave: processes, and links in /etc/slurm."""
        left = [name for name in (SLURMD, SLURMCTLD, MUNGED) if self._daemon(name)]
        left += [f"{pid} of a job" for pid in self._of_jobs()]
        return left + [str(link) for link in ETC.glob("*.conf") if self._is_ours(link)]

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

    def _is_ours(self, link: Path) -> bool:
        return link.is_symlink() and link.readlink().parent == self.folder

    def _daemon(self, file: str) -> int | None:
        """Return the daemon that wrote a file with its number, if it runs."""
        try:
            pid = int((self.folder / file).read_text())
        except (OSError, ValueError):
            return None
        runs = alive(pid) and str(self.folder) in " ".join(strings_of(pid, "cmdline"))
        return pid if runs else None

    def _steps(self) -> list[int]:
        """Return the processes that watch over jobs; they outlive the node's daemon."""
        return [
            pid
            for pid in named("slurmstepd")
            if f"SLURM_CONF={self._conf}" in strings_of(pid, "environ")
        ]

    def _of_jobs(self) -> list[int]:
        return [*self._steps(), *self.job_processes()]

    def _kill_jobs(self) -> None:
        for pid in self._of_jobs():
            kill(pid, signal.SIGKILL)
        wait(lambda: not self._of_jobs(), 20)

    def _cancel_all(self) -> None:
        if jobs := self.jobs():
            _ask("scancel", *jobs)
        # A job leaves the queue before the process that watched over it ends.
        wait(lambda: not self.jobs() and not self._of_jobs(), 30)


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
