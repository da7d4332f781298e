"""A peer in a process of its own: it ends with its time limit and with its parent, and its error is one message."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from sparsenode.errors import UserError
from sparsenode.peers import Peer, RandomPeer, make_peer
from sparsenode.peers.derivatives import Samples

_ARRAYS = ("observed", "states", "velocities", "rates", "stretch", "time")
_START = "from sparsenode.peers.processes import run_child; run_child()"
_REQUEST, _SAMPLES, _ANSWER, _ERROR = "request.json", "samples.npz", "scores.npz", "error.json"


class TimeLimitError(Exception):
    """A peer was ended since it took longer than its limit; `reason` says so in words."""

    def __init__(self, seconds: float) -> None:
        """Words of a limit in seconds."""
        super().__init__(f"not finished within {seconds:g} s")


def ask_peer(peer: Peer, samples: Samples, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and signs of a peer for each of its seeds, both (seed, source, target).

    Args:
        peer: the peer, with its options.
        samples: observations and their derivatives.
        seeds: how many seeds a random peer is asked with, from 0; any other peer is asked once.

    Raises:
        UserError: the peer's package has raised an error.
        MemoryError: there is not enough memory.
    """
    numbers = range(seeds if isinstance(peer, RandomPeer) else 1)
    try:
        answers = [
            peer.infer(samples, number) if isinstance(peer, RandomPeer) else peer.infer(samples) for number in numbers
        ]
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or "no reason is said"
        raise UserError(
            f"the peer {peer.name} ended with an error of its package: {type(error).__name__}: {reason} "
            f"({_origin(error)}); change its options, or take it from `run.peers`"
        ) from error
    scores, signs = zip(*answers, strict=True)
    return np.stack(scores), np.stack(signs)


def _origin(error: BaseException) -> str:
    """File and line in which an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "from an unknown line"
    return f"{'/'.join(Path(trace.tb_frame.f_code.co_filename).parts[-3:])}, line {trace.tb_lineno}"


def ask_within_limit(peer: Peer, samples: Samples, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """What `ask_peer` gives, by a process that is ended after the peer's time limit; without a limit by this one.

    The process has the peer's options and the samples only, so it knows no more than the peer is to know. It ends when
    this one does, however that ends.

    Raises:
        TimeLimitError: the peer took longer than its limit.
        UserError: the peer's package has raised an error, or the process was killed.
        MemoryError: there is not enough memory.
    """
    if peer.time_limit is None:
        return ask_peer(peer, samples, seeds)
    with tempfile.TemporaryDirectory(prefix="sparsenode-peer-") as name:
        folder = Path(name)
        request = {"peer": peer.name, "options": peer.model_dump(mode="json"), "seeds": seeds}
        (folder / _REQUEST).write_text(json.dumps(request), encoding="utf-8")
        arrays = {name: getattr(samples, name) for name in _ARRAYS}
        np.savez(folder / _SAMPLES, **{name: values for name, values in arrays.items() if values is not None})
        # Packages print to the terminal what is no message of ours: standard output goes nowhere.
        with subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:
            try:
                status = child.wait(peer.time_limit)
            except subprocess.TimeoutExpired:
                _end_group(child.pid)
                raise TimeLimitError(peer.time_limit) from None
            except BaseException:  # Ctrl-C reaches this process only
                _end_group(child.pid)
                raise
        return _read_answer(peer, folder, status)


def _end_group(group: int) -> None:
    """End a process that has not been waited for, and all that its package has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _read_answer(peer: Peer, folder: Path, status: int) -> tuple[np.ndarray, np.ndarray]:
    if status == 0:
        with np.load(folder / _ANSWER) as answer:
            return answer["scores"], answer["signs"]
    if (folder / _ERROR).is_file():
        error = json.loads((folder / _ERROR).read_text(encoding="utf-8"))
        raise MemoryError(error["message"]) if error["memory"] else UserError(error["message"])
    how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with the status {status}"
    raise UserError(
        f"the process of the peer {peer.name} {how}, which may be for lack of memory; run fewer jobs at once, or take "
        "the peer from `run.peers`"
    )


def run_child() -> None:
    """What the process does: read the request in the folder that is its argument, and write the answer there."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    folder = Path(sys.argv[1])
    request = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    with np.load(folder / _SAMPLES) as arrays:
        samples = Samples(**{name: arrays.get(name) for name in _ARRAYS})
    try:
        scores, signs = ask_peer(make_peer(request["peer"], request["options"]), samples, request["seeds"])
    except (UserError, MemoryError) as error:
        message = {"message": str(error), "memory": isinstance(error, MemoryError)}
        (folder / _ERROR).write_text(json.dumps(message), encoding="utf-8")
        sys.exit(1)
    np.savez(folder / _ANSWER, scores=scores, signs=signs)


def _end_with_parent() -> None:
    """End when the parent has: it never writes, so that all that can be read is the end."""
    os.read(0, 1)  # no buffer of Python, whose lock would be held when the process ends by itself
    os._exit(1)
