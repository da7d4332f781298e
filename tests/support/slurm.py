"""A Slurm of two nodes on this machine, one of them with a made-up GPU: for tests, without accounting or services."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("srun", "sbatch", "squeue", "scontrol", "scancel", "sinfo")

_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
# No control groups here: a job that uses more memory than it asked for is found by looking every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
SlurmdParameters=config_overrides
# Jobs that have ended are forgotten after this many seconds, and tests look at them.
MinJobAge=3600
ReturnToService=2
KillWait=10
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=20000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=20000 Gres=gpu:1
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=INFINITE State=UP
"""

# Without accounting `sacct` has no answer. Snakemake's plugin asks it all the same while the controller is away, and
# keeps to it when the controller is back: so the queue answers in its place, as accounting would.
_ACCOUNTING = """\
#!/bin/sh
for last; do true; done
case "$*" in
  *--name*) exec {folder}/bin/squeue --states=all --noheader --format='%i|%T' --name "$last" ;;
esac
exit 1
"""


@dataclass(frozen=True)
class Job:
    """A job as Slurm describes it: `fields` are those of `scontrol show job`."""

    number: int
    state: str
    comment: str
    fields: dict[str, str]


@dataclass
class Cluster:
    """A running cluster in a folder; `path` is a search path on which its clients come first."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])

    def call(self, *command: str) -> str:
        """What a client program prints."""
        program = self.folder / "bin" / command[0]
        return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=True).stdout

    def jobs(self, folder: Path) -> list[Job]:
        """All jobs that were submitted from a folder, of all states, oldest first."""
        described = self.call("scontrol", "show", "job", "--oneliner")
        jobs = [_read_job(line) for line in described.splitlines() if line.startswith("JobId=")]
        return sorted((job for job in jobs if job.fields["WorkDir"] == str(folder)), key=lambda job: job.number)

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D")
        wait_for(self.answers, seconds=30)

    def kill_controller(self) -> None:
        """End the controller with no time to say goodbye."""
        self.processes["slurmctld"].send_signal(signal.SIGKILL)
        self.processes["slurmctld"].wait()

    def answers(self) -> bool:
        """Whether the controller answers."""
        try:
            self.call("scontrol", "ping")
        except subprocess.CalledProcessError:
            return False
        return True

    def _start(self, name: str, *command: str) -> None:
        program = _find(command[0])
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")},
            )


def missing_programs() -> list[str]:
    """Programs of Slurm that are not installed."""
    return [program for program in (*DAEMONS, *CLIENTS) if _find(program) is None]


def _find(program: str) -> str | None:
    """Path of a program; daemons stand where ordinary users do not look."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in an empty folder, whose path must be short enough for a socket, and stop it afterwards."""
    cluster = Cluster(folder)
    _write_files(folder)
    try:
        socket_file, key = folder / "munge.socket", folder / "munge.key"
        others = [f"--{kind}-file={folder}/munged.{kind}" for kind in ("pid", "log", "seed")]
        # By force: the folder above may be writable for others, as that of temporary files is.
        where = [f"--socket={socket_file}", f"--key-file={key}", *others]
        cluster._start("munged", "munged", "--foreground", "--force", *where)
        wait_for(socket_file.exists, seconds=30)
        cluster.start_controller()
        for node in ("cpu1", "gpu1"):
            cluster._start(node, "slurmd", "-D", "-N", node)
        wait_for(lambda: cluster.call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"], seconds=60)
        yield cluster
    finally:
        _stop(cluster)


def wait_for(happened: Callable[[], object], *, seconds: float) -> None:
    """Wait until something has happened, and fail where it takes too long."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"{happened} did not happen within {seconds} s"
        time.sleep(0.1)


def _write_files(folder: Path) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(64))
    (folder / "state").mkdir()
    user, host = Path.home().owner(), socket.gethostname()
    text = _CONFIGURATION.format(folder=folder, user=user, host=host, ports=_free_ports(3))
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("NodeName=gpu1 Name=gpu File=/dev/null\n")
    (folder / "bin").mkdir()
    # A variable would not do: Snakemake's plugin takes those of Slurm from the environment of its jobs' steps.
    called = f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {{}} "$@"\n'
    programs = {client: called.format(_find(client)) for client in CLIENTS}
    for name, text in (programs | {"sacct": _ACCOUNTING.format(folder=folder)}).items():
        program = folder / "bin" / name
        program.write_text(text)
        program.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _stop(cluster: Cluster) -> None:
    if "slurmctld" in cluster.processes and cluster.answers():
        cluster.call("scancel", "--user", Path.home().owner())
        wait_for(lambda: not cluster.call("squeue", "--noheader"), seconds=60)
    for process in reversed(cluster.processes.values()):
        process.terminate()
    for process in cluster.processes.values():
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_job(line: str) -> Job:
    # A comment may hold white space, and no equals sign.
    found = re.findall(r"(\w+)=(.*?)(?= \w+(?:/\w+)?[=:]|$)", line)
    fields = {name: value.strip() for name, value in found}
    return Job(int(fields["JobId"]), fields["JobState"], fields.get("Comment", ""), fields)
