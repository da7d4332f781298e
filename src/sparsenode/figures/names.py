"""How names of variables, trajectories, groups and subjects are written in a figure: short, legible, and distinct."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

MOST_LETTERS = 24
"""Letters of a name in a figure; a longer one lacks its middle."""
_FONT = "DejaVu Sans"
_UNSEEN = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
"""What chooses the form of a letter, joins or parts letters, or turns them around; by itself it is never seen."""


def name_labels(names: Iterable[str], *, most: int = MOST_LETTERS) -> dict[str, str]:
    """Label of each name, at most `most` letters long, no two alike where their names differ.

    A letter or mark that the font of the figures lacks is written as its code point, ⟨57FA⟩; signs that only choose a
    form or a direction are left out.
    """
    names = list(dict.fromkeys(str(name) for name in names))
    written = {name: legible(name).strip() for name in names}
    labels = {name: _shorten(text, most) for name, text in written.items()}
    for alike in _collisions(labels):
        if len({written[name] for name in alike}) == 1:
            continue  # They share all that can be written.
        # What the names share at their start tells nothing.
        units = {name: _units(written[name]) for name in alike}
        columns = enumerate(zip(*units.values(), strict=False))
        shared = next((number for number, letters in columns if len(set(letters)) > 1), most)
        labels |= {name: _shorten(f"…{''.join(units[name][max(0, shared - 2) :])}", most) for name in alike}
    for alike in _collisions(labels):
        taken, numbers = set(labels.values()), itertools.count(1)
        for name in alike:
            numbered = (_number(labels[name], number, most) for number in numbers)
            labels[name] = next(label for label in numbered if label not in taken)
    return labels


def name_label(name: str, *, most: int = MOST_LETTERS) -> str:
    """Label of a name that has no other names beside it."""
    return name_labels([name], most=most)[str(name)]


def _collisions(labels: Mapping[str, str]) -> list[list[str]]:
    """Names that have the same label."""
    groups: dict[str, list[str]] = {}
    for name, label in labels.items():
        groups.setdefault(label, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _shorten(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{_take(_units(text), most - 1 - end)}…{_take(_units(text)[::-1], end, backward=True)}"


def _number(text: str, number: int, most: int) -> str:
    end = f" ({number})"
    return f"{_take(_units(text), most - len(end))}{end}"


def _units(text: str) -> list[str]:
    """The letters of a text that is legible; a code point in brackets is one of them, which nothing cuts."""
    return re.findall(r"⟨[0-9A-F]+⟩|.", text, re.DOTALL)


def _take(units: Sequence[str], most: int, *, backward: bool = False) -> str:
    """As many of the first units as have at most so many letters; `backward` where they were turned around."""
    taken: list[str] = []
    for unit in units:
        most -= len(unit)
        if most < 0:
            break
        taken.append(unit)
    return "".join(taken[::-1] if backward else taken)


def legible(text: str) -> str:
    """A text in letters that the font of the figures has, with its line breaks."""
    letters = _letters() | {ord("\n")}
    if letters.issuperset(map(ord, text)) and not _UNSEEN.search(text):
        return text
    written = []
    for letter in _UNSEEN.sub("", text):
        if ord(letter) in letters:
            written.append(letter)
        elif letter.isspace():
            written.append(" ")
        elif unicodedata.category(letter) != "Cf":
            written.append(f"⟨{ord(letter):04X}⟩")
    return "".join(written)


@functools.cache
def _letters() -> frozenset[int]:
    """Code points that the font of the figures has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())
