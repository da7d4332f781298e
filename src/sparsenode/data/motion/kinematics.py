"""Where the joints of an Acclaim skeleton are when its angles are given."""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np

from sparsenode.data.motion.acclaim import ROOT, ROTATIONS, Skeleton, centimeters_per_unit
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

__all__ = ["bone_segments", "centimeters_per_unit", "joint_positions"]


def bone_segments(skeleton: Skeleton) -> list[tuple[int, int]]:
    """The joints at which each bone starts and ends, as numbers of joints in `joint_positions`."""
    joints = _joint_numbers(skeleton)
    return [(joints[bone.parent], joints[bone.name]) for bone in skeleton.bones]


def joint_positions(skeleton: Skeleton, channels: Sequence[tuple[str, str]], values: Floats) -> Floats:
    """Positions (frame, joint, 3) in the unit of the skeleton: joint 0 is the root, joint i the end of its i-th bone.

    Args:
        skeleton: the bones.
        channels: pairs of a bone and a degree of freedom, (channel,). Those that are left out are zero.
        values: degrees, or lengths for the root's translations, (frame, channel).

    Raises:
        UserError: a channel is unknown, given twice, or moves a bone otherwise than by a rotation.
    """
    columns = _columns(skeleton, channels, values)
    nothing = np.zeros(len(values))
    joints = _joint_numbers(skeleton)
    positions = np.empty((len(values), len(joints), 3))
    positions[:, 0] = skeleton.root_position
    positions[:, 0] += np.stack([columns.get((ROOT, freedom), nothing) for freedom in ("tx", "ty", "tz")], axis=-1)

    axes = _own_axes(skeleton.root_orientation, skeleton.root_axis_order)
    turned = {ROOT: axes @ _motion(ROOT, skeleton.root_order, columns) @ axes.T}
    bones = {bone.name: bone for bone in skeleton.bones}
    for name in TopologicalSorter({bone.name: (bone.parent,) for bone in skeleton.bones}).static_order():
        if name == ROOT:
            continue
        bone = bones[name]
        # A bone turns about its own axes: into them, around, and back.
        axes = _own_axes(bone.axis, bone.axis_order)
        turned[name] = turned[bone.parent] @ axes @ _motion(name, bone.degrees_of_freedom, columns) @ axes.T
        reach = turned[name] @ (np.array(bone.direction) * bone.length)
        positions[:, joints[name]] = positions[:, joints[bone.parent]] + reach
    return positions


def _own_axes(axis: Sequence[float], order: str) -> Floats:
    degrees = {letter: np.array([angle]) for letter, angle in zip("XYZ", axis, strict=True)}
    return _rotation([(letter, degrees[letter]) for letter in order])[0]


def _motion(name: str, freedoms: Sequence[str], columns: Mapping[tuple[str, str], Floats]) -> Floats:
    rotations = [freedom for freedom in freedoms if freedom in ROTATIONS and (name, freedom) in columns]
    return _rotation([(freedom[1].upper(), columns[name, freedom]) for freedom in rotations])


def _joint_numbers(skeleton: Skeleton) -> dict[str, int]:
    return {name: number for number, name in enumerate([ROOT, *(bone.name for bone in skeleton.bones)])}


def _columns(skeleton: Skeleton, channels: Sequence[tuple[str, str]], values: Floats) -> dict[tuple[str, str], Floats]:
    freedoms = skeleton.degrees_of_freedom
    if values.ndim != 2 or values.shape[1] != len(channels):
        raise UserError(f"values of shape {values.shape} for {len(channels)} channels, expected (frame, channel)")
    if len(set(channels)) < len(channels):
        repeated = next(channel for channel in channels if list(channels).count(channel) > 1)
        raise UserError(f"the channel {'.'.join(repeated)} is given more than once")
    for name, freedom in channels:
        if freedom not in freedoms.get(name, ()):
            raise UserError(f"the skeleton has no channel {name}.{freedom}; give those that it has")
        if name != ROOT and freedom not in ROTATIONS:
            raise UserError(
                f"the channel {name}.{freedom} is no rotation; bones that shift or stretch are not supported"
            )
    return {(name, freedom): values[:, index] for index, (name, freedom) in enumerate(channels)}


def _rotation(turns: Sequence[tuple[str, Floats]]) -> Floats:
    """Matrices (frame, 3, 3) that turn about one axis after the other, the first first, each by degrees (frame,)."""
    result = np.eye(3)[None]
    for letter, degrees in turns:
        first = "XYZ".index(letter)
        second, third = (first + 1) % 3, (first + 2) % 3
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        matrices = np.zeros((len(degrees), 3, 3))
        matrices[:, first, first] = 1.0
        matrices[:, second, second] = matrices[:, third, third] = cosine
        matrices[:, third, second] = sine
        matrices[:, second, third] = -sine
        result = matrices @ result
    return result
