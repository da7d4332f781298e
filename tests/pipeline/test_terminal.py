"""What a run shows in the terminal."""

import io
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from sparsenode.pipeline import terminal
from sparsenode.pipeline.terminal import MOST_LINES, Job, Terminal

STATS = {"preprocess_dataset": 1, "train_members": 3, "draw_network": 2, "collect_metrics": 1, "all": 1, "total": 8}


class Screen(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self):
        return True


def lines_of(stream):
    return stream.getvalue().splitlines()


def test_the_plan_counts_jobs_by_kind():
    assert terminal.describe_plan(STATS) == "8 jobs to do: 1 dataset, 3 trainings, 2 figures, 1 table"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min")]
)
def test_time_is_told_in_one_or_two_units(seconds, text):
    assert terminal.describe_seconds(seconds) == text


@pytest.mark.parametrize("total", [1, 7, 10, 96, 5000])
def test_elsewhere_than_on_a_terminal_progress_is_some_ten_lines(total):
    stream = io.StringIO()
    display = Terminal(stream)
    for done in range(1, total + 1):
        display.progress(done, total)
    assert 1 <= len(lines_of(stream)) <= terminal.PROGRESS_LINES
    assert lines_of(stream)[-1].startswith(f"{total} of {total} jobs, ")
    assert "\r" not in stream.getvalue()


def test_warnings_come_when_a_job_ends_each_once_and_not_without_end(tmp_path):
    stream = io.StringIO()
    display = Terminal(stream)
    for number in range(terminal.MOST_WARNINGS + 3):
        log = tmp_path / f"{number}.log"
        log.write_text(f"INFO: fine\nWARNING: cells/small/l1: doubt {number // 2 * 2}\n")
        display.started(number, Job("train_members", ("cells", "small", "l1"), (str(log),)))
        display.finished(number)
    told = [line for line in lines_of(stream) if line.startswith("warning: ")]
    assert told[0] == "warning: training cells/small/l1: cells/small/l1: doubt 0"
    assert len(told) == len(set(told)) == 4
    for number in range(40):
        log.write_text(f"WARNING: cells/small/l1: another {number}\n")
        display.started(99, Job("train_members", ("cells",), (str(log),)))
        display.finished(99)
    told = [line for line in lines_of(stream) if line.startswith("warning: ")]
    assert len(told) == terminal.MOST_WARNINGS
    assert lines_of(stream)[-1] == "further warnings are told at the end"


def test_a_failed_job_is_named_with_the_end_of_its_log(tmp_path):
    stream, log = io.StringIO(), tmp_path / "train.log"
    log.write_text("".join(f"line {number}\n" for number in range(30)) + "error: no memory is left\n")
    display = Terminal(stream)
    display.started(4, Job("train_members", ("cells", "l1"), (str(log),)))
    display.failed(4, "train_members", (str(log),))
    lines = lines_of(stream)
    assert lines[0] == f"error: training cells/l1 (train_members) failed; its log: {log}"
    assert lines[-1] == "  error: no memory is left"
    assert len(lines) == 1 + terminal.LOG_LINES
    display.failed(5, "draw_network", (str(tmp_path / "missing.log"),))
    assert lines_of(stream)[-1].startswith("error: figure (draw_network) failed; its log: ")


def test_every_failure_is_told_and_of_many_only_the_first_ones_at_length(tmp_path):
    stream, log = io.StringIO(), tmp_path / "train.log"
    log.write_text("the end of a log\n")
    display = Terminal(stream)
    for number in range(terminal.MOST_FAILURES + 2):
        display.started(number, Job("train_members", (f"cells{number}",), (str(log),)))
        display.failed(number, "train_members", (str(log),), "state OUT_OF_MEMORY\n\nsee its log")
    lines = lines_of(stream)
    assert [line.split()[2] for line in lines if line.startswith("error: ")] == [f"cells{n}" for n in range(5)]
    assert lines[1:4] == ["  state OUT_OF_MEMORY", "  see its log", "  the end of a log"]
    assert sum("the end of a log" in line for line in lines) == terminal.MOST_FAILURES
    assert len(lines) == 4 * terminal.MOST_FAILURES + 2
    display.close()
    display.close()
    assert lines_of(stream)[len(lines) :] == ["of 2 further failures the reason is only in the log of each"]


def test_a_run_that_is_tried_again_or_stopped_says_so():
    stream = io.StringIO()
    display = Terminal(stream)
    display.plan(STATS)
    told = ["Trying to restart job 4.", "Terminating processes on user request, this might take some time."]
    for text in (*told, "Shutting down, this might take some time.", "Terminating service job 3 since all ended."):
        display.message(text, logging.INFO)
    assert lines_of(stream)[1:] == told


def test_a_whole_run_with_a_long_end_has_sixty_lines_and_a_further_text_still_has_room(tmp_path):
    stream = io.StringIO()
    display = Terminal(stream)
    display.message("Building DAG of jobs...", logging.INFO)
    display.plan(STATS)
    for done in range(100):
        log = tmp_path / f"{done}.log"
        log.write_text(f"WARNING: cells: doubt {done}\n")
        display.started(done, Job("train_members", ("cells",), (str(log),)))
        display.message(f"Select jobs to execute {done}", logging.INFO)
        display.finished(done)
        display.progress(done + 1, 100)
    for number, most in enumerate((MOST_LINES, MOST_LINES + terminal.LEAST_LEFT)):
        display.message("\n".join(f"end {number} {line}" for line in range(50)), logging.WARNING)
        lines = lines_of(stream)
        assert len(lines) == most
        assert lines[-1].startswith("... and ")
    assert not [line for line in lines if "DAG" in line or "Select" in line]


def test_an_error_is_never_cut():
    stream = io.StringIO()
    display = Terminal(stream)
    display.message("\n".join(["WorkflowError:", *map(str, range(100))]), logging.ERROR)
    assert lines_of(stream)[-1] == "99"


def test_on_a_terminal_one_line_tells_what_trains_now_with_its_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "REFRESH", 0.01)
    stream, log = Screen(), tmp_path / "train.log"
    log.write_text("cells/l1: iteration 300 of 1000, loss 0.0123, 5% of weights zero, 12 s left\n")
    display = Terminal(stream)
    display.plan(STATS)
    display.started(1, Job("draw_network", ("cells",)))
    display.started(2, Job("train_members", ("cells", "l1"), (str(log),)))
    display.progress(2, 8)
    live = stream.getvalue().rpartition("\x1b[2K")[2]
    assert live.startswith("2 of 8 jobs, 0 s, about 0 s left | training cells/l1: 300 of 1000, loss 0.0123")
    assert len(live) < 80
    assert stream.getvalue().count("\n") == 1
    before = len(stream.getvalue())
    log.write_text("cells/l1: iteration 400 of 1000, loss 0.01\n")
    deadline = time.monotonic() + 5
    while "400 of 1000, loss 0.01" not in stream.getvalue()[before:]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    display.close()
    assert stream.getvalue().endswith("\r\x1b[2K")


def handler(monkeypatch, stream, **settings):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv(terminal.TERMINAL, raising=False)
    plain = {"verbose": False, "debug_dag": False, "dryrun": False, "stdout": False, "quiet": None, "nocolor": True,
             "printshellcmds": True, "show_failed_logs": True}  # fmt: skip
    plugin = LoggerPluginRegistry().get_plugin("sparsenode")
    return plugin.log_handler(SimpleNamespace(**{**plain, **settings}), None)


def record(text, level=logging.INFO, **extra):
    made = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    vars(made).update(extra)
    return made


def test_snakemake_finds_the_plugin_and_its_events_are_shown(monkeypatch, tmp_path):
    stream = io.StringIO()
    plugin = handler(monkeypatch, stream)
    plugin.handle(record("Building DAG of jobs..."))
    plugin.handle(record("Job stats: ...", event=LogEvent.RUN_INFO, stats=STATS))
    job = {
        "jobid": 3,
        "rule_name": "train_members",
        "wildcards": {"dataset": "cells"},
        "log": [str(tmp_path / "a.log")],
    }
    plugin.handle(record("", event=LogEvent.JOB_INFO, **job))
    plugin.handle(record("", event=LogEvent.SHELLCMD, shellcmd="train"))
    plugin.handle(record("", event=LogEvent.JOB_ERROR, **job))
    plugin.handle(record("", event=LogEvent.PROGRESS, done=4, total=8))
    plugin.handle(record("what is doubtful", logging.WARNING))
    plugin.close()
    lines = lines_of(stream)
    assert lines[0].startswith("8 jobs to do")
    assert lines[1].startswith("error: training cells (train_members) failed")
    assert lines[2].startswith("4 of 8 jobs, ")
    assert lines[3:] == ["what is doubtful"]


def job_error(number, log, **extra):
    job = {"jobid": number, "rule_name": "train_members", "log": [str(log)], "rule_msg": None, "indent": False}
    return record("Error", logging.ERROR, event=LogEvent.JOB_ERROR, **{**job, **extra})


def test_the_reason_that_a_cluster_gives_is_shown(monkeypatch, tmp_path):
    plugin = handler(monkeypatch, stream := io.StringIO())
    plugin.handle(job_error(3, tmp_path / "a.log", rule_msg="SLURM status is: 'TIMEOUT'.\nSee the log."))
    assert lines_of(stream)[1:] == ["  SLURM status is: 'TIMEOUT'.", "  See the log."]


@pytest.mark.parametrize("has_own_log", [True, False])
def test_a_group_that_fails_is_one_failure(monkeypatch, tmp_path, has_own_log):
    plugin = handler(monkeypatch, stream := io.StringIO())
    logs = [tmp_path / f"{number}.log" for number in range(5)]
    for number, log in enumerate(logs):
        log.write_text(f"end of {number}\n")
        job = {"rule_name": "train_members", "wildcards": {"dataset": f"cells{number}"}, "log": [str(log)]}
        plugin.handle(record("", event=LogEvent.JOB_INFO, jobid=number, **job))
    own = [str(logs[4])] if has_own_log else []
    members = [{"jobid": number, "rule_name": "train_members", "log": [str(logs[number])]} for number in range(4)]
    group = {"groupid": "g1", "aux_logs": own, "job_error_info": members}
    plugin.handle(record("Error in group g1", logging.ERROR, event=LogEvent.GROUP_ERROR, **group))
    for number in range(4):
        plugin.handle(job_error(number, logs[number], indent=True))
    first, *rest = lines_of(stream)
    assert first.startswith(
        "error: group g1 (training cells0, training cells1, training cells2, ...) failed; its log: "
    )
    assert rest == (["  end of 4"] if has_own_log else [f"  end of {number}" for number in range(3)])
    # A member is no further failure: two more jobs are told at length.
    for number in range(2):
        plugin.handle(job_error(10 + number, logs[4]))
    assert lines_of(stream).count("  end of 4") == 2 + has_own_log


@pytest.mark.parametrize("setting", ["verbose", "dryrun", "debug_dag", "environment"])
def test_snakemake_speaks_for_itself_where_that_is_asked_for(monkeypatch, setting):
    stream = io.StringIO()
    plugin = handler(monkeypatch, stream, **({setting: True} if setting != "environment" else {}))
    if setting == "environment":
        monkeypatch.setenv(terminal.TERMINAL, terminal.FULL)
        plugin = type(plugin)(plugin.common_settings, None)
    plugin.handle(record("Building DAG of jobs..."))
    plugin.handle(record("4 of 8", event=LogEvent.PROGRESS, done=4, total=8))
    assert lines_of(stream) == ["Building DAG of jobs...", "4 of 8 steps (50%) done"]


def test_quiet_is_quiet(monkeypatch):
    stream = io.StringIO()
    plugin = handler(monkeypatch, stream, quiet=["progress"])
    plugin.handle(record("", event=LogEvent.PROGRESS, done=4, total=8))
    assert lines_of(stream) == []
    plugin.handle(record("a doubt", logging.WARNING))
    assert lines_of(stream) == ["a doubt"]
    plugin = handler(monkeypatch, stream := io.StringIO(), quiet=["all"])
    plugin.handle(record("a doubt", logging.WARNING))
    assert lines_of(stream) == []


SNAKEFILE = """
rule all:
    input: expand("{n}.txt", n=range(4))

rule draw_it:
    output: "{n}.txt"
    log: "{n}.log"
    shell: "echo 'WARNING: cells: a doubt' > {log}; touch {output}"

onsuccess:
    from snakemake.logging import logger
    logger.warning("the summary")
"""


@pytest.mark.slow(reason="starts Snakemake")
def test_a_run_of_snakemake_is_told_in_a_few_lines(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    environment = {
        name: value for name, value in os.environ.items() if name not in {terminal.TERMINAL, "SNAKEMAKE_PROFILE"}
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "sparsenode"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "5 jobs to do: 4 figures"
    assert [line for line in lines if line.startswith("warning: ")] == [lines[1]]
    assert lines[1].endswith(": cells: a doubt")
    assert "the summary" in lines
    assert len(lines) < 12
    [log] = (tmp_path / ".snakemake" / "log").glob("*.log")
    assert "Building DAG" in log.read_text()
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in again.stderr
