"""Progress of a long training: a bar on a terminal, a few lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

_LOG_LINES = 10


@dataclass(frozen=True)
class Report:
    """Where training stands: iteration of total, members sound of all, median loss and median share of zero weights."""

    iteration: int
    total: int
    sound: int
    members: int
    loss: float
    sparsity: float


@contextlib.contextmanager
def follow_training(title: str, stream: TextIO | None = None) -> Iterator[Callable[[Report], None]]:
    """Give a function that shows a report: a bar that moves on a terminal, at most some ten lines elsewhere."""
    out = stream or sys.stderr
    began = time.monotonic()
    if out.isatty():
        from tqdm import tqdm

        with tqdm(desc=title, file=out, unit="iteration") as bar:

            def show(report: Report) -> None:
                bar.total = report.total
                bar.set_postfix_str(_state(report), refresh=False)
                bar.update(report.iteration - bar.n)

            yield show
        return
    shown, first = -1, None

    def write(report: Report) -> None:
        nonlocal shown, first
        first = report.iteration if first is None else first  # not 0 where training goes on from a checkpoint
        part = report.iteration * _LOG_LINES // report.total
        if part > shown:
            shown = part
            elapsed = time.monotonic() - began
            done = report.iteration - first
            remaining = f", {elapsed * (report.total - report.iteration) / done:.0f} s left" if done else ""
            print(
                f"{title}: iteration {report.iteration} of {report.total}, {_state(report)}{remaining}",
                file=out,
                flush=True,
            )

    yield write


def _state(report: Report) -> str:
    lost = report.members - report.sound
    diverged = f", {lost} of {report.members} members diverged" if lost else ""
    return f"loss {report.loss:.3g}, {report.sparsity:.0%} of weights zero{diverged}"
