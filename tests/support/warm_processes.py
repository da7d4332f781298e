"""Processes of Snakemake and `sparsenode` that begin with all modules imported, which takes seconds in a fresh one.

A server imports the modules once, and forks for each call: the process runs in the folder, environment and standard
streams of its caller, and ends with a status of its own. A folder with a program named `sparsenode` that calls the
server comes first on the path of a workflow's jobs. This file is the server, and that program as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import site
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

SOCKET = "socket"
"""Name of the server's socket in its folder."""
# What the package and Snakemake import within their functions, and torch within its optimizers.
_SLOW = (
    "anndata",
    "docutils.parsers.rst",
    "fontTools.subset",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "networkx",
    "pyarrow.parquet",
    "scanpy",
    "scipy.stats",
    "seaborn",
    "sklearn.ensemble",
    "smart_open",
    "snakemake.report.html_reporter",
    "torch._dynamo",
)


@dataclass(frozen=True)
class Process:
    """A process that a server has started: `number` is the system's, and its status comes by `answers`."""

    number: int
    connection: socket.socket
    answers: TextIO

    def has_ended(self) -> bool:
        return bool(select.select([self.connection], [], [], 0)[0])

    def send_signal(self, signal_number: int) -> None:
        os.kill(self.number, signal_number)

    def wait(self) -> int:
        """Its status at its end, negative after a signal."""
        status = int(self.answers.readline())
        self.answers.close()
        self.connection.close()
        return status


def start(
    folder: Path, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], streams: Sequence[int]
) -> Process:
    """Start a program by the server of a folder.

    Args:
        folder: where the server's socket is.
        arguments: name of the program, `snakemake` or `sparsenode`, and its arguments.
        cwd: working folder of the process.
        env: its environment.
        streams: file descriptors of its standard input, output and errors.

    Returns:
        The process, to be waited for.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / SOCKET))
    request = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "environment": dict(env)}).encode()
    socket.send_fds(connection, [len(request).to_bytes(8, "big")], list(streams))
    connection.sendall(request)
    answers = connection.makefile("r")
    return Process(int(answers.readline()), connection, answers)


def start_with_output(
    folder: Path, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: int
) -> Process:
    """Start a program with an empty standard input, and one file descriptor for all that it prints."""
    with Path(os.devnull).open() as nothing:
        return start(folder, arguments, cwd=cwd, env=env, streams=(nothing.fileno(), output, output))


def stand_in(folder: Path) -> NoReturn:
    """End as `sparsenode` with the arguments of this process ends, run by the server of a folder in its place."""
    arguments = ["sparsenode", *sys.argv[1:]]
    process = start(folder, arguments, cwd=Path.cwd(), env=os.environ, streams=(0, 1, 2))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: process.send_signal(received))
    status = process.wait()
    sys.exit(status if status >= 0 else 128 - status)  # as shells count it


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Path]:
    """Start a server in an empty folder, and end it afterwards; gives the folder of the program `sparsenode`."""
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "sparsenode"
    program.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        f"from pathlib import Path\nimport warm_processes\nwarm_processes.stand_in(Path({str(folder)!r}))\n"
    )
    program.chmod(0o755)
    with (folder / "output.txt").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output
        )
    with server:
        assert server.stdout is not None
        assert server.stdin is not None
        ready = server.stdout.readline()
        assert ready == b"ready\n", (folder / "output.txt").read_text()
        yield programs
        server.stdin.close()


def _serve(folder: Path) -> None:
    """Fork for each call until the standard input is closed, also by the death of who started the server."""
    _import_modules()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener, 0], [], [], 1.0)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if 0 in ready:
                return
            if listener in ready:
                connection, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _attend(connection)
                connection.close()


def _attend(connection: socket.socket) -> NoReturn:
    """Fork the process of a call, and tell its number and its status."""
    length, streams, _, _ = socket.recv_fds(connection, 8, 3)
    request = json.loads(connection.makefile("rb").read(int.from_bytes(length, "big")))
    process = os.fork()
    if process == 0:
        connection.close()
        _become(request, streams)
    connection.sendall(f"{process}\n".encode())
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):  # the caller has been killed
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Run the program of a call in this process."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # A shell that started the tests in the background had interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    status: object = 1
    try:
        site.execsitecustomize()
        status = _programs()[sys.argv[0]]()
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)  # noqa: T201
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _programs() -> dict[str, Callable[[], object]]:
    import snakemake.cli

    import sparsenode.cli

    return {"snakemake": snakemake.cli.main, "sparsenode": sparsenode.cli.main}


def _import_modules() -> None:
    import gc
    import importlib
    import pkgutil

    import snakemake.cli

    import sparsenode
    from sparsenode.figures import shield_matplotlib

    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    shield_matplotlib()
    _programs()
    for module in pkgutil.walk_packages(sparsenode.__path__, "sparsenode."):
        importlib.import_module(module.name)
    for name in _SLOW:
        importlib.import_module(name)
    snakemake.cli.get_argument_parser()  # which reads all plugins
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
