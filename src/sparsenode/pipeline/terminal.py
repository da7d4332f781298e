"""What a run shows while it goes on: its plan, how far it is, warnings as they come, in some `MOST_LINES` lines."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sparsenode.remarks import read_warnings

TERMINAL, FULL = "SPARSENODE_TERMINAL", "full"
"""The environment variable by which Snakemake's own output is asked for, and its value."""
MOST_LINES = 60
"""Lines up to the end of a run without failures; its end has `LEAST_LEFT` lines in any case."""
MOST_WARNINGS = 5
MOST_FAILURES = 3
"""Failures that are told with their reasons and the ends of their logs; all others are told in a line each."""
LOG_LINES = 5
"""Lines at the end of the log of a failed job that are shown."""
PROGRESS_LINES = 10
LEAST_LEFT = 12
"""Lines that a text of the end has at least, whatever was said before it."""
REFRESH = 2.0
"""Seconds after which the line of a terminal is written again."""
_KINDS = {
    "download": "download",
    "preprocess": "dataset",
    "freeze": "file of settings",
    "train": "training",
    "infer": "peer",
    "evaluate": "evaluation",
    "forecast": "forecast of interventions",
    "draw": "figure",
}
_PLURALS = {"file of settings": "files of settings", "forecast of interventions": "forecasts of interventions"}
_SAYS_NOTHING = (
    "host:", "building dag", "using shell", "provided ", "group jobs", "conda environments", "singularity containers",
    "select jobs", "execute ", "assuming unrestricted", "removing ", "adding ", "touching ", "shutting down",
    "will exit after", "exiting because", "at least one job did not", "downloading ", "no plugin", "submitted job",
    "slurm run id", "removed temporary", "creating ",
)  # fmt: skip
_TOLD_WHILE_RUNNING = ("Complete log", "Nothing to be done", "Trying to restart", "Terminating processes")
_TAIL_BYTES = 4096
_NAMED = 3


@dataclass(frozen=True)
class Job:
    """A job that runs: its `rule`, the values of its `wildcards`, and its `logs`."""

    rule: str
    wildcards: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What it does, in a word or two."""
        return kind_of(self.rule)

    @property
    def name(self) -> str:
        """What it does, and to what."""
        subject = "/".join(self.wildcards) or self.rule.partition("_models_")[2]
        return f"{self.kind} {subject}".rstrip()


class Terminal:
    """One display of a run: a line that is written again on a terminal, some ten plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, shows_progress: bool = True) -> None:
        self._stream, self._shows_progress = stream, shows_progress
        self._is_live = shows_progress and stream.isatty()
        self._began, self._since = time.monotonic(), time.time()
        self._running: dict[int, Job] = {}
        self._done = self._total = self._tenth = 0
        self._lines = self._failures = 0
        self._warnings: set[str] = set()
        self._is_running = False
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._refresher: threading.Thread | None = None

    def plan(self, stats: Mapping[str, int]) -> None:
        """Say how many jobs of which kind are to be done; `stats` counts by rule, and in all as `total`."""
        self._is_running = True
        self._total = int(stats.get("total", 0))
        self._write([describe_plan(stats)])
        if self._is_live and self._refresher is None:
            self._refresher = threading.Thread(target=self._refresh, daemon=True)
            self._refresher.start()

    def started(self, number: int, job: Job) -> None:
        """A job has been started."""
        with self._lock:
            self._running[number] = job
        self._show_line()

    def finished(self, number: int) -> None:
        """A job has ended well; what its log warns of is told at once."""
        with self._lock:
            job = self._running.pop(number, None)
        if job is None:
            return
        for warning in read_warnings(map(Path, job.logs), self._since):
            if warning not in self._warnings:
                self._warnings.add(warning)
                if len(self._warnings) <= MOST_WARNINGS:
                    self._write([f"warning: {job.name}: {warning}"])
                elif len(self._warnings) == MOST_WARNINGS + 1:
                    self._write(["further warnings are told at the end"])

    def failed(self, number: int, rule: str, logs: Sequence[str], reason: str = "") -> None:
        """A job has failed: which one, the reason that a cluster gives, the end of its log, and where all of it is."""
        with self._lock:
            job = self._running.pop(number, None) or Job(rule)
        self._report_failure(f"{job.name} ({rule})", logs, reason)

    def group_failed(self, name: str, members: Sequence[int], logs: Sequence[str]) -> None:
        """A group of jobs has failed, which is one failure: which of its members is at fault only its log tells."""
        with self._lock:
            jobs = [job for number in members if (job := self._running.pop(number, None))]
        names = f" ({', '.join(job.name for job in jobs[:_NAMED])}{', ...' * (len(jobs) > _NAMED)})" if jobs else ""
        self._report_failure(f"group {name}{names}", logs)

    def _report_failure(self, name: str, logs: Sequence[str], reason: str = "") -> None:
        self._failures += 1
        lines = [f"error: {name} failed" + (f"; its log: {', '.join(logs)}" if logs else "")]
        if self._failures <= MOST_FAILURES:
            details = [*reason.splitlines(), *(line for path in logs for line in _tail(path)[-LOG_LINES:])]
            lines += [f"  {line}" for line in details if line.strip()]
        self._write(lines)

    def progress(self, done: int, total: int) -> None:
        """So many of all jobs are done: on a terminal the line is written again, elsewhere one at each tenth."""
        self._done, self._total = done, total
        if self._is_live:
            self._show_line()
            return
        tenth = done * PROGRESS_LINES // max(total, 1)
        if self._shows_progress and tenth > self._tenth:
            self._tenth = tenth
            self._write([self._state()])

    def message(self, text: str, level: int) -> None:
        """What Snakemake or the workflow says besides: warnings and errors, and what else is of use to a person."""
        if level < logging.WARNING:
            if not text or text == "None" or text.lower().startswith(_SAYS_NOTHING):
                return
            if self._is_running and not text.startswith(_TOLD_WHILE_RUNNING):
                return
        lines = text.splitlines()
        room = max(MOST_LINES - self._lines, LEAST_LEFT)
        if level < logging.ERROR and len(lines) > room:
            lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more lines: they are in the results"]
        self._write(lines)

    def close(self) -> None:
        """End the live line, and say once how many failures were told in a line only."""
        self._stopped.set()
        if self._refresher is not None:
            self._refresher.join(timeout=2 * REFRESH)
            self._refresher = None
        if self._is_live:
            with self._lock:
                self._clear()
                self._stream.flush()
        further, self._failures = self._failures - MOST_FAILURES, 0
        if further > 0:
            self._write([f"of {further} further failure{'s' * (further > 1)} the reason is only in the log of each"])

    def _refresh(self) -> None:
        while not self._stopped.wait(REFRESH):
            self._show_line()

    def _state(self) -> str:
        elapsed = time.monotonic() - self._began
        text = f"{self._done} of {self._total} jobs, {describe_seconds(elapsed)}"
        if 0 < self._done < self._total:
            text += f", about {describe_seconds(elapsed * (self._total - self._done) / self._done)} left"
        return text

    def _show_line(self) -> None:
        if not self._is_live or self._stopped.is_set():
            return
        with self._lock:
            # Training takes longest, and tells how far it is.
            order = sorted(self._running.values(), key=lambda job: job.kind != "training")
            now = ""
            if order:
                now = f" | {order[0].name}{_training_state(order[0])}"
                now += f" and {len(order) - 1} more" if len(order) > 1 else ""
            width = shutil.get_terminal_size().columns - 1
            self._clear()
            self._stream.write((self._state() + now)[:width])
            self._stream.flush()

    def _clear(self) -> None:
        self._stream.write("\r\x1b[2K")

    def _write(self, lines: Sequence[str]) -> None:
        with self._lock:
            if self._is_live:
                self._clear()
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
            self._lines += len(lines)
        self._show_line()


def kind_of(rule: str) -> str:
    """What a rule does, in a word or two."""
    return _KINDS.get(rule.partition("_")[0], "table")


def describe_plan(stats: Mapping[str, int]) -> str:
    """Numbers of jobs in a line, from those by rule and the `total`."""
    counts: Counter[str] = Counter()
    for rule, count in stats.items():
        if rule not in {"total", "all"}:
            counts[kind_of(rule)] += count
    order = [*_KINDS.values(), "table"]
    parts = [
        f"{counts[kind]} {kind if counts[kind] == 1 else _PLURALS.get(kind, f'{kind}s')}"
        for kind in order
        if counts[kind]
    ]
    return f"{stats.get('total', 0)} jobs to do: {', '.join(parts)}"


def describe_seconds(seconds: float) -> str:
    """A span of time with one or two units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _training_state(job: Job) -> str:
    """How many iterations a training has done and its loss, from the end of its log; empty where nothing is told."""
    if job.kind != "training":
        return ""
    for path in job.logs:
        for line in reversed(_tail(path)):
            _, _, state = line.partition(": iteration ")
            if state:
                return f": {', '.join(state.split(', ')[:2])}"
    return ""


def _tail(path: str) -> list[str]:
    """The last lines of a log, none where it cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]
