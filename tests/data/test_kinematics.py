import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sparsenode.data.motion.acclaim import Bone, Motion, Skeleton, read_motion, read_skeleton
from sparsenode.data.motion.kinematics import bone_segments, centimeters_per_unit, joint_positions
from sparsenode.errors import UserError

ROTATIONS = ("rx", "ry", "rz")
UPPER = Bone("upper", (0.0, 1.0, 0.0), 2.0, (0.0, 0.0, 0.0), "XYZ", ROTATIONS, (), "root")
LOWER = Bone("lower", (1.0, 0.0, 0.0), 1.0, (0.0, 0.0, 0.0), "XYZ", ("rz",), (), "upper")
ARM = Skeleton(
    name="arm",
    length_unit=1.0,
    mass=1.0,
    angle="deg",
    root_order=("tx", "ty", "tz", *ROTATIONS),
    root_axis_order="XYZ",
    root_position=(0.0, 0.0, 0.0),
    root_orientation=(0.0, 0.0, 0.0),
    bones=(UPPER, LOWER),
)
ANGLES = st.floats(-360, 360)


def place(skeleton: Skeleton, **degrees: float) -> np.ndarray:
    channels = [tuple(name.split("_")) for name in degrees]
    return joint_positions(skeleton, channels, np.array([list(degrees.values())], float).reshape(1, -1))[0]


@pytest.fixture(scope="module", params=["07/07_01", "08/08_01", "35/35_01", "35/35_30"])
def walk(request: pytest.FixtureRequest, mirror: Path) -> tuple[Skeleton, Motion]:
    path = mirror / "mocap.cs.cmu.edu" / "subjects" / f"{request.param}.amc"
    skeleton = read_skeleton(path.parent / f"{path.parent.name}.asf")
    return skeleton, read_motion(path, skeleton)


def test_segments_follow_the_parents() -> None:
    assert bone_segments(ARM) == [(0, 1), (1, 2)]
    assert bone_segments(replace(ARM, bones=(LOWER, UPPER))) == [(2, 1), (0, 2)]


@pytest.mark.parametrize(
    ("degrees", "upper", "lower"),
    [
        ({}, (0, 2, 0), (1, 2, 0)),
        ({"lower_rz": 90}, (0, 2, 0), (0, 3, 0)),
        ({"upper_rz": 90}, (-2, 0, 0), (-2, 1, 0)),
        ({"upper_rx": 90}, (0, 0, 2), (1, 0, 2)),
        ({"upper_ry": 90}, (0, 2, 0), (0, 2, -1)),
        ({"upper_rz": 90, "lower_rz": 90}, (-2, 0, 0), (-3, 0, 0)),
        # First about x, then about z, both fixed.
        ({"upper_rx": 90, "upper_rz": 90}, (0, 0, 2), (0, 1, 2)),
        ({"upper_rx": 90, "upper_ry": 90}, (2, 0, 0), (2, 0, -1)),
        ({"root_ry": 90, "lower_rz": 90}, (0, 2, 0), (0, 3, 0)),
        ({"root_ry": 90}, (0, 2, 0), (0, 2, -1)),
    ],
)
def test_quarter_turns_of_an_arm(degrees: dict[str, float], upper: tuple[float, ...], lower: tuple[float, ...]) -> None:
    np.testing.assert_allclose(place(ARM, **degrees), [(0, 0, 0), upper, lower], atol=1e-12)


def test_the_order_of_turns_is_that_of_the_degrees_of_freedom() -> None:
    turned = replace(ARM, bones=(replace(UPPER, degrees_of_freedom=("rz", "ry", "rx")), LOWER))
    # First about z, then about x.
    np.testing.assert_allclose(place(turned, upper_rx=90, upper_rz=90)[1], (-2, 0, 0), atol=1e-12)
    np.testing.assert_allclose(place(ARM, upper_rx=90, upper_rz=90)[1], (0, 0, 2), atol=1e-12)


def test_a_bone_turns_about_its_own_axes() -> None:
    # The bone's z is turned by 90 degrees about x and lies along -y.
    turned = replace(ARM, bones=(UPPER, replace(LOWER, axis=(90.0, 0.0, 0.0))))
    np.testing.assert_allclose(place(turned, lower_rz=90)[2], (0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(place(turned)[2], (1, 2, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("order", "expected"),
    # About x, then z: the bone's own x lies along y, as the bone does. About z, then x: along z.
    [("XYZ", (0, 2, 0)), ("ZYX", (-2, 0, 0))],
)
def test_the_order_of_the_axis(order: str, expected: tuple[float, ...]) -> None:
    bone = replace(UPPER, axis=(90.0, 0.0, 90.0), axis_order=order)
    found = place(replace(ARM, bones=(bone,)), upper_rx=90)[1]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_root_moves_and_turns_everything() -> None:
    moved = replace(ARM, root_position=(1.0, 2.0, 3.0))
    still = place(ARM, lower_rz=30)
    np.testing.assert_allclose(place(moved, root_tz=5, lower_rz=30), still + np.array([1, 2, 8]), atol=1e-12)
    # The root's own x lies along -z.
    oriented = replace(ARM, root_orientation=(0.0, 90.0, 0.0))
    np.testing.assert_allclose(place(oriented), place(ARM), atol=1e-12)
    np.testing.assert_allclose(place(oriented, root_rx=90)[1], place(ARM, root_rz=-90)[1], atol=1e-12)


def test_children_may_stand_before_their_parents_in_the_file() -> None:
    swapped = replace(ARM, bones=(LOWER, UPPER))
    np.testing.assert_array_equal(
        place(swapped, upper_rx=20, lower_rz=30), place(ARM, upper_rx=20, lower_rz=30)[[0, 2, 1]]
    )


@given(st.lists(ANGLES, min_size=7, max_size=7))
def test_angles_as_computed_by_scipy(angles: list[float]) -> None:
    bones = (replace(UPPER, axis=(10.0, 20.0, 30.0)), replace(LOWER, axis=(-40.0, 5.0, 60.0), axis_order="ZXY"))
    skeleton = replace(ARM, bones=bones, root_orientation=(15.0, 25.0, 35.0))
    names = [*(f"root_{name}" for name in ROTATIONS), *(f"upper_{name}" for name in ROTATIONS), "lower_rz"]
    found = place(skeleton, **dict(zip(names, angles, strict=True)))

    def around(own: Rotation, degrees: list[float]) -> Rotation:
        return own * Rotation.from_euler("xyz", degrees, degrees=True) * own.inv()

    root = around(Rotation.from_euler("xyz", skeleton.root_orientation, degrees=True), angles[:3])
    upper = root * around(Rotation.from_euler("xyz", bones[0].axis, degrees=True), angles[3:6])
    own = Rotation.from_euler("zxy", [60.0, -40.0, 5.0], degrees=True)
    lower = upper * around(own, [0.0, 0.0, angles[6]])
    end = upper.apply((0, 2, 0))
    np.testing.assert_allclose(found, [np.zeros(3), end, end + lower.apply((1, 0, 0))], atol=1e-12)


@pytest.mark.slow(reason="draws many examples")
@given(st.lists(st.lists(ANGLES, min_size=4, max_size=4), min_size=1, max_size=5))
def test_each_frame_is_placed_by_itself(rows: list[list[float]]) -> None:
    channels = [("upper", "rz"), ("root", "tx"), ("lower", "rz"), ("upper", "rx")]
    values = np.array(rows)
    together = joint_positions(ARM, channels, values)
    assert together.shape == (len(rows), 3, 3)
    for frame, row in enumerate(values):
        np.testing.assert_allclose(joint_positions(ARM, channels, row[None])[0], together[frame], atol=1e-10)


def test_channels_that_are_zero_may_be_left_out() -> None:
    channels = [(name, freedom) for name, names in ARM.degrees_of_freedom.items() for freedom in names]
    values = np.zeros((3, len(channels)))
    values[:, channels.index(("upper", "rz"))] = [10, 20, 30]
    np.testing.assert_allclose(
        joint_positions(ARM, [("upper", "rz")], np.array([[10.0], [20.0], [30.0]])),
        joint_positions(ARM, channels, values),
        atol=1e-14,
    )
    assert joint_positions(ARM, [], np.zeros((4, 0))).shape == (4, 3, 3)
    assert joint_positions(ARM, [("upper", "rz")], np.zeros((0, 1))).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("channels", "columns", "message"),
    [
        ([("upper", "rx")], 2, r"values of shape \(3, 2\) for 1 channels"),
        ([("upper", "rx"), ("upper", "rx")], 2, r"channel upper\.rx is given more than once"),
        ([("lower", "rx")], 1, r"no channel lower\.rx"),
        ([("leg", "rx")], 1, r"no channel leg\.rx"),
        ([("long", "l")], 1, r"channel long\.l is no rotation"),
    ],
)
def test_channels_that_are_refused(channels: list[tuple[str, str]], columns: int, message: str) -> None:
    skeleton = replace(ARM, bones=(*ARM.bones, replace(LOWER, name="long", degrees_of_freedom=("l",))))
    with pytest.raises(UserError, match=message):
        joint_positions(skeleton, channels, np.zeros((3, columns)))


# Published files


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_bones_keep_their_lengths(mirror: Path) -> None:
    for path in sorted((mirror / "mocap.cs.cmu.edu" / "subjects").glob("*/*.amc")):
        skeleton = read_skeleton(path.parent / f"{path.parent.name}.asf")
        motion = read_motion(path, skeleton)
        positions = joint_positions(skeleton, motion.channels, motion.values)
        assert positions.shape == (len(motion.frames), 31, 3)
        np.testing.assert_array_equal(positions[:, 0], motion.values[:, :3])
        start, end = np.array(bone_segments(skeleton)).T
        lengths = np.linalg.norm(positions[:, end] - positions[:, start], axis=-1)
        expected = [bone.length * np.linalg.norm(bone.direction) for bone in skeleton.bones]
        np.testing.assert_allclose(lengths, np.broadcast_to(expected, lengths.shape), rtol=1e-10)


def test_without_motion_bones_point_along_their_directions(walk: tuple[Skeleton, Motion]) -> None:
    skeleton, motion = walk
    positions = joint_positions(skeleton, motion.channels, np.zeros((1, len(motion.channels))))[0]
    for bone, (start, end) in zip(skeleton.bones, bone_segments(skeleton), strict=True):
        np.testing.assert_allclose(positions[end] - positions[start], np.array(bone.direction) * bone.length, atol=1e-9)


def test_turning_the_root_turns_all(walk: tuple[Skeleton, Motion]) -> None:
    skeleton, motion = walk
    channels = [channel for channel in motion.channels if channel[0] != "root"]
    values = motion.values[:20, 6:]
    still = joint_positions(skeleton, channels, values)
    turned = joint_positions(skeleton, [("root", "ry"), *channels], np.insert(values, 0, 90.0, axis=1))
    # x becomes -z, z becomes x.
    np.testing.assert_allclose(turned, np.stack((still[..., 2], still[..., 1], -still[..., 0]), axis=-1), atol=1e-9)


def test_people_have_the_height_of_people_and_walk_on_a_floor(walk: tuple[Skeleton, Motion]) -> None:
    skeleton, motion = walk
    positions = joint_positions(skeleton, motion.channels, motion.values) * centimeters_per_unit(skeleton)
    joints = {bone.name: number for number, bone in enumerate(skeleton.bones, start=1)}
    feet = positions[:, [joints["lfoot"], joints["rfoot"], joints["ltoes"], joints["rtoes"]], 1].min(axis=1)
    height = positions[:, joints["head"], 1] - feet
    assert 100 < height.min() < height.max() < 220
    # One foot is always near the floor, which is level.
    assert -10 < feet.min() < feet.max() < 15
    assert np.ptp(feet) < 15


def test_left_and_right_feet_take_turns_in_front(walk: tuple[Skeleton, Motion]) -> None:
    skeleton, motion = walk
    positions = joint_positions(skeleton, motion.channels, motion.values)
    joints = {bone.name: number for number, bone in enumerate(skeleton.bones, start=1)}
    way = positions[-1, 0] - positions[0, 0]
    ahead = (positions[:, joints["lfoot"]] - positions[:, joints["rfoot"]]) @ (way / np.linalg.norm(way))
    ahead *= centimeters_per_unit(skeleton)
    strides = [side for side, _ in itertools.groupby(np.sign(ahead[np.abs(ahead) > 20]))]
    assert len(strides) >= 3
    assert 40 < np.abs(ahead).max() < 130
    # Toes point the way.
    toes = positions[:, joints["ltoes"]] - positions[:, joints["ltibia"]]
    assert (toes @ way).mean() > 0
