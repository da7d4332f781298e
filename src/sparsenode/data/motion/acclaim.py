"""Acclaim skeletons (.asf) and motions (.amc), as in the motion-capture database of CMU (mocap.cs.cmu.edu).

The readers published on PyPI fail on these files (comments in the first line, bones that do not move) or give no line
in their errors. Angles are degrees here whatever a file has; lengths keep the unit of the file. Motions that leave
bones out of a frame (without the keyword `:FULLY-SPECIFIED`) are refused.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

ROOT = "root"
ROTATIONS = ("rx", "ry", "rz")
_ROOT_MOVES = ("tx", "ty", "tz", *ROTATIONS)
_MOVES = (*_ROOT_MOVES, "l")
_LONGEST_FRAME_NUMBER = 18  # digits, so that it fits into 64 bits
_BLANKS = str.maketrans("(),", "   ")  # in a skeleton, these separate words as blanks do
_INCH = 2.54  # cm

_Line = tuple[int, list[str]]  # its number in the file, and its words
_Entries = Mapping[str, _Line]
_Vector = tuple[float, float, float]
_Freedoms = Mapping[str, tuple[str, ...]]
_UNITS: dict[str, _Line] = {"mass": (0, ["1"]), "length": (0, ["1"]), "angle": (0, ["deg"])}


@dataclass(frozen=True)
class Bone:
    """One bone: from the end of its `parent`, `length` along `direction`, which is given in the room's axes.

    `axis` are the degrees, about x, y and z, by which the bone's own axes are turned, one after the other as
    `axis_order` says. It moves in its `degrees_of_freedom`, each within one pair of `limits` (degrees or lengths).
    """

    name: str
    direction: _Vector
    length: float
    axis: _Vector
    axis_order: str
    degrees_of_freedom: tuple[str, ...]
    limits: tuple[tuple[float, float], ...]
    parent: str


@dataclass(frozen=True)
class Skeleton:
    """Bones in the order of the file, hanging from a root. A length divided by `length_unit` is in inches.

    `angle` is the unit of the file, `deg` or `rad`; all angles here are in degrees.
    """

    name: str
    length_unit: float
    mass: float
    angle: str
    root_order: tuple[str, ...]
    root_axis_order: str
    root_position: _Vector
    root_orientation: _Vector
    bones: tuple[Bone, ...]

    @property
    def degrees_of_freedom(self) -> dict[str, tuple[str, ...]]:
        """Those of the root and of each bone, in the order of the file; empty where a bone does not move."""
        return {ROOT: self.root_order} | {bone.name: bone.degrees_of_freedom for bone in self.bones}


@dataclass(frozen=True)
class Motion:
    """One recording: `frames` (frame,) are numbers rising by one, `values` (frame, channel) degrees or lengths.

    `channels` are pairs of a bone and a degree of freedom, in the order of the skeleton, the root first.
    """

    frames: NDArray[np.int64]
    channels: tuple[tuple[str, str], ...]
    values: Floats


def centimeters_per_unit(skeleton: Skeleton) -> float:
    """Centimeters in one unit of length of the skeleton and its motions."""
    return _INCH / skeleton.length_unit


def skeleton_to_json(skeleton: Skeleton) -> str:
    """The skeleton as JSON; a limit that is absent, or infinite, is null."""
    content = asdict(skeleton)
    for bone in content["bones"]:
        bone["limits"] = [[limit if math.isfinite(limit) else None for limit in pair] for pair in bone["limits"]]
    return json.dumps(content, allow_nan=False)


def skeleton_from_json(text: str) -> Skeleton:
    """The skeleton that `skeleton_to_json` wrote.

    Raises:
        UserError: the text is something else.
    """
    try:
        content = json.loads(text, object_hook=_with_tuples)
        return Skeleton(**content | {"bones": tuple(Bone(**bone) for bone in content["bones"])})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"what is stored as a skeleton is none ({error!r}); write the data again") from error


def _with_tuples(content: dict[str, object]) -> dict[str, object]:
    if isinstance(limits := content.get("limits"), list):
        pairs = ((-math.inf if low is None else low, math.inf if high is None else high) for low, high in limits)
        content["limits"] = tuple(pairs)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def read_skeleton(path: Path) -> Skeleton:
    """Read an .asf file.

    Raises:
        UserError: the file cannot be read, is damaged, or contradicts itself.
    """
    sections = _sections(path, read_text(path))
    for section in (":root", ":bonedata", ":hierarchy"):
        if section not in sections:
            raise UserError(f"{path}: no section {section}; is the file cut off?")
    units = _UNITS | _entries(path, 0, sections.get(":units", []), ())
    number, words = units["angle"]
    angle = " ".join(words).lower()
    if angle not in {"deg", "rad"}:
        _refuse(path, number, f"the unit of angles is {angle!r}, expected deg or rad")
    (length_unit,) = _numbers(path, units, "length", 1)
    if length_unit <= 0:
        _refuse(path, units["length"][0], f"the unit of length is {length_unit:g}, expected a positive number")
    degrees = 1.0 if angle == "deg" else math.degrees(1.0)
    root = _entries(path, 0, sections[":root"], ("order", "axis", "position", "orientation"))
    bones: dict[str, Bone] = {}
    for start, lines in _blocks(path, sections[":bonedata"]):
        bone = _read_bone(path, start, lines, degrees)
        if bone.name in bones or bone.name == ROOT:
            _refuse(path, start, f"a second bone {bone.name!r}; names must differ")
        bones[bone.name] = bone
    parents = _read_hierarchy(path, sections[":hierarchy"], bones)
    return Skeleton(
        name=" ".join(word for _, words in sections.get(":name", []) for word in words[1:]),
        length_unit=length_unit,
        mass=_numbers(path, units, "mass", 1)[0],
        angle=angle,
        root_order=_freedoms(path, root["order"], _ROOT_MOVES),
        root_axis_order=_axis_order(path, root["axis"]),
        root_position=_vector(path, root, "position"),
        root_orientation=_vector(path, root, "orientation", degrees),
        bones=tuple(replace(bone, parent=parents[name]) for name, bone in bones.items()),
    )


def read_motion(path: Path, skeleton: Skeleton) -> Motion:
    """Read an .amc file, of a person with this skeleton.

    Raises:
        UserError: the file cannot be read, is damaged or cut off, or does not fit the skeleton.
    """
    text = read_text(path)
    if not text.endswith("\n"):
        # A number that is cut is still a number.
        _refuse(path, text.count("\n") + 1, "the last line has no end: the file is cut off; fetch it again")
    header_lines, start, angle = _read_header(path, text, skeleton.angle)
    freedoms, body = skeleton.degrees_of_freedom, text[start:]
    frames, values = _read_uniform(body, freedoms) or _read_any(path, body, header_lines, freedoms)
    channels = tuple((bone, freedom) for bone, names in freedoms.items() for freedom in names)
    if angle == "rad":
        rotations = [freedom in ROTATIONS for _, freedom in channels]
        values[:, rotations] = np.degrees(values[:, rotations])
    return Motion(frames, channels, values)


def _refuse(path: Path, number: int, problem: str) -> NoReturn:
    raise UserError(f"{path}, line {number}: {problem}")


_BYTE_ORDER_MARK = "\xef\xbb\xbf"  # of UTF-8, read as latin-1


def read_text(path: Path) -> str:
    """Text of a skeleton or motion, without what marks the order of its bytes.

    Raises:
        UserError: the file cannot be read, is empty, or no text.
    """
    # Comments may be in any encoding, and all else is ASCII: latin-1 reads every byte, so no comment is refused.
    try:
        text = path.read_text(encoding="latin-1").removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if (position := text.find("\0")) >= 0:
        raise UserError(f"{path} is not a text file (character {position} is zero)")
    if not text.strip():
        raise UserError(f"{path} is empty; fetch it again")
    if text[:512].lstrip().lower().startswith(("<!doctype html", "<html")):
        raise UserError(f"{path} is a web page (HTML) in place of data; delete it and fetch the data again")
    return text


def _number(word: str) -> float | None:
    # Python also takes 1_000 and digits of other scripts for numbers.
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None


def _numbers(path: Path, entries: _Entries, key: str, count: int, *, infinite: bool = False) -> tuple[float, ...]:
    number, words = entries[key]
    if len(words) != count:
        _refuse(path, number, f"{len(words)} values of {key}, expected {count}")
    values = []
    for word in words:
        value = _number(word)
        if value is None or math.isnan(value) or (math.isinf(value) and not infinite):
            _refuse(path, number, f"{word!r} for {key} is not a {'' if infinite else 'finite '}number")
        values.append(value)
    return tuple(values)


def _vector(path: Path, entries: _Entries, key: str, factor: float = 1.0) -> _Vector:
    x, y, z = _numbers(path, entries, key, 3)
    return x * factor, y * factor, z * factor


# Skeletons


def _sections(path: Path, text: str) -> dict[str, list[_Line]]:
    """Lines of each section that hold more than a comment; a section's keyword is the first if words follow it."""
    sections: dict[str, list[_Line]] = {}
    current: list[_Line] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition("#")[0].translate(_BLANKS).split()
        if words and words[0].startswith(":"):
            keyword = words[0].lower()
            if keyword in sections:
                _refuse(path, number, f"a second section {keyword}; a file has one of each")
            current = sections[keyword] = [(number, words)] if len(words) > 1 else []
        elif words and current is None:
            _refuse(path, number, f"{words[0]!r} before the first section; is this an .asf file?")
        elif words and current is not None:
            current.append((number, words))
    return sections


def _blocks(path: Path, lines: Sequence[_Line]) -> list[tuple[int, list[_Line]]]:
    """Lines between each `begin` and `end`, and the line number of the `begin`."""
    blocks: list[tuple[int, list[_Line]]] = []
    is_open = False
    for number, words in lines:
        word = words[0].lower()
        if word == "begin" and is_open:
            _refuse(path, number, f"`begin` before the `end` of line {blocks[-1][0]}; add the missing `end`")
        if word not in {"begin", "end"} and is_open:
            blocks[-1][1].append((number, words))
        elif word != "begin" and not is_open:
            _refuse(path, number, f"{words[0]!r} where `begin` is expected")
        elif word == "begin":
            blocks.append((number, []))
        is_open = word != "end"
    if is_open:
        _refuse(path, blocks[-1][0], "`begin` without `end`; is the file cut off?")
    return blocks


def _entries(path: Path, start: int, lines: Sequence[_Line], required: Sequence[str]) -> dict[str, _Line]:
    """What follows the first word of each line, by that word; limits go on over lines that begin with a number."""
    entries: dict[str, _Line] = {}
    key = ""
    for number, words in lines:
        if key == "limits" and _number(words[0]) is not None:
            entries[key][1].extend(words)
            continue
        key = words[0].lower()
        if key in entries:
            _refuse(path, number, f"a second {key}, after that of line {entries[key][0]}")
        entries[key] = (number, words[1:])
    for key in required:
        if key not in entries:
            where = f"{path}, line {start}: this bone" if start else f"{path}: the section :root"
            raise UserError(f"{where} has no {key}; is the file damaged?")
    return entries


def _read_bone(path: Path, start: int, lines: Sequence[_Line], degrees: float) -> Bone:
    entries = _entries(path, start, lines, ("name", "direction", "length", "axis"))
    number, words = entries["name"]
    if len(words) != 1:
        _refuse(path, number, f"the name is {' '.join(words)!r}, expected one word")
    # The order of the axes follows their numbers.
    number, axis = entries["axis"]
    entries |= {"axis": (number, axis[:3]), "order": (number, axis[3:])}
    freedoms = _freedoms(path, entries.get("dof", (start, [])), _MOVES)
    limits = (-math.inf, math.inf) * len(freedoms)
    if "limits" in entries:
        limits = _numbers(path, entries, "limits", 2 * len(freedoms), infinite=True)
    factors = [degrees if freedom in ROTATIONS else 1.0 for freedom in freedoms]
    pairs = zip(limits[::2], limits[1::2], factors, strict=True)
    return Bone(
        name=words[0],
        direction=_vector(path, entries, "direction"),
        length=_numbers(path, entries, "length", 1)[0],
        axis=_vector(path, entries, "axis", degrees),
        axis_order=_axis_order(path, entries["order"]),
        degrees_of_freedom=freedoms,
        limits=tuple((low * factor, high * factor) for low, high, factor in pairs),
        parent=ROOT,
    )


def _axis_order(path: Path, line: _Line) -> str:
    order = " ".join(line[1]).upper()
    if sorted(order) != ["X", "Y", "Z"]:
        _refuse(path, line[0], f"the order of axes is {order!r}, expected one like XYZ")
    return order


def _freedoms(path: Path, line: _Line, allowed: Sequence[str]) -> tuple[str, ...]:
    names = tuple(word.lower() for word in line[1])
    for name in names:
        if name not in allowed:
            _refuse(path, line[0], f"unknown degree of freedom {name!r}; there are {', '.join(allowed)}")
        if names.count(name) > 1:
            _refuse(path, line[0], f"the degree of freedom {name!r} is there more than once")
    return names


def _read_hierarchy(path: Path, lines: Sequence[_Line], bones: Mapping[str, Bone]) -> dict[str, str]:
    """The parent of each bone."""
    parents: dict[str, str] = {}
    line_numbers: dict[str, int] = {}
    for number, (parent, *children) in (line for _, block in _blocks(path, lines) for line in block):
        for name in (parent, *children):
            if name not in bones and name != ROOT:
                _refuse(path, number, f"unknown bone {name!r}; the section :bonedata does not have it")
        for name in children:
            if name in parents:
                _refuse(path, number, f"bone {name!r} hangs from {parents[name]!r} already (line {line_numbers[name]})")
            parents[name], line_numbers[name] = parent, number
    if ROOT in parents:
        _refuse(path, line_numbers[ROOT], f"the root hangs from {parents[ROOT]!r}, expected from nothing")
    if absent := [name for name in bones if name not in parents]:
        raise UserError(f"{path}: bone {absent[0]!r} has no parent in the section :hierarchy")
    try:
        TopologicalSorter({name: (parent,) for name, parent in parents.items()}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        _refuse(path, line_numbers[circle[0]], f"bones hang from each other in a circle: {', '.join(circle)}")
    return parents


# Motions


def _is_frame_number(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].isdecimal() and words[0].isascii() and len(words[0]) <= _LONGEST_FRAME_NUMBER


def _read_header(path: Path, text: str, angle: str) -> tuple[int, int, str]:
    """Lines and characters before the first frame number, and the unit of angles, by default that of the skeleton."""
    start = 0
    keywords: set[str] = set()
    for count, line in enumerate(io.StringIO(text, newline="\n")):
        words = line.partition("#")[0].split()
        if _is_frame_number(words):
            break
        if words and not words[0].startswith(":"):
            _refuse(path, count + 1, f"{words[0]!r} before the first frame number; is this an .amc file?")
        keywords.update(word.upper() for word in words[:1])
        start += len(line)
    else:
        raise UserError(f"{path} has no frames; is the file cut off?")
    if ":FULLY-SPECIFIED" not in keywords:
        raise UserError(f"{path}: no keyword :FULLY-SPECIFIED before the first frame; other motions are not supported")
    if {":DEGREES", ":RADIANS"} <= keywords:
        raise UserError(f"{path} has both keywords :DEGREES and :RADIANS; keep the right one")
    return count, start, "deg" if ":DEGREES" in keywords else "rad" if ":RADIANS" in keywords else angle


def _read_uniform(body: str, freedoms: _Freedoms) -> tuple[NDArray[np.int64], Floats] | None:
    """Frame numbers and values (frame, channel) if all frames are laid out like the first; else none, quickly.

    As words and separators are then equally many, and separators are as expected, so is each line.
    """
    import pyarrow as pa

    moving = {bone: names for bone, names in freedoms.items() if names}
    order = [line.partition(" ")[0] for line in body.split("\n", len(moving) + 1)[1:-1]]
    if sorted(order) != sorted(moving) or not body.isascii():
        return None
    words = body.split()
    width = 1 + sum(1 + len(names) for names in moving.values())
    count = len(words) // width
    expected = "\n" + "".join(" " * len(moving[bone]) + "\n" for bone in order)
    characters = np.frombuffer(body.encode(), np.uint8)
    if len(words) % width or characters[characters <= ord(" ")].tobytes() != expected.encode() * count:
        return None
    first = int(words[0])
    if words[::width] != [str(number) for number in range(first, first + count)]:
        return None
    value_offsets, offset = {}, 1
    for bone in order:
        if words[offset::width].count(bone) != count:
            return None
        value_offsets[bone] = offset + 1
        offset += 1 + len(moving[bone])
    columns = [
        words[value_offsets[bone] + index :: width] for bone, names in moving.items() for index in range(len(names))
    ]
    try:
        # Four times as fast as `float`, to the same bits, and without its 1_000.
        values = pa.array([word for column in columns for word in column]).cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    if not np.isfinite(values).all():
        return None
    return np.arange(first, first + count), np.array(values.reshape(len(columns), count).T, order="C")


def _read_any(path: Path, body: str, header_lines: int, freedoms: _Freedoms) -> tuple[NDArray[np.int64], Floats]:
    """Frame numbers and values (frame, channel) line by line, in whatever order, or the first error."""
    frames: list[int] = []
    rows: list[dict[str, tuple[float, ...]]] = []
    line_numbers: list[int] = []
    for number, line in enumerate(body.split("\n"), start=header_lines + 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if _is_frame_number(words):
            frame = int(words[0])
            if frames:
                _check_complete(path, line_numbers[-1], frames[-1], rows[-1], freedoms)
                if frame != frames[-1] + 1:
                    _refuse(path, number, f"frame {frame} follows frame {frames[-1]}, expected {frames[-1] + 1}")
            frames.append(frame)
            rows.append({})
            line_numbers.append(number)
            continue
        bone = words[0]
        if bone not in freedoms:
            _refuse(path, number, f"unknown bone {bone!r}; the skeleton does not have it")
        if bone in rows[-1]:
            _refuse(path, number, f"bone {bone!r} for the second time in frame {frames[-1]}")
        line_of_bone = {f"bone {bone!r}": (number, words[1:])}
        rows[-1][bone] = _numbers(path, line_of_bone, f"bone {bone!r}", len(freedoms[bone]))
    _check_complete(path, line_numbers[-1], frames[-1], rows[-1], freedoms, after="; is the file cut off?")
    values = [[value for bone in freedoms for value in row.get(bone, ())] for row in rows]
    return np.array(frames, np.int64), np.array(values, np.float64)


def _check_complete(
    path: Path, number: int, frame: int, row: Mapping[str, object], freedoms: _Freedoms, after: str = ""
) -> None:
    missing = [bone for bone, names in freedoms.items() if names and bone not in row]
    if missing:
        _refuse(path, number, f"frame {frame} has no line for bone {', '.join(map(repr, missing))}{after}")
