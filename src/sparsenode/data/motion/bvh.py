"""Recordings in Biovision's format (.bvh): a skeleton, and the angles of its joints, in one file.

A joint lies at its offset from its parent, in the parent's axes, and its rotations turn what hangs from it. The
skeleton is given as one of Acclaim's, so that all that follows is shared: of each joint there is a bone that does not
move, from the parent to the joint, and one without length, which turns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from sparsenode.data.motion.acclaim import ROOT, Bone, Motion, Skeleton, read_text
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

logger = logging.getLogger(__name__)

_CHANNELS = {
    f"{axis}{kind}": f"{letter}{axis.lower()}"
    for axis in "XYZ"
    for kind, letter in (("position", "t"), ("rotation", "r"))
}
"""Degrees of freedom by the names of channels."""
_CENTIMETER = 2.54  # centimeters in Acclaim's unit of length over that of a skeleton
_STILL = 1e-3  # of the unit of length; joints that shift by less do not
_NEAR = 2e-3  # share by which frames per second may be off since their time is rounded: .0333 is 30
_REFERENCE = (0.0, 0.0, 0.0)


@dataclass
class _Joint:
    """A joint as the file has it; `channels` are degrees of freedom in the order of the file."""

    name: str
    parent: str | None
    offset: tuple[float, float, float] = _REFERENCE
    channels: tuple[str, ...] = ()
    ends: list[tuple[float, float, float]] = field(default_factory=list)


def read_bvh(path: Path, *, centimeters: float = 1.0) -> tuple[Skeleton, Motion, float]:
    """Read a recording.

    Args:
        path: the .bvh file.
        centimeters: centimeters in one unit of length of the file, which does not say it.

    Returns:
        The skeleton, whose root is called `root`; the motion in degrees, frames numbered from 1; and frames per second.

    Raises:
        UserError: the file cannot be read, is damaged or cut off, or contradicts itself.
    """
    lines = read_text(path).splitlines()
    words = _Words(path, lines)
    joints = _read_hierarchy(words)
    channels = [(joint.name, freedom) for joint in joints for freedom in joint.channels]
    count, rate = _read_header(words)
    values = _read_frames(path, lines, words.line, count, len(channels))
    skeleton = _skeleton(joints, centimeters)
    motion_channels = tuple(
        (bone, freedom) for bone, freedoms in skeleton.degrees_of_freedom.items() for freedom in freedoms
    )
    _warn_of_shifts(path, channels, motion_channels, values)
    columns = [channels.index(channel) for channel in motion_channels]
    return skeleton, Motion(np.arange(1, count + 1), motion_channels, values[:, columns]), rate


class _Words:
    """The words of a file, one after the other, with the line that each is in."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path, self.line = path, 0
        self._words = ((number, word) for number, line in enumerate(lines, start=1) for word in line.split())

    def next(self, expected: str) -> str:
        """The next word; `expected` says what it should be, where there is none."""
        self.line, word = next(self._words, (self.line, None))
        if word is None:
            self.refuse(f"the file ends where {expected} is expected: it is cut off; fetch it again")
        return word

    def take(self, expected: str) -> None:
        """Go on after a word that must be there."""
        word = self.next(expected)
        if word.upper() != expected:
            self.refuse(f"{word!r} where {expected} is expected; is this a .bvh file?")

    def number(self, what: str) -> float:
        """The next word as a finite number."""
        word = self.next(what)
        try:
            value = float(word) if "_" not in word else np.nan
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            self.refuse(f"{word!r} for {what} is not a finite number")
        return value

    def refuse(self, problem: str) -> NoReturn:
        raise UserError(f"{self.path}, line {self.line}: {problem}")


def _read_hierarchy(words: _Words) -> list[_Joint]:
    """The joints in the order of the file, in which their channels are, too."""
    words.take("HIERARCHY")
    words.take("ROOT")
    words.next("the root's name")
    joints = [_Joint(ROOT, None)]
    open_joints: list[_Joint] = []
    words.take("{")
    open_joints.append(joints[0])
    while open_joints:
        joint = open_joints[-1]
        word = words.next("}")
        match word.upper():
            case "OFFSET":
                joint.offset = _vector(words, f"the offset of {joint.name}")
            case "CHANNELS":
                joint.channels = _read_channels(words, joint)
            case "JOINT":
                name = words.next("a joint's name")
                if name in {other.name for other in joints}:
                    words.refuse(f"a second joint {name!r}; names must differ, and the first joint is called {ROOT!r}")
                joints.append(_Joint(name, joint.name))
                open_joints.append(joints[-1])
                words.take("{")
            case "END":
                for expected in ("SITE", "{", "OFFSET"):
                    words.take(expected)
                joint.ends.append(_vector(words, f"the end of {joint.name}"))
                words.take("}")
            case "}":
                open_joints.pop()
            case _:
                words.refuse(f"{word!r} where OFFSET, CHANNELS, JOINT, End Site or }} is expected")
    return joints


def _vector(words: _Words, what: str) -> tuple[float, float, float]:
    return words.number(what), words.number(what), words.number(what)


def _read_channels(words: _Words, joint: _Joint) -> tuple[str, ...]:
    count = int(words.number(f"the number of channels of {joint.name}"))
    names = []
    for _ in range(count):
        word = words.next("a channel")
        freedom = _CHANNELS.get(word[:1].upper() + word[1:].lower())
        if freedom is None:
            words.refuse(f"unknown channel {word!r} of {joint.name}; there are {', '.join(_CHANNELS)}")
        if freedom in names:
            words.refuse(f"the channel {word} of {joint.name} is there more than once")
        names.append(freedom)
    return tuple(names)


def _read_header(words: _Words) -> tuple[int, float]:
    """Number of frames, and frames per second."""
    words.take("MOTION")
    words.take("FRAMES:")
    count = words.number("the number of frames")
    if count < 1 or count != int(count):
        words.refuse(f"{count:g} frames, expected a whole number of at least 1")
    words.take("FRAME")
    words.take("TIME:")
    word = words.next("the time of a frame")
    try:
        seconds = float(word)
    except ValueError:
        seconds = np.nan
    if not (np.isfinite(seconds) and seconds > 0):
        words.refuse(f"{word!r} for the time of a frame is not a number of seconds above 0")
    return int(count), _rate(word, seconds)


def _rate(word: str, seconds: float) -> float:
    """Frames per second: the whole number that is written as this time where there is one, so that .0083333 is 120."""
    rate = 1 / seconds
    whole = max(1, round(rate))
    mantissa, _, exponent = word.lower().partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    is_rounded = abs(1 / whole - seconds) <= last_digit and abs(whole - rate) <= _NEAR * rate
    return float(whole) if is_rounded else rate


def _read_frames(path: Path, lines: list[str], header: int, count: int, width: int) -> Floats:
    """Values (frame, channel) of the lines after the header."""
    rows = [(number, line.split()) for number, line in enumerate(lines[header:], start=header + 1) if line.strip()]
    for frame, (number, words) in enumerate(rows, start=1):
        if len(words) != width:
            last = "; the recording is cut off in this frame: fetch it again" if frame == len(rows) else ""
            raise UserError(
                f"{path}, line {number}: {len(words)} values in frame {frame}, and the joints have {width} "
                f"channels{last}"
            )
    if len(rows) != count:
        raise UserError(
            f"{path}: the header says {count} frames, and there are {len(rows)}; fetch the file again, or correct the "
            "line `Frames:` if the recording is whole"
        )
    try:
        values = np.array([words for _, words in rows], dtype=np.float64)
    except ValueError:
        values = np.full((count, width), np.nan)
    if not np.isfinite(values).all():
        number, word = next(_no_numbers(rows))
        raise UserError(f"{path}, line {number}: {word!r} is not a finite number")
    _check_end(path, rows)
    return values


def _no_numbers(rows: list[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    for number, words in rows:
        for word in words:
            try:
                is_number = bool(np.isfinite(float(word)))
            except ValueError:
                is_number = False
            if not is_number:
                yield number, word


def _check_end(path: Path, rows: list[tuple[int, list[str]]]) -> None:
    """Refuse a file whose last number is cut: it then has fewer decimals than any number above it in its column."""
    decimals = [len(words[-1].partition(".")[2]) for _, words in rows]
    if len(decimals) > 2 and decimals[-1] < min(decimals[:-1]):
        number, words = rows[-1]
        raise UserError(
            f"{path}, line {number}: the last number, {words[-1]}, has fewer digits than those above it: the recording "
            "is cut off; fetch it again"
        )


def _skeleton(joints: list[_Joint], centimeters: float) -> Skeleton:
    bones = []
    for joint in joints:
        turning = tuple(freedom for freedom in reversed(joint.channels) if freedom.startswith("r"))
        if joint.parent is not None:
            # Rotations of the file are written from the outermost to the innermost; Acclaim's are in the order in
            # which they are made.
            bones.append(_bone(f"{joint.name}.offset", joint.parent, joint.offset))
            bones.append(_bone(joint.name, f"{joint.name}.offset", _REFERENCE, turning))
        bones += [
            _bone(f"{joint.name}.end{number + 1 if number else ''}", joint.name, end)
            for number, end in enumerate(joint.ends)
        ]
    root = joints[0]
    shifts = tuple(freedom for freedom in root.channels if freedom.startswith("t"))
    turns = tuple(freedom for freedom in reversed(root.channels) if freedom.startswith("r"))
    return Skeleton(
        name="",
        length_unit=_CENTIMETER / centimeters,
        mass=1.0,
        angle="deg",
        root_order=(*shifts, *turns),
        root_axis_order="XYZ",
        root_position=root.offset,
        root_orientation=_REFERENCE,
        bones=tuple(bones),
    )


def _bone(name: str, parent: str, offset: tuple[float, float, float], freedoms: tuple[str, ...] = ()) -> Bone:
    length = float(np.linalg.norm(offset))
    x, y, z = (value / length if length else 0.0 for value in offset)
    return Bone(
        name=name,
        direction=(x, y, z),
        length=length,
        axis=_REFERENCE,
        axis_order="XYZ",
        degrees_of_freedom=freedoms,
        limits=((-np.inf, np.inf),) * len(freedoms),
        parent=parent,
    )


def _warn_of_shifts(
    path: Path, channels: list[tuple[str, str]], motion_channels: tuple[tuple[str, str], ...], values: Floats
) -> None:
    """Tell of joints that shift, which is left out: the bones of a skeleton have one length."""
    shifting = [
        joint
        for number, (joint, freedom) in enumerate(channels)
        if (joint, freedom) not in motion_channels and np.ptp(values[:, number]) > _STILL
    ]
    if shifting:
        names = list(dict.fromkeys(shifting))
        logger.warning("%s: joints that shift are taken to stay where they are: %s", path, ", ".join(names[:5]))
