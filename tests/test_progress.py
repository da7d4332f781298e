import io
import re
import sys
from types import SimpleNamespace

import pytest

from sparsenode.progress import Report, follow_bytes, follow_training


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def report(iteration: int, total: int, sound: int = 6) -> Report:
    return Report(iteration, total, sound, 6, 0.1234, 0.25)


@pytest.mark.parametrize("total", [1, 7, 100, 5000, 12345])
@pytest.mark.parametrize("every", [1, 25])
def test_a_log_gets_a_dozen_lines_at_most_with_the_first_and_the_last(total: int, every: int) -> None:
    stream = io.StringIO()
    with follow_training("data model l1", stream) as show:
        for iteration in [*range(0, total, every), total]:
            show(report(iteration, total))
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 12
    assert lines[0].startswith(f"data model l1: iteration 0 of {total}, ")
    assert f"iteration {total} of {total}" in lines[-1]
    assert "\r" not in stream.getvalue()


def test_a_line_tells_the_loss_the_sparsity_the_time_left_and_lost_members() -> None:
    stream = io.StringIO()
    with follow_training("x", stream) as show:
        show(report(0, 10))
        show(report(5, 10, sound=4))
    first, second = stream.getvalue().splitlines()
    assert "loss 0.123, 25% of weights zero" in first
    assert "left" not in first
    assert "diverged" not in first
    assert "2 of 6 members diverged" in second
    assert second.endswith("s left")


def test_the_time_left_of_a_training_that_goes_on_counts_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr("sparsenode.progress.time.monotonic", lambda: next(times))
    stream = io.StringIO()
    with follow_training("x", stream) as show:
        show(report(80, 100))
        show(report(90, 100))
    first, second = stream.getvalue().splitlines()
    assert "left" not in first
    assert second.endswith(", 10 s left")


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    with follow_training("data model l1", stream) as show:
        for iteration in (0, 50, 100):
            show(report(iteration, 100))
    assert "data model l1" in stream.getvalue()
    assert "100/100" in stream.getvalue()


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with follow_training("x") as show:
        show(report(0, 10))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("x: iteration 0")
    assert not sys.stderr.isatty()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test sets."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("sparsenode.progress.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_bytes_are_told_in_time_with_share_speed_and_time_left(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    with follow_bytes("cells.h5ad.gz", 2_900_000_000, stream=stream) as show:
        for second in range(1, 36):
            clock.now = 100.0 + second
            show(second * 20_000_000)
    assert stream.getvalue().splitlines() == [
        "cells.h5ad.gz: 200 MB of 2.9 GB (7%), 20 MB/s, 135 s left",
        "cells.h5ad.gz: 400 MB of 2.9 GB (14%), 20 MB/s, 125 s left",
        "cells.h5ad.gz: 600 MB of 2.9 GB (21%), 20 MB/s, 115 s left",
    ]


def test_bytes_that_were_there_before_do_not_count_for_the_speed(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    with follow_bytes("x", 1_000_000, start=900_000, stream=stream) as show:
        clock.now += 10
        show(900_000)
        clock.now += 10
        show(940_000)
    first, second = stream.getvalue().splitlines()
    assert first == "x: 900 kB of 1 MB (90%), 0 B/s"
    assert second == "x: 940 kB of 1 MB (94%), 2 kB/s, 30 s left"


def test_bytes_of_an_unknown_total(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    with follow_bytes("x", None, stream=stream, seconds=1) as show:
        clock.now += 2
        show(999)
    assert stream.getvalue() == "x: 999 B, 500 B/s\n"


def test_what_is_done_at_once_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with follow_bytes("x", 10) as show:
        for done in range(11):
            show(done)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_of_bytes() -> None:
    stream = Terminal()
    with follow_bytes("cells.h5ad.gz", 4_000_000, start=1_000_000, stream=stream) as show:
        show(2_000_000)
        show(4_000_000)
    bars = stream.getvalue().split("\r")
    assert re.search(r"cells\.h5ad\.gz: +25%.* 1\.00M/4\.00M .*B/s", bars[1])
    assert re.search(r"100%.* 4\.00M/4\.00M", bars[-1])
