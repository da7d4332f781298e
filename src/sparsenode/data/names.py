"""Names that a person cannot see, or cannot tell apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Letters without ink, which Unicode does not count among the spaces: fillers of Korean, Khmer and Braille.
_BLANK = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
_BREAKING = {"Cc", "Cs", "Zl", "Zp"}


def find_unreadable(what: str, names: Iterable[str]) -> str | None:
    """What is wrong with the names of `what` ("feature"): one that is not seen, breaks a line, or looks like another.

    Returns:
        The problem in words, with invisible characters as their escapes, or None.
    """
    seen: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        which = f"the name of {what} {number}, {name!a},"
        visible_name = appearance(name)
        if not visible_name:
            return f"{which} shows nothing; give it a name that can be seen"
        control = next((letter for letter in name if unicodedata.category(letter) in _BREAKING), None)
        if control is not None:
            return f"{which} holds the control character U+{ord(control):04X}; take it out"
        if seen.setdefault(visible_name, name) != name:
            return f"{which} looks like {seen[visible_name]!a}: they differ in what cannot be seen; rename one of them"
    return None


def appearance(name: str) -> str:
    """A name as it is seen: composed, without characters that have no ink, and single spaces between its words."""
    composed = unicodedata.normalize("NFC", name)
    spaced = "".join(
        " " if letter.isspace() else letter
        for letter in composed
        if letter.isspace() or (unicodedata.category(letter) not in _UNSEEN and letter not in _BLANK)
    )
    return " ".join(spaced.split())
