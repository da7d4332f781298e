"""Recordings in the BVH format: read to the last digit, placed by independent kinematics, and refused where cut."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sparsenode.data.motion.acclaim import skeleton_from_json, skeleton_to_json
from sparsenode.data.motion.bvh import read_bvh
from sparsenode.data.motion.kinematics import bone_segments, centimeters_per_unit, joint_positions
from sparsenode.data.sources import make_source
from sparsenode.data.sources.mocap import body_part, side_of
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

ADDRESS = "https://raw.githubusercontent.com/yuki-koyama/bvh11/master/resources/{subject}_{trial}.bvh"
OFFSETS = {"upper": (1.0, 2.0, 0.5), "lower": (0.0, -3.0, 0.0)}
END = (0.5, 0.0, -1.0)
VALUES = np.round(np.random.default_rng(3).uniform(-170, 170, (6, 10)), 4)


def bvh(
    values: np.ndarray,
    *,
    root: str = "Xposition Yposition Zposition Zrotation Yrotation Xrotation",
    upper: str = "Zrotation Xrotation Yrotation",
    lower: str = "Xrotation",
    time: str = "0.025",
) -> str:
    """A chain of two joints below the root, with so many frames."""
    lines = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in values)
    return f"""HIERARCHY
ROOT Hips
{{
  OFFSET 0 0 0
  CHANNELS {len(root.split())} {root}
  JOINT upper
  {{
    OFFSET {" ".join(map(str, OFFSETS["upper"]))}
    CHANNELS {len(upper.split())} {upper}
    JOINT lower
    {{
      OFFSET {" ".join(map(str, OFFSETS["lower"]))}
      CHANNELS {len(lower.split())} {lower}
      End Site
      {{
        OFFSET {" ".join(map(str, END))}
      }}
    }}
  }}
}}
MOTION
Frames: {len(values)}
Frame Time: {time}
{lines}
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_channels_in_any_order_place_joints_as_rotations_of_another_package(tmp_path: Path) -> None:
    for order in itertools.permutations("XYZ"):
        root = " ".join(f"{axis}rotation" for axis in order) + " Zposition Xposition Yposition"
        upper = " ".join(f"{axis}rotation" for axis in reversed(order))
        skeleton, motion, _ = read_bvh(write(tmp_path / "chain.bvh", bvh(VALUES, root=root, upper=upper)))
        positions = joint_positions(skeleton, motion.channels, motion.values)
        place = VALUES[:, [4, 5, 3]]
        hips = Rotation.from_euler("".join(order), VALUES[:, :3], degrees=True)
        first = place + hips.apply(OFFSETS["upper"])
        middle = hips * Rotation.from_euler("".join(reversed(order)), VALUES[:, 6:9], degrees=True)
        second = first + middle.apply(OFFSETS["lower"])
        last = second + (middle * Rotation.from_rotvec(np.radians(VALUES[:, 9:]) * [1, 0, 0])).apply(END)
        joints = {bone.name: number for number, bone in enumerate(skeleton.bones, start=1)}
        for name, expected in {"upper": first, "lower": second, "lower.end": last}.items():
            np.testing.assert_allclose(positions[:, joints[name]], expected, atol=1e-9)
        np.testing.assert_allclose(positions[:, 0], place)


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "chain.bvh", bvh(VALUES).replace("\n", "\r\n").replace("Zrotation", "ZROTATION"))
    skeleton, motion, rate = read_bvh(path, centimeters=5.0)
    assert rate == 40.0
    assert motion.frames.tolist() == [1, 2, 3, 4, 5, 6]
    assert motion.channels == (
        *(("root", name) for name in ("tx", "ty", "tz", "rx", "ry", "rz")),
        *(("upper", name) for name in ("ry", "rx", "rz")),
        ("lower", "rx"),
    )
    np.testing.assert_array_equal(motion.values, VALUES[:, [0, 1, 2, 5, 4, 3, 8, 7, 6, 9]])
    assert centimeters_per_unit(skeleton) == pytest.approx(5.0)
    assert skeleton_from_json(skeleton_to_json(skeleton)) == skeleton


@pytest.mark.parametrize(
    ("time", "rate"),
    [(".0083333", 120.0), ("0.008333", 120.0), ("0.0333", 30.0), ("4.16667e-2", 24.0), ("0.034", 1 / 0.034)],
)
def test_a_time_of_few_digits_is_that_of_a_whole_number_of_frames(tmp_path: Path, time: str, rate: float) -> None:
    assert read_bvh(write(tmp_path / "chain.bvh", bvh(VALUES, time=time)))[2] == rate


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HIERARCHIE", "line 1: 'HIERARCHIE' where HIERARCHY is expected; is this a .bvh file"),
        ("JOINT lower", "JOINT upper", "line 10: a second joint 'upper'"),
        (
            "Xrotation Yrotation\n    JOINT",
            "Yrotation Yrotation\n    JOINT",
            "Yrotation of upper is there more",
        ),
        ("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation", "unknown channel 'Wrotation' of lower"),
        ("OFFSET 0 0 0", "OFFSET 0 nan 0", "line 4: 'nan' for the offset of root is not a finite number"),
        ("Frames: 6", "Frames: 7", "the header says 7 frames, and there are 6"),
        ("Frames: 6", "Frames: 5", "the header says 5 frames, and there are 6"),
        ("Frames: 6", "Frames: 0", "line 22: 0 frames, expected a whole number"),
        ("Time: 0.025", "Time: 0", "line 23: '0' for the time of a frame"),
        (f"{VALUES[2, 4]:.4f} ", "", "line 26: 9 values in frame 3, and the joints have 10 channels$"),
        (f"{VALUES[2, 4]:.4f}", "1.0000x", "line 26: '1.0000x' is not a finite number"),
        (f" {VALUES[5, 9]:.4f}", "", "9 values in frame 6, .* the recording is cut off in this frame"),
        (f"{VALUES[5, 9]:.4f}", f"{VALUES[5, 9]:.4f}"[:-2], "the last number, .*, has fewer digits"),
    ],
)
def test_a_damaged_recording_names_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = bvh(VALUES)
    assert old in text
    with pytest.raises(UserError, match=message):
        read_bvh(write(tmp_path / "chain.bvh", text.replace(old, new, 1)))


@pytest.mark.slow(reason="reads a recording cut at many places")
@given(cut=st.integers(0, len(bvh(VALUES)) - 2))
@settings(max_examples=60)
def test_a_recording_that_is_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "chain.bvh"
    with pytest.raises(UserError):
        read_bvh(write(path, bvh(VALUES)[:cut]))


def test_joints_that_shift_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, motion, _ = read_bvh(write(tmp_path / "chain.bvh", bvh(VALUES, lower="Xposition")))
    assert ("lower", "tx") not in motion.channels
    assert "joints that shift are taken to stay where they are: lower" in caplog.text


def options(**changes: object) -> dict:
    rows = [
        {"subject": "131", "trials": ["01", "02"], "motion": "walk", "split": "train"},
        {"subject": "131", "trials": ["03"], "motion": "hop", "split": "test"},
    ]
    return make_source("mocap", {"trials": rows, "recordings": ADDRESS, **changes}).options


def load(mirror: Path, **changes: object) -> RawTrajectories:
    source = make_source("mocap", options(**changes))
    return source.load({file.relative_path: mirror / file.relative_path for file in source.required_files()})


def test_the_laboratory_s_recordings_as_most_people_have_them(mirror: Path) -> None:
    files = make_source("mocap", options()).required_files()
    assert all(file.sha256 for file in files)
    raw = load(mirror)
    assert [trajectory.name for trajectory in raw.trajectories] == ["131_01", "131_02", "131_03"]
    assert [len(trajectory.times) for trajectory in raw.trajectories] == [249, 312, 276]
    assert not any(feature.startswith(("LHipJoint", "root.t")) for feature in raw.features)
    skeleton, motion, rate = read_bvh(mirror / files[0].relative_path)
    assert rate == 120.0
    column = [".".join(channel) for channel in motion.channels].index("LeftKnee.rx")
    number = raw.features.index("LeftKnee.rx")
    first = raw.trajectories[0]
    assert first.offset is not None
    assert first.scale is not None
    degrees = first.offset[number] + first.scale[number] * first.values[:, number]
    turns = (degrees - motion.values[::4, column]) / 360
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    # Whole turns are taken out: from frame to frame nothing turns by more than a half.
    every_frame = load(mirror, rate=120.0).trajectories
    jumps = [np.abs(np.diff(trajectory.values * trajectory.scale, axis=0)).max() for trajectory in every_frame]
    assert max(jumps) <= 180 + 1e-9
    assert set(raw.feature_labels["body_part"]) >= {"left leg", "right arm", "trunk", "head"}
    # A person of usual size stands on the floor, in centimeters by the unit of these conversions.
    positions = joint_positions(skeleton, motion.channels, motion.values) / 0.45 * 2.54
    assert 140 < np.ptp(positions[0, :, 1]) < 200
    segments = np.array(bone_segments(skeleton))
    lengths = np.linalg.norm(positions[:, segments[:, 0]] - positions[:, segments[:, 1]], axis=2)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-6)


def test_recordings_of_one_s_own_are_paths(tmp_path: Path) -> None:
    names = ("me_walk-1.bvh", "me_walk-2.bvh")
    for name, seed in zip(names, (1, 2), strict=True):
        values = np.random.default_rng(seed).uniform(-170, 170, (60, 10)).cumsum(axis=0) / 60
        write(tmp_path / name, bvh(values))
    rows = [
        {"subject": "me", "trials": ["walk-1"], "motion": "walk", "split": "train"},
        {"subject": "me", "trials": ["walk-2"], "motion": "walk", "split": "test"},
    ]
    own = {"trials": rows, "recordings": str(tmp_path / "{subject}_{trial}.bvh"), "rate": 20.0}
    source = make_source("mocap", own)
    assert source.required_files() == []
    assert source.local_files() == [tmp_path / name for name in names]
    assert [len(trajectory.times) for trajectory in source.load({}).trajectories] == [30, 30]
    with pytest.raises(UserError, match="40 frames per second, and rate is 60"):
        make_source("mocap", {**own, "rate": 60.0}).load({})
    with pytest.raises(UserError, match=r"recordings: found 'x/\{number\}.bvh' .*; allowed: a path or an address with"):
        make_source("mocap", {**own, "recordings": "x/{number}.bvh"}).local_files()
    with pytest.raises(UserError, match="trials: found 'me'; CMU numbers persons and trials by two or three digits"):
        make_source("mocap", {"trials": rows}).required_files()
    write(tmp_path / names[1], bvh(VALUES, lower="Yrotation"))
    with pytest.raises(UserError, match=r"walk-2\.bvh: its joints or their channels are not those of .*walk-1\.bvh"):
        source.load({})


@pytest.mark.parametrize(
    ("bone", "part"),
    [
        ("LeftUpLeg", "left leg"),
        ("RightForeArm", "right arm"),
        ("LThumb", "left arm"),
        ("Chest2", "trunk"),
        ("Tail", "other"),
    ],
)
def test_joints_are_parts_of_the_body(bone: str, part: str) -> None:
    pairs = [f"{side}{name}" for side in ("Left", "Right") for name in ("UpLeg", "ForeArm")]
    bones = [*pairs, "LThumb", "RThumb", "Chest2", "Tail", "LowerBack"]
    assert body_part(bone, side_of(bone, bones)) == part
    assert side_of("LowerBack", bones) == "middle"
