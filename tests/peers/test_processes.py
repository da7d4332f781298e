"""The process of a peer: what it answers, and that nothing outlives what ends it."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.peers import make_peer, processes
from sparsenode.peers.processes import TimeLimitError, ask_peer, ask_within_limit

_ENDLESS = "while True: pass"


def test_a_process_answers_what_the_peer_does(exact):
    peer = make_peer("correlation", {"of": "derivatives"})
    for answered, direct in zip(ask_within_limit(peer, exact, 1), ask_peer(peer, exact, 1), strict=True):
        np.testing.assert_array_equal(answered, direct)
        assert answered.shape == (1, 3, 3)


def test_a_random_peer_is_asked_with_each_seed(exact):
    scores, _ = ask_peer(make_peer("dyngenie3", {"trees": 3}), exact, 3)
    assert scores.shape == (3, 3, 3)
    assert len({matrix.tobytes() for matrix in scores}) == 3


@pytest.mark.slow(reason="runs several peers or processes")
def test_an_error_in_the_process_is_its_message(exact):
    peer = make_peer("granger", {"lags": 40})
    with pytest.raises(UserError, match=r"^granger regresses on .* at 40 lags and has 0 observations"):
        ask_within_limit(peer, exact, 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 9)", r"was killed \(SIGKILL\), which may be for lack of memory"),
        ("import sys; sys.exit(7)", "ended with the status 7"),
    ],
)
def test_a_process_that_ends_by_itself_is_told(exact, monkeypatch, code, message):
    monkeypatch.setattr(processes, "_START", code)
    with pytest.raises(UserError, match=f"^the process of the peer correlation {message}"):
        ask_within_limit(make_peer("correlation", {}), exact, 1)


def has_ended(number):
    """Whether there is within ten seconds no process of a number, or it has ended and nobody has asked."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listing = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], check=False, capture_output=True, text=True)
        status = listing.stdout
        if not status.strip() or status.startswith("Z"):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow(reason="runs several peers or processes")
def test_the_limit_ends_all_that_the_package_has_started(exact, monkeypatch, tmp_path):
    note = tmp_path / "number"
    code = f"import subprocess, sys; below = subprocess.Popen([sys.executable, '-c', {_ENDLESS!r}]); "
    code += f"open({str(note)!r}, 'w').write(str(below.pid)); below.wait()"
    monkeypatch.setattr(processes, "_START", code)
    with pytest.raises(TimeLimitError, match=r"^not finished within 1 s$"):
        ask_within_limit(make_peer("correlation", {"time_limit": 1.0}), exact, 1)
    assert has_ended(int(note.read_text()))


def test_an_interrupt_ends_the_process_and_goes_on(exact, monkeypatch):
    numbers = []
    original = subprocess.Popen.wait

    def interrupt_once(self, timeout=None):
        if numbers:
            return original(self, timeout)
        numbers.append(self.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "_START", _ENDLESS)
    monkeypatch.setattr(subprocess.Popen, "wait", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        ask_within_limit(make_peer("correlation", {}), exact, 1)
    monkeypatch.setattr(subprocess.Popen, "wait", original)
    assert has_ended(numbers[0])


def test_the_process_ends_when_its_parent_is_killed():
    slow = "import os, threading, time; from sparsenode.peers import processes; "
    slow += "threading.Thread(target=processes._end_with_parent, daemon=True).start(); "
    slow += "print(os.getpid(), flush=True); time.sleep(60)"
    parent = "import subprocess, sys; "
    parent += (
        f"subprocess.Popen([sys.executable, '-c', {slow!r}], stdin=subprocess.PIPE, start_new_session=True).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        number = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert has_ended(number)
