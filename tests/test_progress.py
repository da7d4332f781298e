import io
import sys

import pytest

from sparsenode.progress import Report, follow_training


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
