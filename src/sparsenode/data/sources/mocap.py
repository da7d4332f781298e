"""mocap: joint angles of people who walk, play golf or wave, recorded by the CMU Graphics Lab (mocap.cs.cmu.edu).

A trajectory is one trial, a feature one rotation of one joint; where the body is in the room is left out.
Angles are sampled at times `k / rate` by linear interpolation between the two frames beside them, and nothing is
smoothed: a filter would mix what comes after the start of a forecast into its start. The credit that the
database asks for is kept in the file.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.motion.acclaim import ROTATIONS, Motion, Skeleton, read_motion, read_skeleton, skeleton_to_json
from sparsenode.data.motion.bvh import read_bvh
from sparsenode.data.outline import Outline
from sparsenode.data.source import Source
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory, constant_labels
from sparsenode.data.transforms import value_range
from sparsenode.errors import UserError, some_of
from sparsenode.files import is_web_address
from sparsenode.typed import EachOnce, HomePath, Settings, Text

logger = logging.getLogger(__name__)

_ADDRESS = "http://mocap.cs.cmu.edu/subjects"
_CREDIT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu; "
    "the database was created with funding from NSF EIA-0196217."
)
_TURN, _HALF_TURN = 360.0, 180.0
_FLIPPING_JOINTS = ("lhand", "rhand", "lthumb", "rthumb")
_SHARE_OF_LAST = 0.25  # a flipping joint that turns on smoothly stays on its branch up to 2/3 of a period from the mean
_DOUBTFUL = 90.0  # degrees from the mean
_ON_A_FRAME = 1e-6  # frames; times this close to a frame are the frame's
_FEWEST_SAMPLES = 2
_USUAL_SECONDS = 3.2  # of a trial
_NAMED = 5  # frames or angles listed in a log line
_REGIONS = {
    "leg": ("hipjoint", "femur", "tibia", "foot", "toes", "hip", "upleg", "knee", "leg", "ankle", "toe", "toebase"),
    "arm": (
        *("clavicle", "humerus", "radius", "wrist", "hand", "fingers", "thumb"),
        *("collar", "shoulder", "arm", "elbow", "forearm", "handthumb", "fingerbase", "handindex1"),
    ),
    "trunk": ("lowerback", "upperback", "thorax", "spine", "spine1", "spine2", "chest", "chest2"),
    "head": ("lowerneck", "upperneck", "head", "neck", "neck1"),
    "root": ("root",),
}
_REGION_OF = {bone: region for region, bones in _REGIONS.items() for bone in bones}
_LIMBS = {"leg", "arm"}
_SIDES = (
    *(("Left", "Right", "left"), ("Right", "Left", "right")),
    *(("l", "r", "left"), ("r", "l", "right"), ("L", "R", "left"), ("R", "L", "right")),
)
"""How names begin on a side, and how those of the mirrored bones do."""

Channel = tuple[str, str]


Label = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$",
        json_schema_extra={
            "x-allowed": 'two or three digits in quotes, like "01" (without quotes it is read as a number); of '
            "`recordings` also letters, _ and -"
        },
    ),
]


def _is_none(value: Any) -> bool:
    return value is None


class TrialRow(Settings):
    """A row of the table of trials."""

    subject: Label = Field(description="The person's number.")
    trials: tuple[Label, ...] = Field(min_length=1, description="Numbers of the person's trials.")
    motion: Text = Field(description="What the person does; baselines are fitted for each motion.")
    split: Literal["train", "validation", "test", "calibration"] = Field(
        description="What the trials are for. Those for calibration give the scale of a person without training "
        "trials, and are no trajectories."
    )
    start: Annotated[float, Field(ge=0)] | SkipJsonSchema[None] = Field(
        None, exclude_if=_is_none, description="Where to cut, in seconds from the first frame."
    )
    stop: Annotated[float, Field(gt=0)] | SkipJsonSchema[None] = Field(
        None, exclude_if=_is_none, description="Where to end, in seconds from the first frame."
    )


class MocapSource(Source):
    """The source and its options."""

    has_body: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()

    trials: tuple[TrialRow, ...] = Field(
        min_length=1,
        description="Table of trials: subject, trials, motion, split, and optionally start and stop of each row.",
    )
    recordings: HomePath | None = Field(
        None,
        description="Paths or addresses of recordings in the BVH format, with `{subject}` and `{trial}` for those of "
        "the table, such as `https://HOST/data/{subject:0>3}/{subject}_{trial}.bvh`; null: skeletons and motions (ASF, "
        "AMC) from CMU's server.",
    )
    centimeters: float = Field(
        1.0, gt=0, description="Centimeters in one unit of length of BVH recordings, which do not say it."
    )
    motions: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] | None = Field(
        None, description="Motions of the table to use; null for all."
    )
    rate: float = Field(30.0, gt=0, description="Samples per second, at most `source_rate`.")
    source_rate: float = Field(120.0, gt=0, description="Frames per second of AMC files; BVH recordings say their own.")
    half_turns: Literal["correct", "keep"] = Field(
        "correct",
        description="`correct`: take out half turns of the `half_turn_joints`, such that each frame is near the "
        "person's mean over the trials for training or calibration; `keep`: leave them. Whole turns are "
        "always taken out.",
    )
    half_turn_joints: Annotated[tuple[str, ...], EachOnce] = Field(
        ("lhand", "rhand", "lthumb", "rthumb"),
        description="Joints of the skeleton of which the capture sees too little, so that their angles flip.",
    )
    scaling: Literal["person", "training_range"] = Field(
        "person",
        description="`training_range`: each angle by its range over the training trials, for everyone. `person`: a "
        "person without training trials by mean and spread of the own calibration trials, which are "
        "mapped to those of the training trials.",
    )
    least_range: float = Field(
        0.5, ge=0, description="Degrees; an angle whose range over the training trials is smaller is left out."
    )
    least_spread: float = Field(
        0.3, gt=0, description="Degrees; a smaller standard deviation is taken for this one when persons are scaled."
    )

    def required_files(self) -> list[RemoteFile]:
        """The skeleton of each person and each trial in use.

        Raises:
            UserError: the table of trials contradicts itself.
        """
        trials = _trials_in_use(self)
        if (pattern := self.recordings) is not None:
            addresses = [_recording_address(pattern, trial) for trial in trials]
            return [known_file(address) for address in dict.fromkeys(addresses) if is_web_address(address)]
        skeletons = {trial.subject: trial.skeleton_file for trial in trials}
        return [*skeletons.values(), *(trial.motion_file for trial in trials)]

    def local_files(self) -> list[Path]:
        """Recordings that are no addresses.

        Raises:
            UserError: the table of trials contradicts itself.
        """
        if (pattern := self.recordings) is None:
            return []
        addresses = [_recording_address(pattern, trial) for trial in _trials_in_use(self)]
        return [Path(address) for address in dict.fromkeys(addresses) if not is_web_address(address)]

    def outline(self) -> Outline:
        """The motions that are trained on, and about how long CMU's trials are; the files tell which joints move."""
        trained = [trial.motion for trial in _trials_in_use(self) if trial.split == "train"]
        return Outline(
            groups=tuple(dict.fromkeys(trained)),
            trajectories=len(trained),
            observations=round(_USUAL_SECONDS * self.rate),
            duration=_USUAL_SECONDS,
            feature_count=53,
        )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory for each trial that is not for calibration, named like `35_01`; `files` by HOST/PATH.

        Features are rotations, named like `lfemur.rx`; an angle in degrees is `offset + scale * value`. The
        provenance holds, as JSON, the `skeletons` of the persons, the `motions` of the trajectories, and the
        channels left out as constant: `constant_channels`, and `constant_degrees`, their mean for each person over
        the trials for training or calibration (0 for a person without any).

        Raises:
            UserError: the table contradicts itself, a file is damaged, skeletons differ, a trial is too short, or
                no channel moves.
        """
        trials = _trials_in_use(self)
        if self.recordings is None:
            skeletons = _read_skeletons(trials, files)
            motions = [_read_amc(self, trial, skeletons[trial.subject], files) for trial in trials]
        else:
            motions, skeletons = _read_bvh_files(self, self.recordings, trials, files)
        freedoms = skeletons[trials[0].subject].degrees_of_freedom
        channels = [(bone, name) for bone, names in freedoms.items() for name in names if name in ROTATIONS]
        branches = _branches(self, channels)
        recordings = [
            _cut_recording(self, trial, motion, channels) for trial, motion in zip(trials, motions, strict=True)
        ]
        samples = _correct(recordings, branches, channels)
        training = [trial_samples.angles for trial_samples in samples if trial_samples.trial.split == "train"]
        _, extent = value_range(np.vstack(training))
        moving = (extent >= self.least_range) & (extent > 0)
        names = [".".join(channel) for channel in channels]
        constant = [name for name, moves in zip(names, moving, strict=True) if not moves]
        if not moving.any():
            message = (
                f"data source mocap: no channel moves by {self.least_range:g} degrees over the training "
                "trials; choose a smaller least_range or other trials"
            )
            raise UserError(message)
        trajectories = _scale(self, samples, moving)
        logger.info(
            "mocap: %d trials in use, %d of them trajectories; %d channels, and %d left out that move by less than "
            "%g degrees in training: %s",
            len(samples),
            len(trajectories),
            len(names) - len(constant),
            len(constant),
            self.least_range,
            ", ".join(constant) or "none",
        )
        moving_channels = [channel for channel, moves in zip(channels, moving, strict=True) if moves]
        return RawTrajectories(
            kind="measured",
            features=tuple(name for name, moves in zip(names, moving, strict=True) if moves),
            trajectories=trajectories,
            time_unit="second",
            value_unit="share of the training range",
            scaling=self.scaling,
            feature_labels=_feature_labels(moving_channels, list(freedoms)),
            source_unit="degree",
            provenance={
                "skeletons": json.dumps(
                    {subject: json.loads(skeleton_to_json(skeleton)) for subject, skeleton in skeletons.items()}
                ),
                "constant_channels": json.dumps(constant),
                "constant_degrees": json.dumps(_constant_degrees(samples, moving, constant)),
                "motions": json.dumps(
                    {
                        trial_samples.trial.name: trial_samples.trial.motion
                        for trial_samples in samples
                        if _is_shown(trial_samples.trial)
                    }
                ),
                "credit": _CREDIT,
            },
        )


@dataclass(frozen=True)
class _Trial:
    """An entry of the table; `start` and `stop` in seconds from the first frame of the file."""

    subject: str
    number: str
    motion: str
    split: str
    start: float
    stop: float | None

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.number}"

    @property
    def skeleton_file(self) -> RemoteFile:
        return known_file(f"{_ADDRESS}/{self.subject}/{self.subject}.asf")

    @property
    def motion_file(self) -> RemoteFile:
        return known_file(f"{_ADDRESS}/{self.subject}/{self.name}.amc")


@dataclass(frozen=True)
class _Recording:
    """What is used of a trial's file: numbers of `frames` (frame,), and `angles` (frame, channel) as they are there.

    `times` (sample,) in seconds from the trial's start, and `addresses` (sample,), where they lie among the frames.
    """

    trial: _Trial
    frames: NDArray[np.int64]
    angles: Floats
    times: Floats
    addresses: Floats


@dataclass(frozen=True)
class _Branches:
    """How the angles of each channel, (channel,), may be read: plus any number of times `period`, in degrees.

    `share_of_last` says how far the frame before decides between them, the rest is up to the mean.
    """

    period: Floats
    share_of_last: Floats


@dataclass(frozen=True)
class _Samples:
    """A trial's `times` (sample,) in seconds from its start and `angles` (sample, channel) in degrees."""

    trial: _Trial
    times: Floats
    angles: Floats


def _is_shown(trial: _Trial) -> bool:
    return trial.split != "calibration"


def _trials_in_use(options: MocapSource) -> list[_Trial]:
    """Entries of the table whose motion is in use, checked as far as that goes without the files."""
    table = [
        _Trial(row.subject, number, row.motion, row.split, row.start or 0.0, row.stop)
        for row in options.trials
        for number in row.trials
    ]
    motions = options.motions
    trials = [trial for trial in table if motions is None or trial.motion in motions]
    problem = (
        _rate_problem(options)
        or _number_problem(options, table)
        or _entry_problem(table)
        or _motion_problem(table, motions)
        or _split_problem(trials, options.scaling)
    )
    if problem:
        message = f"data source mocap: {problem}"
        raise UserError(message)
    return trials


def _rate_problem(options: MocapSource) -> str | None:
    if options.recordings is None and options.rate > options.source_rate:
        return (
            f"rate {options.rate:g} is above source_rate {options.source_rate:g}; choose at most as many "
            "samples per second as the files have frames"
        )
    return None


def _number_problem(options: MocapSource, table: Sequence[_Trial]) -> str | None:
    if options.recordings is not None:
        return None
    numbers = [number for trial in table for number in (trial.subject, trial.number)]
    wrong = [number for number in numbers if not re.fullmatch("[0-9]{2,3}", number)]
    return f"trials: found {wrong[0]!r}; CMU numbers persons and trials by two or three digits" if wrong else None


def _entry_problem(table: Sequence[_Trial]) -> str | None:
    names = [trial.name for trial in table if trial.split != "calibration"]
    repeated = sorted({name for name in names if names.count(name) > 1} | _overlapping(table))
    if repeated:
        return (
            f"trials: {', '.join(repeated)} more than once in the table; name each trial once, or calibrate on a part "
            "of it (start, stop) that is not forecast"
        )
    for trial in table:
        if trial.stop is not None and trial.stop <= trial.start:
            return f"trials: {trial.name} has start {trial.start:g} and stop {trial.stop:g}; stop has to be later"
    return None


def _overlapping(table: Sequence[_Trial]) -> set[str]:
    """Trials of which some frames are in the table twice."""
    names = set()
    for entry, other in combinations(table, 2):
        ends = [math.inf if trial.stop is None else trial.stop for trial in (entry, other)]
        if entry.name == other.name and entry.start <= ends[1] and other.start <= ends[0]:
            names.add(entry.name)
    return names


def _motion_problem(table: Sequence[_Trial], motions: Sequence[str] | None) -> str | None:
    table_motions = list(dict.fromkeys(trial.motion for trial in table))
    unknown = [motion for motion in motions or [] if motion not in table_motions]
    if unknown:
        return (
            f"motions: {', '.join(map(repr, unknown))} not in the table of trials; "
            f"there are: {', '.join(table_motions)}"
        )
    return None


def _split_problem(trials: Sequence[_Trial], scaling: str) -> str | None:
    trained = {trial.subject for trial in trials if trial.split == "train"}
    calibrated = {trial.subject for trial in trials if trial.split == "calibration"}
    if not trained:
        return "trials: no trial in use is for training; add a row with split train"
    unused = [trial.name for trial in trials if trial.split == "calibration" and trial.subject in trained]
    if unused:
        return (
            f"trials: {', '.join(unused)} for calibration would go unused, since there are training trials of the "
            "same person; remove them, or give them another split"
        )
    missing = sorted({trial.subject for trial in trials} - trained - calibrated)
    if missing and scaling == "person":
        return (
            f"trials: no scale for person {', '.join(missing)}, without training trials; add a row with split "
            "calibration, or choose scaling: training_range"
        )
    return _calibration_problem(trials) if scaling == "person" else None


def _calibration_problem(trials: Sequence[_Trial]) -> str | None:
    """How far joints swing is compared between persons, which means something only for the same motions."""
    training = {trial.motion for trial in trials if trial.split == "train"}
    for subject in dict.fromkeys(trial.subject for trial in trials if trial.split == "calibration"):
        calibration_motions = {
            trial.motion for trial in trials if (trial.subject, trial.split) == (subject, "calibration")
        }
        if calibration_motions != training:
            return (
                f"trials: person {subject} is calibrated on {', '.join(sorted(calibration_motions))}, but training is "
                f"on {', '.join(sorted(training))}; calibrate on the same motions, or choose among them by `motions`"
            )
    return None


@dataclass(frozen=True)
class _FileMotion:
    """A motion with the path that it was read from, and its frames per second."""

    path: Path
    motion: Motion
    rate: float


def _recording_address(pattern: str, trial: _Trial) -> str:
    """Path or address of a trial's recording."""
    try:
        address = pattern.format(subject=trial.subject, trial=trial.number)
    except (LookupError, ValueError, AttributeError) as error:
        message = (
            f"data source mocap: recordings: found {pattern!r} ({error}); allowed: a path or an address with "
            "{subject} and {trial}"
        )
        raise UserError(message) from error
    return address


def _read_skeletons(trials: Sequence[_Trial], files: Mapping[str, Path]) -> dict[str, Skeleton]:
    """The skeleton of each person."""
    paths = {trial.subject: files[trial.skeleton_file.relative_path] for trial in trials}
    skeletons = {subject: read_skeleton(path) for subject, path in paths.items()}
    _check_alike(skeletons, paths)
    return skeletons


def _read_amc(options: MocapSource, trial: _Trial, skeleton: Skeleton, files: Mapping[str, Path]) -> _FileMotion:
    path = files[trial.motion_file.relative_path]
    return _FileMotion(path, read_motion(path, skeleton), options.source_rate)


def _read_bvh_files(
    options: MocapSource, pattern: str, trials: Sequence[_Trial], files: Mapping[str, Path]
) -> tuple[list[_FileMotion], dict[str, Skeleton]]:
    """The motion of each trial, and the skeleton of each person, which all the person's files must have."""
    skeletons: dict[str, Skeleton] = {}
    paths: dict[str, Path] = {}
    motions = []
    for trial in trials:
        address = _recording_address(pattern, trial)
        path = files[known_file(address).relative_path] if is_web_address(address) else Path(address)
        skeleton, motion, rate = read_bvh(path, centimeters=options.centimeters)
        if rate < options.rate:
            message = f"{path}: {rate:g} frames per second, and rate is {options.rate:g}; choose at most as many"
            raise UserError(message)
        if skeletons.setdefault(trial.subject, skeleton).degrees_of_freedom != skeleton.degrees_of_freedom:
            message = (
                f"{path}: its joints or their channels are not those of {paths[trial.subject]}, of the same person; "
                "give recordings of one skeleton"
            )
            raise UserError(message)
        paths.setdefault(trial.subject, path)
        motions.append(_FileMotion(path, motion, rate))
    _check_alike(skeletons, paths)
    return motions, skeletons


def _check_alike(skeletons: Mapping[str, Skeleton], paths: Mapping[str, Path]) -> None:
    """Refuse persons whose bones or degrees of freedom differ."""
    first, *remaining = skeletons
    for other in remaining:
        # As lists: dictionaries are equal in any order.
        if list(skeletons[other].degrees_of_freedom.items()) != list(skeletons[first].degrees_of_freedom.items()):
            message = (
                f"{paths[other]}: its bones and degrees of freedom are not those of {paths[first]}, in the same "
                "order; use persons whose skeletons have the same ones"
            )
            raise UserError(message)


def _branches(options: MocapSource, channels: Sequence[Channel]) -> _Branches:
    """Hands and thumbs turn less than half about; other joints, and the body, may turn on and on."""
    joints = list(dict.fromkeys(bone for bone, _ in channels))
    for name in options.half_turn_joints:
        if name not in joints and name not in _FLIPPING_JOINTS:
            message = (
                f"data source mocap: half_turn_joints: the skeleton has no joint {name!r} that turns; there are: "
                f"{', '.join(joints)}"
            )
            raise UserError(message)
    flips = np.array([bone in options.half_turn_joints for bone, _ in channels])
    half_turns = flips & (options.half_turns == "correct")
    return _Branches(
        period=np.where(half_turns, _HALF_TURN, _TURN),
        share_of_last=np.where(flips, _SHARE_OF_LAST, 1.0),
    )


def _cut_recording(options: MocapSource, trial: _Trial, file: _FileMotion, channels: Sequence[Channel]) -> _Recording:
    motion, count = file.motion, len(file.motion.frames)
    times, positions = _sampling(count, options.rate, file.rate, trial.start, trial.stop)
    if len(times) < _FEWEST_SAMPLES:
        length = (count - 1) / file.rate
        stop = "its end" if trial.stop is None else f"{trial.stop:g} s"
        message = (
            f"{file.path}: a recording of {length:g} s, of which {len(times)} samples at rate {options.rate:g} lie "
            f"between {trial.start:g} s and {stop}; it takes at least two: change start or stop of {trial.name}"
        )
        raise UserError(message)
    column = {channel: index for index, channel in enumerate(motion.channels)}
    first = int(positions[0])
    used = slice(first, math.ceil(positions[-1]) + 1)
    angles = motion.values[used, [column[channel] for channel in channels]]
    return _Recording(trial, motion.frames[used], angles, times, positions - first)


def _correct(recordings: Sequence[_Recording], branches: _Branches, channels: Sequence[Channel]) -> list[_Samples]:
    """The samples of all recordings without whole and half turns; what is to be forecast changes no other recording."""
    means: dict[str, Floats] = {}
    for subject in dict.fromkeys(recording.trial.subject for recording in recordings):
        in_view = [recording for recording in recordings if recording.trial.split in {"train", "calibration"}]
        personal = [recording.angles for recording in in_view if recording.trial.subject == subject]
        training = [recording.angles for recording in in_view if recording.trial.split == "train"]
        means[subject] = mean_angles(personal or training, branches.period, branches.share_of_last)
    corrected = [
        choose_branches(recording.angles, means[recording.trial.subject], branches.period, branches.share_of_last)
        for recording in recordings
    ]
    for recording, angles in zip(recordings, corrected, strict=True):
        _log_half_turns(recording, angles, channels)
    _warn_of_far_angles(recordings, corrected, means, channels)
    return [
        _Samples(recording.trial, recording.times, _interpolate(angles, recording.addresses))
        for recording, angles in zip(recordings, corrected, strict=True)
    ]


def choose_branches(angles: Floats, mean: Floats, period: Floats, share_of_last: Floats) -> Floats:
    """Take as many times `period` out of each angle as bring it nearest to where it is expected.

    The first frame is expected at the `mean`; each later one at the mean, moved by `share_of_last` of how far the frame
    before is from it: at 1 angles turn on and on, and one jump that is read wrongly moves all that follow; at less they
    come back to the mean, and those that move smoothly do not flip to and fro where two branches are equally far. A
    frame depends on no later one.

    Args:
        angles: (frame, channel) in degrees.
        mean: (channel,) in degrees, where the first frame is expected.
        period: (channel,) in degrees.
        share_of_last: (channel,), how far the frame before decides where the next one is expected.

    Returns:
        The angles (frame, channel) in degrees.
    """
    chosen = np.empty_like(angles)
    expected = mean
    for frame, read in enumerate(angles):
        # Whole numbers are taken times the period, so that an angle on its branch stays the same to the last bit.
        chosen[frame] = read - period * np.round((read - expected) / period)
        expected = mean + share_of_last * (chosen[frame] - mean)
    return chosen


def mean_angles(recordings: Sequence[Floats], period: Floats, share_of_last: Floats) -> Floats:
    """Mean (channel,) in degrees over all frames of some recordings, each angle on its nearest branch.

    Branches are chosen near the mean direction, where most frames are.

    Args:
        recordings: each (frame, channel) in degrees.
        period: (channel,) in degrees.
        share_of_last: (channel,), as for `choose_branches`.
    """
    frames = np.vstack(recordings)
    circles = 2 * np.pi * frames / period
    direction = np.arctan2(np.sin(circles).mean(axis=0), np.cos(circles).mean(axis=0)) * period / (2 * np.pi)
    direction += period * np.round((np.median(frames, axis=0) - direction) / period)
    corrected = [choose_branches(angles, direction, period, share_of_last) for angles in recordings]
    return np.asarray(np.vstack(corrected).mean(axis=0))


def _log_half_turns(recording: _Recording, corrected: Floats, channels: Sequence[Channel]) -> None:
    turned = np.round((corrected - recording.angles) / _HALF_TURN) % 2 == 1
    for index in np.flatnonzero(turned.any(axis=0)).tolist():
        frames = np.flatnonzero(turned[:, index])
        stretches = [recording.frames[stretch] for stretch in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)]
        listed = [f"{stretch[0]} to {stretch[-1]}" if len(stretch) > 1 else f"{stretch[0]}" for stretch in stretches]
        logger.info(
            "mocap: %s: half a turn taken out of %s in %d of %d frames: %s",
            recording.trial.name,
            ".".join(channels[index]),
            len(frames),
            len(corrected),
            some_of(listed, _NAMED),
        )


def _warn_of_far_angles(
    recordings: Sequence[_Recording],
    corrected: Sequence[Floats],
    means: Mapping[str, Floats],
    channels: Sequence[Channel],
) -> None:
    far: list[tuple[float, str]] = []
    for recording, angles in zip(recordings, corrected, strict=True):
        distance = np.abs(angles - means[recording.trial.subject])
        for index in np.flatnonzero((distance > _DOUBTFUL).any(axis=0)).tolist():
            frame = recording.frames[np.argmax(distance[:, index] > _DOUBTFUL)]
            most = float(distance[:, index].max())
            far.append(
                (most, f"{recording.trial.name} {'.'.join(channels[index])} (up to {most:.0f}, from frame {frame})")
            )
    if far:
        listed = [text for _, text in sorted(far, key=lambda entry: -entry[0])[:_NAMED]]
        logger.warning(
            "mocap: angles are more than %g degrees from their mean over the trials for training or calibration: %s; "
            "people may move or turn so far, or the capture has flipped there: look at the trials, and name a joint "
            "that flips by half turns in `half_turn_joints`",
            _DOUBTFUL,
            ", ".join(listed) + (f", and {len(far) - _NAMED} more" if len(far) > _NAMED else ""),
        )


def resample(
    values: Floats, rate: float, source_rate: float, start: float = 0.0, stop: float | None = None
) -> tuple[Floats, Floats]:
    """Sample `values` at the times `start + k / rate` up to `stop` or the last frame.

    Linear between the two frames beside a time; where a frame is at that time, only its values count.

    Args:
        values: (frame, channel).
        rate: samples per second.
        source_rate: frames per second.
        start: seconds from the first frame.
        stop: seconds from the first frame; the last frame, if not given.

    Returns:
        Times (sample,) in seconds from `start`, and values (sample, channel); none where the recording ends before
        `start`.
    """
    times, positions = _sampling(len(values), rate, source_rate, start, stop)
    return times, _interpolate(values, positions)


def _sampling(frames: int, rate: float, source_rate: float, start: float, stop: float | None) -> tuple[Floats, Floats]:
    """Times of the samples in seconds from `start`, and where they lie among the frames, both (sample,)."""
    last = float(frames - 1)
    end = last if stop is None else min(stop * source_rate, last)
    step = source_rate / rate
    # Half of what counts as on a frame, so that a last sample beyond the end is on it.
    count = max(0, int(np.floor((end - start * source_rate + _ON_A_FRAME / 2) / step)) + 1)
    index = np.arange(count)
    positions = start * source_rate + step * index
    nearest = np.round(positions)
    return index / rate, np.where(np.abs(positions - nearest) < _ON_A_FRAME, nearest, positions)


def _interpolate(values: Floats, positions: Floats) -> Floats:
    below = np.floor(positions).astype(np.int64)
    above = np.ceil(positions).astype(np.int64)
    share = (positions - below)[:, None]
    return np.asarray(values[below] + share * (values[above] - values[below]))


def _scale(options: MocapSource, samples: Sequence[_Samples], moving: NDArray[np.bool_]) -> tuple[Trajectory, ...]:
    """Trajectories in modeling units, of the channels that move."""
    training = [trial_samples.angles[:, moving] for trial_samples in samples if trial_samples.trial.split == "train"]
    shared = value_range(np.vstack(training))
    scales = {}
    for subject in dict.fromkeys(trial_samples.trial.subject for trial_samples in samples):
        calibration = [
            trial_samples.angles[:, moving]
            for trial_samples in samples
            if trial_samples.trial.subject == subject and trial_samples.trial.split == "calibration"
        ]
        if options.scaling == "person" and calibration:
            scales[subject] = person_scale(training, calibration, shared, options.least_spread)
        else:
            scales[subject] = shared
    return tuple(
        _trajectory(trial_samples, trial_samples.angles[:, moving], *scales[trial_samples.trial.subject])
        for trial_samples in samples
        if _is_shown(trial_samples.trial)
    )


def person_scale(
    training: Sequence[Floats], calibration: Sequence[Floats], shared: tuple[Floats, Floats], least_spread: float
) -> tuple[Floats, Floats]:
    """Offset and scale, each (channel,), of a person without training trials.

    The mean over the `calibration` observations is mapped to what the mean over the `training` observations is
    mapped to by the `shared` offset and scale, and so is the spread, where both are above `least_spread`
    (degrees): the square root of the mean over trials of the variance within a trial.

    Args:
        training: every training trial, (sample, channel) in degrees.
        calibration: every calibration trial of the person, (sample, channel) in degrees.
        shared: offset and scale of the persons with training trials, each (channel,) in degrees.
        least_spread: degrees; smaller spreads are raised to it.
    """
    offset, scale = shared
    scaled_mean = (np.vstack(training).mean(axis=0) - offset) / scale
    ratio = np.maximum(_spread(calibration), least_spread) / np.maximum(_spread(training), least_spread)
    return np.vstack(calibration).mean(axis=0) - scaled_mean * scale * ratio, scale * ratio


def _spread(trials: Sequence[Floats]) -> Floats:
    return np.asarray(np.sqrt(np.mean([trial.var(axis=0) for trial in trials], axis=0)))


def _trajectory(samples: _Samples, angles: Floats, offset: Floats, scale: Floats) -> Trajectory:
    trial, count = samples.trial, len(samples.times)
    return Trajectory(
        name=trial.name,
        group=trial.motion,
        subject=trial.subject,
        times=samples.times,
        values=(angles - offset) / scale,
        splits=constant_labels(trial.split, count),
        phases=constant_labels("fit", count),
        offset=offset,
        scale=scale,
        time_offset=trial.start,
    )


def _constant_degrees(
    samples: Sequence[_Samples], moving: NDArray[np.bool_], constant: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Mean of each constant channel for each person, in degrees; what is to be forecast is not looked at."""
    degrees = {}
    for subject in dict.fromkeys(trial_samples.trial.subject for trial_samples in samples):
        seen = [
            trial_samples.angles[:, ~moving]
            for trial_samples in samples
            if trial_samples.trial.subject == subject and trial_samples.trial.split in {"train", "calibration"}
        ]
        means = np.vstack(seen).mean(axis=0).tolist() if seen else [0.0] * len(constant)
        degrees[subject] = dict(zip(constant, means, strict=True))
    return degrees


def _feature_labels(channels: Sequence[Channel], bones: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {
        "joint": tuple(bone for bone, _ in channels),
        "degree_of_freedom": tuple(freedom for _, freedom in channels),
        "side": tuple(side_of(bone, bones) for bone, _ in channels),
        "body_part": tuple(body_part(bone, side_of(bone, bones)) for bone, _ in channels),
    }


def side_of(bone: str, bones: Iterable[str]) -> str:
    """`left` or `right` of a bone that has a mirrored one among `bones`, else `middle`: lowerback has no rowerback."""
    for beginning, mirrored, side in _SIDES:
        if bone.startswith(beginning) and mirrored + bone.removeprefix(beginning) in bones:
            return side
    return "middle"


def body_part(bone: str, side: str) -> str:
    """Part of the body that a bone belongs to, like `left arm`, by the names of CMU's files; `other` if unknown."""
    names = (
        {bone} if side == "middle" else {bone.removeprefix(beginning) for beginning, _, its in _SIDES if its == side}
    )
    region = next((_REGION_OF[name.lower()] for name in names if name.lower() in _REGION_OF), "other")
    if region in _LIMBS:
        return "other" if side == "middle" else f"{side} {region}"
    return region
