"""What a run shows in the terminal, as a logger plugin of Snakemake, which finds it by the name of this package."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from sparsenode.pipeline.terminal import FULL, MOST_FAILURES, TERMINAL, Job, Terminal


class LogHandler(LogHandlerBase):
    """A plan, progress, warnings as they come, and the end; all that Snakemake says is in its own log.

    With `--verbose`, `--debug-dag`, `--dry-run`, or `SPARSENODE_TERMINAL=full`, Snakemake speaks for itself.
    """

    def __post_init__(self) -> None:
        """Choose who speaks."""
        settings = self.common_settings
        stream = sys.stdout if settings.stdout else sys.stderr
        is_full = os.environ.get(TERMINAL) == FULL or settings.verbose or settings.debug_dag or settings.dryrun
        self._snakemake = _usual_handler(settings, stream) if is_full else None
        quiet = {str(kind).rpartition(".")[2].lower() for kind in settings.quiet or ()}
        self._is_silent = "all" in quiet
        self._terminal = Terminal(stream, shows_progress="progress" not in quiet)

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record tells, if anything."""
        if self._snakemake is not None:
            self._snakemake.handle(record)
            return
        if self._is_silent:
            return
        try:
            self._show(record)
        except Exception:
            self.handleError(record)

    def _show(self, record: logging.LogRecord) -> None:
        event, terminal = getattr(record, "event", None), self._terminal
        details: Any = record
        if event == LogEvent.RUN_INFO:
            terminal.plan(details.stats)
        elif event == LogEvent.JOB_INFO:
            wildcards = tuple(str(value) for value in (details.wildcards or {}).values())
            terminal.started(details.jobid, Job(details.rule_name, wildcards, tuple(details.log or ())))
        elif event == LogEvent.JOB_FINISHED:
            terminal.finished(details.job_id)
        elif event == LogEvent.PROGRESS:
            terminal.progress(details.done, details.total)
        elif event == LogEvent.JOB_ERROR:
            # Those of a group are told with it.
            if not getattr(details, "indent", False):
                reason = getattr(details, "rule_msg", None) or ""
                terminal.failed(details.jobid, details.rule_name, tuple(details.log or ()), reason)
        elif event == LogEvent.GROUP_ERROR:
            jobs = details.job_error_info
            logs = details.aux_logs or [path for job in jobs[:MOST_FAILURES] for path in job["log"] or ()]
            terminal.group_failed(details.groupid, [job["jobid"] for job in jobs], tuple(logs))
        elif event in (None, LogEvent.ERROR):
            terminal.message(record.getMessage(), record.levelno)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._terminal.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake writes its log itself."""
        return False

    @property
    def has_filter(self) -> bool:
        """What is shown is chosen here."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Records are not formatted one by one."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No drawing of rules is needed."""
        return False


def _usual_handler(settings: Any, stream: Any) -> logging.Handler:
    """The handler that Snakemake has without a plugin."""
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    handler: logging.Handler = ColorizingTextHandler(nocolor=settings.nocolor, stream=stream)
    choices = (settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds)
    handler.addFilter(DefaultFilter(*choices))
    handler.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
    return handler
