"""Errors that are no mistakes of the package."""

from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake in what the user gave: the message says what was found, where, and what to do about it."""


class InterruptedTrainingError(Exception):
    """A signal asked training to stop; `signal` is its number, and `saved` tells whether a checkpoint was written."""

    def __init__(self, signal: int, *, saved: bool) -> None:
        after = "saved: the same command goes on from here" if saved else "nothing of the last iterations was saved"
        super().__init__(f"stopped by signal {signal}; {after}")
        self.signal = signal
        self.saved = saved


_NAMED = 12  # of more names, a message lists the nearest
_LONGEST = 100  # characters of a name that known names are compared with


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """A question with the known name that an unknown one may mean, in whatever case; empty where none is near."""
    import difflib

    close = [other for other in names if other.lower() == name.lower()][:1] or difflib.get_close_matches(
        name, names, n=1
    )
    return f"did you mean {close[0]!r}?" if close else ""


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> str:
    """The known names that are most like one that is unknown, in whatever case, as text for a message.

    Of what is no name, a text of any length that is in its place, the beginning is compared.
    """
    import difflib
    import heapq

    beginning = name[:_LONGEST].lower()

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, beginning, other.lower()).ratio()

    return ", ".join(heapq.nlargest(count, names, key=likeness))


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first names, as text for a message, and dots for further ones."""
    return (", ".join(names[:most]) + (", ..." if len(names) > most else "")) or "none"


def describe_choice(name: str, names: Sequence[str]) -> str:
    """What there is in place of a `name` that there is not: all names, or of many the nearest."""
    if len(names) > _NAMED:
        return f"The nearest of {len(names)}: {nearest_names(name, names)}"
    hint = did_you_mean(name, names)
    return f"{f'{hint} ' if hint else ''}There are: {', '.join(label or '(empty)' for label in names) or 'none'}"
