"""Errors that are no mistakes of the package."""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave: the message says what was found, where, and what to do about it."""


class InterruptedTrainingError(Exception):
    """A signal asked training to stop; `signal` is its number, and `saved` tells whether a checkpoint was written."""

    def __init__(self, signal: int, *, saved: bool) -> None:
        after = "saved: the same command goes on from here" if saved else "nothing of the last iterations was saved"
        super().__init__(f"stopped by signal {signal}; {after}")
        self.signal = signal
        self.saved = saved


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names that are most like one that is unknown, in whatever case, as text for a message."""
    import difflib
    import heapq

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return ", ".join(heapq.nlargest(count, known, key=likeness))
