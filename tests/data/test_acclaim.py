import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenode.data.motion import acclaim
from sparsenode.data.motion.acclaim import (
    Bone,
    Motion,
    Skeleton,
    centimeters_per_unit,
    read_motion,
    read_skeleton,
    skeleton_from_json,
    skeleton_to_json,
)
from sparsenode.errors import UserError

SKELETON = """\
# made by hand
:version 1.10
:name arm  # of nobody
:units
  mass 2.5
  length 0.45
  angle deg
:documentation
  free text, also with words like begin and root
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 1 2 3
  orientation 0 90 0
:bonedata
  begin
    id 1
    name shoulder
    direction 0 1 0
    length 2
    axis 0 0 0 XYZ
  end
  begin
    id 2
    name arm
    direction 1 0 0
    length 3.5
    axis 0 0 -1.5e-014 zyx
    dof rx ry l
    limits (-160.0 20.0)
           (-inf inf)
           (0 1)
  end
  begin
    id 3
    name hand
    direction 1 0 0
    length 1
    axis 0 0 30 XYZ
    dof rz
  end
:hierarchy
  begin
    root shoulder
    shoulder arm
    arm hand
  end
"""
MOTION = """\
#!OML:ASF somewhere
:FULLY-SPECIFIED
:DEGREES
135
root 1 2 3 4 5 6
arm 10 -1.07375e-014 0.5
hand 30
136
root 1 2 3 4 5 7
arm 20 1e-014 .5
hand -31.5
"""
CHANNELS = (
    *(("root", freedom) for freedom in ("tx", "ty", "tz", "rx", "ry", "rz")),
    *(("arm", freedom) for freedom in ("rx", "ry", "l")),
    ("hand", "rz"),
)
VALUES = [[1, 2, 3, 4, 5, 6, 10, -1.07375e-14, 0.5, 30], [1, 2, 3, 4, 5, 7, 20, 1e-14, 0.5, -31.5]]

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


@pytest.fixture
def skeleton(write: Write) -> Skeleton:
    return read_skeleton(write("arm.asf", SKELETON))


def motion_files(mirror: Path) -> list[Path]:
    return sorted((mirror / "mocap.cs.cmu.edu" / "subjects").glob("*/*.amc"))


def skeleton_of(path: Path) -> Skeleton:
    return read_skeleton(path.parent / f"{path.parent.name}.asf")


def read_by_line(path: Path, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    text = acclaim.read_text(path)
    header_lines, start, _ = acclaim._read_header(path, text, skeleton.angle)
    return acclaim._read_any(path, text[start:], header_lines, skeleton.degrees_of_freedom)


def assert_equal(found: Motion, expected: Motion) -> None:
    assert found.channels == expected.channels
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.values, expected.values)


# Skeletons


def test_a_skeleton(skeleton: Skeleton) -> None:
    assert (skeleton.name, skeleton.length_unit, skeleton.mass, skeleton.angle) == ("arm", 0.45, 2.5, "deg")
    assert skeleton.root_order == ("tx", "ty", "tz", "rx", "ry", "rz")
    assert skeleton.root_axis_order == "XYZ"
    assert skeleton.root_position == (1, 2, 3)
    assert skeleton.root_orientation == (0, 90, 0)
    assert skeleton.degrees_of_freedom == {
        "root": skeleton.root_order,
        "shoulder": (),
        "arm": ("rx", "ry", "l"),
        "hand": ("rz",),
    }
    infinite = (-math.inf, math.inf)
    assert skeleton.bones == (
        Bone("shoulder", (0, 1, 0), 2, (0, 0, 0), "XYZ", (), (), "root"),
        Bone(
            "arm",
            (1, 0, 0),
            3.5,
            (0, 0, -1.5e-14),
            "ZYX",
            ("rx", "ry", "l"),
            ((-160, 20), infinite, (0, 1)),
            "shoulder",
        ),
        Bone("hand", (1, 0, 0), 1, (0, 0, 30), "XYZ", ("rz",), (infinite,), "arm"),
    )
    assert centimeters_per_unit(skeleton) == pytest.approx(5.644444)


def test_radians_become_degrees_and_lengths_stay(skeleton: Skeleton, write: Write) -> None:
    text = SKELETON.replace("angle deg", "angle rad")
    for number in ("90", "-160.0", "20.0", "30"):
        text = text.replace(f" {number}", f" {math.radians(float(number))!r}").replace(
            f"({number}", f"({math.radians(float(number))!r}"
        )
    found = read_skeleton(write("radians.asf", text))
    assert found.angle == "rad"
    assert found.root_orientation == pytest.approx((0, 90, 0))
    assert found.bones[2].axis == pytest.approx((0, 0, 30))
    np.testing.assert_allclose(found.bones[1].limits, skeleton.bones[1].limits)


def test_sections_and_keys_in_any_order(skeleton: Skeleton, write: Write) -> None:
    head, *sections = re.split(r"^(?=:)", SKELETON, flags=re.MULTILINE)
    assert read_skeleton(write("sections.asf", head + "".join(sections[::-1]))) == skeleton
    moved = SKELETON.replace("    name arm\n", "").replace("           (0 1)\n", "           (0 1)\n    name arm\n")
    assert moved != SKELETON
    assert read_skeleton(write("keys.asf", moved)) == skeleton


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\n", 20),
        lambda text: text.replace("\n", " \t\n\n"),
        lambda text: text.replace("\n", "  # a comment\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("(-160.0 20.0)\n", "(-160.0, 20.0)"),
        lambda text: text.replace("  angle deg\n", ""),
        lambda text: text.replace("rx ry l", "RX RY L"),
        lambda text: text.rstrip("\n"),
    ],
)
def test_ways_to_write_the_same_skeleton(skeleton: Skeleton, write: Write, change: Callable[[str], str]) -> None:
    assert change(SKELETON) != SKELETON
    assert read_skeleton(write("other.asf", change(SKELETON))) == skeleton


def test_units_may_be_left_out(skeleton: Skeleton, write: Write) -> None:
    text = SKELETON.replace(":units\n  mass 2.5\n  length 0.45\n  angle deg\n", "")
    assert read_skeleton(write("units.asf", text)) == replace(skeleton, mass=1.0, length_unit=1.0)


def test_a_skeleton_as_json_and_back(skeleton: Skeleton, mirror: Path) -> None:
    for each in (skeleton, *{skeleton_of(path) for path in motion_files(mirror)}):
        text = skeleton_to_json(each)
        assert "Infinity" not in text
        assert skeleton_from_json(text) == each


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bones": 1}', '{"bones": [{"name": "arm"}]}'])
def test_other_json_is_no_skeleton(text: str) -> None:
    with pytest.raises(UserError, match="stored as a skeleton"):
        skeleton_from_json(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":root\n", "", r": no section :root"),
        (SKELETON[SKELETON.index(":root") : SKELETON.index(":bonedata")], "", r": no section :root"),
        (SKELETON[SKELETON.index(":bonedata") : SKELETON.index(":hierarchy")], "", r": no section :bonedata"),
        (SKELETON[SKELETON.index(":hierarchy") :], "", r": no section :hierarchy; is the file cut off"),
        (":hierarchy", ":bonedata", r"line 42: a second section :bonedata"),
        ("# made by hand", "made by hand", r"line 1: 'made' before the first section"),
        ("  order TX TY TZ RX RY RZ\n", "", r": the section :root has no order"),
        ("RX RY RZ", "RX RY RY", r"line 11: .*'ry' is there more than once"),
        ("RX RY RZ", "RX RY L", r"line 11: unknown degree of freedom 'l'"),
        ("axis XYZ", "axis XYX", r"line 12: the order of axes is 'XYX', expected one like XYZ"),
        ("position 1 2 3", "position 1 2", r"line 13: 2 values of position, expected 3"),
        ("orientation 0 90", "orientation 0 nan", r"line 14: 'nan' for orientation is not a finite number"),
        ("angle deg", "angle grad", r"line 7: the unit of angles is 'grad', expected deg or rad"),
        ("angle deg", "angle", r"line 7: the unit of angles is ''"),
        ("length 0.45", "length 0", r"line 6: the unit of length is 0, expected a positive"),
        ("mass 2.5", "mass 2.5 3", r"line 5: 2 values of mass, expected 1"),
        ("    name shoulder\n", "", r"line 16: this bone has no name"),
        ("    direction 0 1 0\n", "", r"line 16: this bone has no direction"),
        ("    length 3.5\n", "", r"line 23: this bone has no length"),
        ("    axis 0 0 30 XYZ\n", "", r"line 34: this bone has no axis"),
        ("name shoulder", "name left shoulder", r"line 18: the name is 'left shoulder', expected one word"),
        ("name arm\n", "name shoulder\n", r"line 23: a second bone 'shoulder'"),
        ("name hand", "name root", r"line 34: a second bone 'root'"),
        ("length 3.5", "length 3,5", r"line 27: 2 values of length, expected 1"),
        ("length 3.5", "length 3_5", r"line 27: '3_5' for length is not a finite number"),
        ("length 3.5", "length 3.5\n    length 4", r"line 28: a second length, after that of line 27"),
        ("axis 0 0 30 XYZ", "axis 0 0 30", r"line 39: the order of axes is ''"),
        ("axis 0 0 30 XYZ", "axis 0 0 XYZ", r"line 39: 'XYZ' for axis is not a finite number"),
        ("dof rz", "dof rz rw", r"line 40: unknown degree of freedom 'rw'"),
        ("           (0 1)\n", "", r"line 30: 4 values of limits, expected 6"),
        ("    dof rx ry l\n", "", r"line 29: 6 values of limits, expected 0"),
        ("(0 1)", "(0 nan)", r"line 30: 'nan' for limits is not a number"),
        ("(0 1)", "(0 up)", r"line 30: 'up' for limits is not a number"),
        ("  end\n  begin\n    id 2", "  begin\n    id 2", r"line 22: `begin` before the `end` of line 16"),
        ("    arm hand\n  end\n", "    arm hand\n", r"line 43: `begin` without `end`; is the file cut off"),
        ("  begin\n    id 2", "    id 2", r"line 23: 'id' where `begin` is expected"),
        ("    arm hand\n", "    arm hand finger\n", r"line 46: unknown bone 'finger'"),
        ("    arm hand\n", "    leg hand\n", r"line 46: unknown bone 'leg'"),
        ("    arm hand\n", "", r": bone 'hand' has no parent in the section :hierarchy"),
        (
            "    arm hand\n",
            "    arm hand\n    root hand\n",
            r"line 47: bone 'hand' hangs from 'arm' already \(line 46\)",
        ),
        ("    arm hand\n", "    arm hand root\n", r"line 46: the root hangs from 'arm'"),
        ("    root shoulder\n", "    hand shoulder\n", r"line 4[456]: bones hang from each other in a circle: "),
    ],
)
def test_a_damaged_skeleton_names_the_place(write: Write, old: str, new: str, message: str) -> None:
    assert old in SKELETON
    path = write("arm.asf", SKELETON.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"arm\.asf(, )?({message})"):
        read_skeleton(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty; fetch it again"),
        (b"\n \r\n", r"is empty"),
        (b"\xff\xfe:\0root\0\n", r"is not a text file \(character 3 is zero\)"),
        (b":root\0\n", r"is not a text file \(character 5 is zero\)"),
        (b"\n<!DOCTYPE html>\n", r"is a web page \(HTML\)"),
        (b"<HTML><title>404</title>\n", r"is a web page"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, skeleton: Skeleton, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (read_skeleton, lambda path: read_motion(path, skeleton)):
        with pytest.raises(UserError, match=f"^{re.escape(str(path))} {message}"):
            read(path)
        with pytest.raises(UserError, match=r"cannot read .*missing: No such file"):
            read(tmp_path / "missing")
        with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
            read(tmp_path)


# Motions


def test_a_motion(skeleton: Skeleton, write: Write) -> None:
    motion = read_motion(write("arm.amc", MOTION), skeleton)
    assert motion.channels == CHANNELS
    assert motion.frames.tolist() == [135, 136]
    assert motion.values.tolist() == VALUES
    assert (motion.frames.dtype, motion.values.dtype) == (np.int64, np.float64)
    assert motion.values.flags.c_contiguous


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\n", 5),
        lambda text: text.replace("\n", " \t\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text + "\n \n",
        lambda text: text.replace("\n", " # a comment\n"),
        lambda text: text.replace("\n", "\n# a comment\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace(" 10 ", " +1.0E1 "),
        lambda text: text.replace("arm", " arm"),
        lambda text: text.replace(":DEGREES", ":degrees").replace("FULLY", "Fully"),
        lambda text: text.replace(":DEGREES", ":SAMPLES-PER-SECOND 120"),
        lambda text: text.replace("135", "shoulder\n135").replace("shoulder\n135", "135\nshoulder"),
        lambda text: text.replace("arm 10 -1.07375e-014 0.5\nhand 30\n", "hand 30\narm 10 -1.07375e-014 0.5\n"),
        lambda text: re.sub(r"(root.*\n)(arm.*\n)(hand.*\n)", r"\3\1\2", text),
    ],
)
def test_ways_to_write_the_same_motion(skeleton: Skeleton, write: Write, change: Callable[[str], str]) -> None:
    assert change(MOTION) != MOTION
    path = write("other.amc", change(MOTION))
    expected = read_motion(write("arm.amc", MOTION), skeleton)
    assert_equal(read_motion(path, skeleton), expected)
    frames, values = read_by_line(path, skeleton)
    assert_equal(Motion(frames, CHANNELS, values), expected)


def test_columns_are_in_the_order_of_the_skeleton(skeleton: Skeleton, write: Write) -> None:
    other = replace(skeleton, root_order=("rz", "tx", "ry", "ty", "rx", "tz"), bones=skeleton.bones[::-1])
    motion = read_motion(write("arm.amc", MOTION), other)
    assert motion.channels == (
        *(("root", freedom) for freedom in other.root_order),
        ("hand", "rz"),
        *(("arm", freedom) for freedom in ("rx", "ry", "l")),
    )
    assert motion.values[0].tolist() == [1, 2, 3, 4, 5, 6, 30, 10, -1.07375e-14, 0.5]


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize(("keyword", "angle"), [(":RADIANS", "deg"), (":RADIANS", "rad"), ("", "rad")])
def test_radians(skeleton: Skeleton, write: Write, frames: int, keyword: str, angle: str) -> None:
    text = MOTION.replace(":DEGREES", keyword)[: MOTION.index("136") - 8 + len(keyword) if frames == 1 else None]
    motion = read_motion(write("arm.amc", text), replace(skeleton, angle=angle))
    expected = np.array(VALUES)[:frames]
    rotations = [3, 4, 5, 6, 7, 9]
    expected[:, rotations] *= 180 / math.pi
    np.testing.assert_allclose(motion.values, expected, rtol=1e-15)


def test_the_keyword_of_a_motion_wins(skeleton: Skeleton, write: Write) -> None:
    path = write("arm.amc", MOTION)
    assert_equal(read_motion(path, replace(skeleton, angle="rad")), read_motion(path, skeleton))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":FULLY-SPECIFIED\n", "", r": no keyword :FULLY-SPECIFIED before the first frame"),
        (":DEGREES\n", ":DEGREES\n:RADIANS\n", r" has both keywords :DEGREES and :RADIANS"),
        (MOTION[MOTION.index("135") :], "", r" has no frames; is the file cut off\?"),
        ("135\n", "", r", line 4: 'root' before the first frame number"),
        ("#!OML", "OML", r", line 1: 'OML:ASF' before the first frame number"),
        ("arm 20", "leg 20", r", line 10: unknown bone 'leg'"),
        ("135\n", "135\n12.5\n", r", line 5: unknown bone '12\.5'"),
        ("136\n", "1" + "0" * 18 + "\n", r", line 8: unknown bone '10+'"),
        ("arm 20 1e-014 .5", "arm 20 .5", r", line 10: 2 values of bone 'arm', expected 3"),
        ("arm 20 1e-014 .5", "arm 20 1e-014 .5 6", r", line 10: 4 values of bone 'arm', expected 3"),
        ("arm 20 1e-014 .5\nhand -31.5", "arm 20 1e-014\nhand -31.5 1", r", line 10: 2 values of bone 'arm'"),
        ("arm 20 1e-014 .5\nhand", "arm 20 1e-014\n.5 hand", r", line 10: 2 values of bone 'arm'"),
        ("arm 20 1e-014 .5\n", "arm 20 1e-014 \n.5 ", r", line 10: 2 values of bone 'arm'"),
        ("hand -31.5", "hand", r", line 11: 0 values of bone 'hand', expected 1"),
        ("hand 30", "hand 30 ;", r", line 7: 2 values of bone 'hand'"),
        ("hand 30", "hand 30\nshoulder 1", r", line 8: 1 values of bone 'shoulder', expected 0"),
        ("hand 30", "hand x", r", line 7: 'x' for bone 'hand' is not a finite number"),
        ("hand 30", "hand 3_0", r", line 7: '3_0' for bone 'hand' is not a finite number"),
        ("hand 30", "hand 3\u00a00", r", line 7: 2 values of bone 'hand'"),
        ("hand 30", "hand \u0663", r", line 7: '.*' for bone 'hand' is not"),
        ("hand 30", "hand nan", r", line 7: 'nan' for bone 'hand' is not a finite number"),
        ("hand 30", "hand -inf", r", line 7: '-inf' for bone 'hand' is not a finite number"),
        ("hand 30", "hand 1e999", r", line 7: '1e999' for bone 'hand' is not a finite number"),
        ("hand 30", "hand 0x10", r", line 7: '0x10' for bone 'hand' is not a finite number"),
        ("hand 30\n", "", r", line 4: frame 135 has no line for bone 'hand'$"),
        ("hand -31.5\n", "", r", line 8: frame 136 has no line for bone 'hand'; is the file cut off\?"),
        ("arm 20 1e-014 .5\nhand -31.5\n", "", r", line 8: frame 136 has no line for bone 'arm', 'hand'; is the"),
        (MOTION[MOTION.index("root 1 2 3 4 5 7") :], "", r", line 8: frame 136 has no line for bone 'root', 'arm'"),
        ("hand 30", "hand 30\nhand 30", r", line 8: bone 'hand' for the second time in frame 135"),
        ("136", "137", r", line 8: frame 137 follows frame 135, expected 136"),
        ("136", "135", r", line 8: frame 135 follows frame 135, expected 136"),
        ("136", "7", r", line 8: frame 7 follows frame 135, expected 136"),
        ("136", "-136", r", line 8: unknown bone '-136'"),
        ("hand -31.5\n", "hand -31", r", line 11: the last line has no end: the file is cut off; fetch it again"),
    ],
)
def test_a_damaged_motion_names_the_place(skeleton: Skeleton, write: Write, old: str, new: str, message: str) -> None:
    assert old in MOTION
    path = write("arm.amc", MOTION.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"arm\.amc{message}"):
        read_motion(path, skeleton)


@pytest.mark.slow(reason="draws many examples")
@given(cut=st.integers(1, len(MOTION) - 1))
def test_a_motion_cut_anywhere_is_refused_or_whole_frames(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "arm.asf").write_text(SKELETON)
    (folder / "arm.amc").write_text(MOTION[:cut])
    skeleton = read_skeleton(folder / "arm.asf")
    if cut == MOTION.index("136"):
        assert read_motion(folder / "arm.amc", skeleton).values.tolist() == VALUES[:1]
    else:
        with pytest.raises(UserError, match=r"arm\.amc"):
            read_motion(folder / "arm.amc", skeleton)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def motions(draw: st.DrawFn) -> tuple[Skeleton, Motion]:
    root_order = tuple(draw(st.permutations(("tx", "ty", "tz", "rx", "ry", "rz"))))
    choices = st.lists(st.sampled_from(("rx", "ry", "rz", "tx", "l")), unique=True, max_size=3)
    bones = [
        Bone(name, (0.0, 1.0, 0.0), 1.0, (0.0, 0.0, 0.0), "XYZ", tuple(freedoms), (), "root")
        for name, freedoms in zip("abcd", draw(st.lists(choices, min_size=1, max_size=4)), strict=False)
    ]
    skeleton = Skeleton("", 1.0, 1.0, "deg", root_order, "XYZ", (0.0,) * 3, (0.0,) * 3, tuple(bones))
    channels = tuple((name, freedom) for name, names in skeleton.degrees_of_freedom.items() for freedom in names)
    count, first = draw(st.integers(1, 4)), draw(st.integers(0, 10**17))
    rows = draw(
        st.lists(st.lists(FINITE, min_size=len(channels), max_size=len(channels)), min_size=count, max_size=count)
    )
    return skeleton, Motion(np.arange(first, first + count), channels, np.array(rows))


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=60)
@given(
    drawn=motions(),
    generator=st.randoms(use_true_random=False),
    shuffled=st.sampled_from(["no", "same", "each"]),
    end=st.sampled_from(["\n", "\r\n", " \n"]),
)
def test_a_motion_written_is_read_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[Skeleton, Motion],
    generator: random.Random,
    shuffled: str,
    end: str,
) -> None:
    skeleton, motion = drawn
    names = [name for name, freedoms in skeleton.degrees_of_freedom.items() if freedoms]
    if shuffled == "same":
        generator.shuffle(names)
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame, row in zip(motion.frames.tolist(), motion.values.tolist(), strict=True):
        lines.append(str(frame))
        if shuffled == "each":
            generator.shuffle(names)
        for name in names:
            values = [value for (bone, _), value in zip(motion.channels, row, strict=True) if bone == name]
            lines.append(" ".join([name, *map(repr, values)]))
    path = tmp_path_factory.mktemp("motion") / "drawn.amc"
    path.write_bytes("".join(line + end for line in lines).encode())
    assert_equal(read_motion(path, skeleton), motion)
    assert (np.signbit(read_motion(path, skeleton).values) == np.signbit(motion.values)).all()
    frames, values = read_by_line(path, skeleton)
    assert_equal(Motion(frames, motion.channels, values), motion)


# Published files


def test_published_skeletons(mirror: Path) -> None:
    skeletons = {path.parent.name: skeleton_of(path) for path in motion_files(mirror)}
    assert skeletons
    for skeleton in skeletons.values():
        assert len(skeleton.bones) == 30
        assert sum(len(freedoms) for freedoms in skeleton.degrees_of_freedom.values()) == 62
        assert (skeleton.length_unit, skeleton.angle, skeleton.root_axis_order) == (0.45, "deg", "XYZ")
        for bone in skeleton.bones:
            assert np.linalg.norm(bone.direction) == pytest.approx(1, abs=1e-4)
            assert len(bone.limits) == len(bone.degrees_of_freedom)
    assert {bone.name: bone.parent for bone in skeletons["07"].bones}["lthumb"] == "lwrist"


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_published_motions_hold_what_is_counted_otherwise(mirror: Path) -> None:
    for path in motion_files(mirror):
        motion = read_motion(path, skeleton_of(path))
        lines = path.read_text().splitlines()[3:]
        numbers = [int(line) for line in lines if line.isdigit()]
        assert motion.frames.tolist() == numbers
        assert motion.values.size == sum(line.count(" ") for line in lines)
        assert motion.values.shape == (len(numbers), 62)
        last = dict(line.split(" ", 1) for line in lines[-29:])
        flat = [float(last[bone].split()[index]) for bone, index in _places(motion)]
        assert motion.values[-1].tolist() == flat


def _places(motion: Motion) -> list[tuple[str, int]]:
    bones = [bone for bone, _ in motion.channels]
    return [(bone, bones[:column].count(bone)) for column, bone in enumerate(bones)]


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("part", range(4))
def test_quick_and_slow_reading_agree_on_published_motions(mirror: Path, part: int) -> None:
    for path in motion_files(mirror)[part::4]:
        skeleton = skeleton_of(path)
        text = path.read_text()
        uniform = acclaim._read_uniform(
            text[text.index("\n", text.index(":DEGREES")) + 1 :], skeleton.degrees_of_freedom
        )
        assert uniform is not None
        frames, values = read_by_line(path, skeleton)
        np.testing.assert_array_equal(uniform[0], frames)
        np.testing.assert_array_equal(uniform[1], values)


def test_comments_in_another_encoding_and_a_byte_order_mark_are_no_matter(tmp_path: Path, mirror: Path) -> None:
    folder = mirror / "mocap.cs.cmu.edu" / "subjects" / "35"
    body = read_skeleton(folder / "35.asf")
    plain = (folder / "35_30.amc").read_bytes()
    for number, start in enumerate((b"# Skelett f\xfcr Versuche\n", b"\xef\xbb\xbf")):
        path = tmp_path / f"{number}.amc"
        path.write_bytes(start + plain)
        np.testing.assert_array_equal(read_motion(path, body).values, read_motion(folder / "35_30.amc", body).values)
