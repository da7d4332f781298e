"""Progress of what takes long, training and copying: a bar on a terminal, a few lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

_LOG_LINES = 10
_LOG_SECONDS = 10.0


@dataclass(frozen=True)
class Report:
    """The state of training: iteration of total, members sound of all, median loss and median share of zero weights."""

    iteration: int
    total: int
    sound: int
    members: int
    loss: float
    sparsity: float


@contextlib.contextmanager
def follow_training(title: str, stream: TextIO | None = None) -> Iterator[Callable[[Report], None]]:
    """Give a function that shows a report: a bar on a terminal or in a notebook, at most some ten lines elsewhere."""
    out = stream or sys.stderr
    began = time.monotonic()
    if out.isatty() or (stream is None and _is_notebook()):
        from tqdm import tqdm

        with tqdm(desc=title, file=out, unit="iteration") as bar:

            def show(report: Report) -> None:
                bar.total = report.total
                bar.set_postfix_str(_state(report), refresh=False)
                bar.update(report.iteration - bar.n)

            yield show
        return
    last_line, first = -1, None

    def write(report: Report) -> None:
        nonlocal last_line, first
        first = report.iteration if first is None else first  # not 0 where training goes on from a checkpoint
        line_number = report.iteration * _LOG_LINES // report.total
        if line_number > last_line:
            last_line = line_number
            elapsed = time.monotonic() - began
            done = report.iteration - first
            remaining = f", {elapsed * (report.total - report.iteration) / done:.0f} s left" if done else ""
            print(
                f"{title}: iteration {report.iteration} of {report.total}, {_state(report)}{remaining}",
                file=out,
                flush=True,
            )

    yield write


def _is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose output takes bars without being a terminal."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _state(report: Report) -> str:
    lost = report.members - report.sound
    diverged = f", {lost} of {report.members} members diverged" if lost else ""
    return f"loss {report.loss:.3g}, {report.sparsity:.0%} of weights zero{diverged}"


@contextlib.contextmanager
def follow_bytes(
    title: str, total: int | None, *, start: int = 0, stream: TextIO | None = None, seconds: float = _LOG_SECONDS
) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how many bytes are done: a bar on a terminal, lines in time elsewhere.

    Args:
        title: what the bar or each line begins with.
        total: number of bytes in all, where it is known.
        start: number of bytes that were there before; they do not count for the speed.
        stream: where progress is shown; standard error where it is None.
        seconds: time between two lines; there is none for what is done before the first is due.
    """
    out = stream or sys.stderr
    if out.isatty():
        from tqdm import tqdm

        with tqdm(desc=title, file=out, total=total, initial=start, unit="B", unit_scale=True) as bar:

            def move(done: int) -> None:
                bar.update(done - bar.n)

            yield move
        return
    began = last_time = time.monotonic()

    def write(done: int) -> None:
        nonlocal last_time
        now = time.monotonic()
        if now - last_time < seconds:
            return
        last_time = now
        speed = (done - start) / max(now - began, 1e-9)
        share = f" of {_amount(total)} ({done / total:.0%})" if total else ""
        remaining = f", {(total - done) / speed:.0f} s left" if total and speed > 0 else ""
        print(f"{title}: {_amount(done)}{share}, {_amount(speed)}/s{remaining}", file=out, flush=True)

    yield write


def _amount(size: float) -> str:
    """Write a number of bytes with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
