"""How names of variables, trajectories, groups and subjects are written in a figure: short, legible, and distinct."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Mapping

MOST_LETTERS = 24
"""Letters of a name in a figure; a longer one lacks its middle."""
_FONT = "DejaVu Sans"


def name_labels(names: Iterable[str], *, most: int = MOST_LETTERS) -> dict[str, str]:
    """Label of each name, at most `most` letters long, no two alike where their names differ.

    A letter that the font of the figures lacks is written as its code point, ⟨57FA⟩; marks without a width are left
    out.
    """
    names = list(dict.fromkeys(str(name) for name in names))
    written = {name: legible(name).strip() for name in names}
    labels = {name: _shorten(text, most) for name, text in written.items()}
    for alike in _collisions(labels):
        # What the names share at their start tells nothing.
        columns = enumerate(zip(*(written[name] for name in alike), strict=False))
        shared = next((number for number, letters in columns if len(set(letters)) > 1), most)
        labels |= {name: _shorten(f"…{written[name][max(0, shared - 2) :]}", most) for name in alike}
    for alike in _collisions(labels):
        for number, name in enumerate(alike, 1):
            end = f" ({number})"
            labels[name] = f"{labels[name][: most - len(end)]}{end}"
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
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def legible(text: str) -> str:
    """A text in letters that the font of the figures has, with its line breaks."""
    letters = _letters() | {ord("\n")}
    if letters.issuperset(map(ord, text)):
        return text
    written = []
    for letter in text:
        if ord(letter) in letters:
            written.append(letter)
        elif letter.isspace():
            written.append(" ")
        elif unicodedata.category(letter) not in {"Cf", "Mn"}:
            written.append(f"⟨{ord(letter):04X}⟩")
    return "".join(written)


@functools.cache
def _letters() -> frozenset[int]:
    """Code points that the font of the figures has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())
