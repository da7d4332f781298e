import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from sparsenode.data.contract import read_trajectories, trajectory_slices
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.motion.acclaim import Motion, read_motion, read_skeleton, skeleton_from_json
from sparsenode.data.motion.kinematics import bone_segments, joint_positions
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.data.sources.mocap import body_part, choose_branches, mean_angles, person_scale, resample, side_of
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

TRAINING = "01 02 05 07 08 09 10 11 12 13 14 15 16 28 29"
TESTING = "30 31 32 33 34"
CONSTANT = ["lclavicle.ry", "lclavicle.rz", "lfingers.rx", "rclavicle.ry", "rclavicle.rz", "rfingers.rx"]


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("mocap", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("mocap", options).required_files()


def row(subject: str, trials: str, split: str, motion: str = "walk", **cut: float) -> dict:
    return {"subject": subject, "trials": trials.split(), "motion": motion, "split": split, **cut}


def options(*rows: dict, **changes: object) -> dict:
    return make_source("mocap", {"trials": list(rows), **changes}).options


def load_real(mirror: Path, *rows: dict, **changes: object) -> RawTrajectories:
    chosen = options(*rows, **changes)
    return load(chosen, {file.relative_path: mirror / file.relative_path for file in required_files(chosen)})


def real_motion(mirror: Path, name: str) -> Motion:
    folder = mirror / "mocap.cs.cmu.edu" / "subjects" / name[:2]
    return read_motion(folder / f"{name}.amc", read_skeleton(folder / f"{name[:2]}.asf"))


def degrees_of(raw: RawTrajectories, name: str) -> np.ndarray:
    part = next(part for part in raw.trajectories if part.name == name)
    return part.offset + part.scale * part.values


@pytest.fixture(scope="module")
def walk(mirror: Path) -> RawTrajectories:
    return load_real(mirror, row("35", TRAINING, "train"), row("35", TESTING, "test"))


# The laboratory's own files.


def test_trials_and_channels_of_a_walking_person(walk: RawTrajectories) -> None:
    assert len(walk.features) == 53
    assert walk.features[:4] == ("root.rx", "root.ry", "root.rz", "lfemur.rx")
    assert not {"root.tx", "root.ty", "root.tz"} & set(walk.features)
    assert json.loads(walk.provenance["constant_channels"]) == CONSTANT
    assert list(json.loads(walk.provenance["constant_degrees"])["35"]) == CONSTANT
    assert [part.name for part in walk.trajectories] == [
        f"35_{trial}" for trial in [*TRAINING.split(), *TESTING.split()]
    ]
    assert [part.splits[0] for part in walk.trajectories] == ["train"] * 15 + ["test"] * 5
    first = walk.trajectories[0]
    assert (first.group, first.subject, first.time_offset) == ("walk", "35", 0.0)
    np.testing.assert_array_equal(first.times, np.arange(56) / 30)
    assert first.values.shape == (56, 53)


def test_training_trials_fill_the_range_and_test_trials_may_leave_it(walk: RawTrajectories) -> None:
    training = np.vstack([part.values for part in walk.trajectories if part.splits[0] == "train"])
    np.testing.assert_allclose(training.min(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(training.max(axis=0), 1.0, atol=1e-12)
    assert walk.trajectories[-1].values.min() < 0


def test_degrees_are_those_of_every_fourth_frame_of_the_file(walk: RawTrajectories, mirror: Path) -> None:
    for name in ("35_01", "35_14", "35_33"):
        motion = real_motion(mirror, name)
        column = {".".join(channel): index for index, channel in enumerate(motion.channels)}
        expected = motion.values[::4, [column[feature] for feature in walk.features]]
        other = [index for index, feature in enumerate(walk.features) if feature != "lthumb.rz"]
        np.testing.assert_allclose(degrees_of(walk, name)[:, other], expected[:, other], atol=1e-9)


def test_a_thumb_that_flips_by_half_a_turn(
    walk: RawTrajectories, mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = row("35", "01", "train"), row("35", "33", "test")
    with caplog.at_level(logging.INFO):
        corrected = load_real(mirror, *rows)
    assert "35_33: half a turn taken out of lthumb.rz in 4 of 409 frames: 193 to 196" in caplog.text
    assert "more than 90 degrees" not in caplog.text
    kept = load_real(mirror, *rows, half_turns="keep")
    assert "angles are more than 90 degrees from their mean" in caplog.text
    assert "calibration: 35_33 lthumb.rz (up to 160, from frame 193); people may move" in caplog.text
    thumb = corrected.features.index("lthumb.rz")
    found, file = degrees_of(corrected, "35_33")[:, thumb], degrees_of(kept, "35_33")[:, thumb]
    assert np.abs(np.diff(file)).max() > 130
    assert np.abs(np.diff(found)).max() < 60
    np.testing.assert_allclose(found - file, np.where(np.arange(103) == 48, 180.0, 0.0), atol=1e-9)  # frame 193


def test_a_thumb_that_turns_and_turns(mirror: Path) -> None:
    calibration, test = row("08", "02", "calibration"), row("08", "01", "test")
    rows = row("35", "01", "train"), calibration, test
    corrected, kept = (degrees_of(load_real(mirror, *rows, half_turns=how), "08_01") for how in ("correct", "keep"))
    # The file goes down to -1155 degrees by half turns that add up.
    thumb = load_real(mirror, *rows).features.index("rthumb.rz")
    file = real_motion(mirror, "08_01")
    read = file.values[::4, file.channels.index(("rthumb", "rz"))]
    assert read.min() < -1150
    assert -95 < corrected[:, thumb].min() < corrected[:, thumb].max() < -40
    assert -95 < kept[:, thumb].min() < kept[:, thumb].max() < 125
    np.testing.assert_allclose((corrected[:, thumb] - read + 1) % 180, 1.0, atol=1e-6)
    np.testing.assert_allclose((kept[:, thumb] - read + 1) % 360, 1.0, atol=1e-6)
    for other in range(corrected.shape[1]):
        if other != thumb:
            np.testing.assert_array_equal(corrected[:, other], kept[:, other])


def test_a_hand_that_is_half_a_turn_off_from_the_first_frame_to_the_last(
    mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = row("35", "01", "train"), row("08", "01", "calibration"), row("08", "09 10", "test")
    with caplog.at_level(logging.INFO):
        raw = load_real(mirror, *rows)
    for joint in ("rhand", "rthumb"):
        assert f"08_10: half a turn taken out of {joint}.rx in 273 of 273 frames: 1 to 273" in caplog.text
    assert "more than 90 degrees" not in caplog.text
    file = real_motion(mirror, "08_10")
    read = file.values[::4, [file.channels.index(tuple(name.split("."))) for name in raw.features]]
    turned = np.zeros(len(raw.features))
    turned[raw.features.index("rhand.rx")], turned[raw.features.index("rthumb.rx")] = -180, 180
    np.testing.assert_allclose(degrees_of(raw, "08_10"), read + turned, atol=1e-9)
    # What was observed is drawn as it can be: the thumb lies along the forearm as in the trial before.
    bones = ("rradius", "rthumb")
    assert all(np.abs(between(mirror, raw, name, bones) - 25).max() < 15 for name in ("08_09", "08_10"))
    kept = load_real(mirror, *rows, half_turns="keep")
    assert between(mirror, kept, "08_10", bones).min() > 140


def between(mirror: Path, raw: RawTrajectories, name: str, bones: tuple[str, str]) -> np.ndarray:
    """Degrees (sample,) between the directions of two bones in a trial."""
    skeleton = read_skeleton(mirror / "mocap.cs.cmu.edu" / "subjects" / name[:2] / f"{name[:2]}.asf")
    places = joint_positions(skeleton, [tuple(feature.split(".")) for feature in raw.features], degrees_of(raw, name))
    segments = dict(zip([bone.name for bone in skeleton.bones], bone_segments(skeleton), strict=True))
    first, second = (places[:, end] - places[:, start] for start, end in (segments[bone] for bone in bones))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.degrees(np.arccos((first * second).sum(axis=1) / lengths))


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_no_published_trial_has_an_angle_far_from_its_mean(mirror: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_real(
        mirror,
        row("35", TRAINING, "train"),
        row("35", TESTING, "test"),
        row("07", "01", "calibration"),
        row("07", "02 03 06 07 08 09 10 11", "test"),
        row("08", "01", "calibration"),
        row("08", "02 03 04 06 08 09 10", "test"),
    )
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_from_the_files_to_the_file(mirror: Path, tmp_path: Path) -> None:
    rows = (
        row("35", TRAINING, "train"),
        row("35", "30", "test"),
        row("07", "01", "calibration"),
        row("07", "02", "test", start=1.0),
    )
    path = tmp_path / "mocap.h5ad"
    preprocess_dataset("mocap", {"source": "mocap", "options": {"trials": list(rows)}}, mirror, path)
    adata: AnnData = read_trajectories(path)
    assert adata.n_vars == 53
    assert list(trajectory_slices(adata))[-2:] == ["35_30", "07_02"]
    assert set(adata.obs["split"]) == {"train", "test"}
    assert adata.var.loc["lthumb.rz", ["joint", "degree_of_freedom", "side", "body_part"]].tolist() == [
        "lthumb",
        "rz",
        "left",
        "left arm",
    ]
    assert adata.var.loc["lowerback.rx", ["side", "body_part"]].tolist() == ["middle", "trunk"]
    assert set(adata.var["body_part"]) == {
        "root", "trunk", "head", "left arm", "right arm", "left leg", "right leg",
    }  # fmt: skip
    facts = adata.uns["sparsenode"]
    assert [facts[key] for key in ("source_unit", "time_unit", "value_unit", "scaling", "transform")] == [
        "degree", "second", "share of the training range", "person", "none",
    ]  # fmt: skip
    assert facts["time_offset"].tolist() == [0.0] * 16 + [1.0]
    provenance = facts["provenance"]
    assert "mocap.cs.cmu.edu" in provenance["credit"]
    assert json.loads(provenance["motions"])["07_02"] == "walk"
    assert "07_01" not in json.loads(provenance["motions"])
    assert json.loads(provenance["constant_degrees"])["07"]["lfingers.rx"] == pytest.approx(7.12502)
    folder = mirror / "mocap.cs.cmu.edu" / "subjects"
    for subject, content in json.loads(provenance["skeletons"]).items():
        assert skeleton_from_json(json.dumps(content)) == read_skeleton(folder / subject / f"{subject}.asf")
    assert len(facts["source_files"]) == 2 + 15 + 3


def test_files_of_other_motions() -> None:
    chosen = options(row("64", "01", "train", "golf"), row("15", "11", "test", "wave"), scaling="training_range")
    assert [file.url for file in required_files(chosen)] == [
        f"http://mocap.cs.cmu.edu/subjects/{name}"
        for name in ("64/64.asf", "15/15.asf", "64/64_01.amc", "15/15_11.amc")
    ]
    chosen = {**chosen, "motions": ["golf"]}
    assert [Path(file.url).name for file in required_files(chosen)] == ["64.asf", "64_01.amc"]
    walking = required_files(options(row("35", "01", "train")))
    assert all(file.sha256 is not None for file in walking)


# Small made-up files from here on.

SKELETON = """\
:version 1.10
:name made-up
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name lowerback
    direction 0 1 0
    length 2
    axis 0 0 0 XYZ
    dof rx
    limits (-90 90)
  end
  begin
    id 2
    name lfemur
    direction 1 -1 0
    length 7
    axis 0 0 20 XYZ
    dof rx ry
    limits (-160 20)
           (-70 70)
  end
  begin
    id 3
    name rfemur
    direction -1 -1 0
    length 7
    axis 0 0 -20 XYZ
    dof rx
    limits (-160 20)
  end
:hierarchy
  begin
    root lowerback lfemur rfemur
  end
"""
SMALL_CHANNELS = ("root.rx", "root.ry", "root.rz", "lowerback.rx", "lfemur.rx", "lfemur.ry", "rfemur.rx")


def random_angles(seed: int, frames: int = 49) -> np.ndarray:
    """Angles (frame, channel) that move without jumps; the last channel does not move."""
    generator = np.random.default_rng(seed)
    angles = generator.standard_normal((frames, len(SMALL_CHANNELS))).cumsum(axis=0) + 10 * generator.standard_normal()
    angles[:, -1] = 5.0
    return angles


def write(
    folder: Path,
    chosen: dict,
    changes: Mapping[str, np.ndarray] | None = None,
    skeletons: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    files = {file.relative_path: folder / Path(file.relative_path).name for file in required_files(chosen)}
    for index, path in enumerate(files.values()):
        if path.suffix == ".asf":
            path.write_text((skeletons or {}).get(path.stem, SKELETON))
            continue
        lines = [":FULLY-SPECIFIED", ":DEGREES"]
        for frame, angles in enumerate((changes or {}).get(path.stem, random_angles(index)), start=1):
            texts = [repr(float(angle)) for angle in angles]
            lines += [
                str(frame),
                " ".join(["root 1 2 3", *texts[:3]]),
                f"lowerback {texts[3]}",
                " ".join(["lfemur", *texts[4:6]]),
                f"rfemur {texts[6]}",
            ]
        path.write_text("\n".join(lines) + "\n")
    return files


OWN = (row("35", "01 02", "train"), row("35", "03", "test"))
OTHER = (row("07", "01 02", "calibration"), row("07", "03", "test"))


@pytest.mark.parametrize("scaling", ["person", "training_range"])
def test_what_is_to_be_forecast_is_not_looked_at(tmp_path: Path, scaling: str) -> None:
    chosen = options(*OWN, *OTHER, scaling=scaling)
    wild = 20 * random_angles(99)
    wild[:, -1] = np.arange(49)
    one = load(chosen, write(tmp_path / "one", chosen))
    other = load(chosen, write(tmp_path / "other", chosen, {"35_03": wild, "07_03": wild}))
    assert one.features == other.features == SMALL_CHANNELS[:-1]
    assert one.provenance == other.provenance
    for before, after in zip(one.trajectories, other.trajectories, strict=True):
        np.testing.assert_array_equal(before.offset, after.offset)
        np.testing.assert_array_equal(before.scale, after.scale)
    np.testing.assert_array_equal(one.trajectories[0].values, other.trajectories[0].values)
    assert not np.array_equal(one.trajectories[2].values, other.trajectories[2].values)


def test_persons_are_scaled_by_their_calibration_trials(tmp_path: Path) -> None:
    chosen = options(*OWN, *OTHER)
    changes = {f"{subject}_{trial}": random_angles(seed) for seed, (subject, trial) in enumerate(
        [("35", "01"), ("35", "02"), ("07", "01"), ("07", "02"), ("07", "03")]
    )}  # fmt: skip
    raw = load(chosen, write(tmp_path, chosen, changes))
    assert [part.name for part in raw.trajectories] == ["35_01", "35_02", "35_03", "07_03"]
    own, other = raw.trajectories[0], raw.trajectories[-1]
    np.testing.assert_array_equal(own.scale, raw.trajectories[2].scale)
    training = [changes[name][::4, :-1] for name in ("35_01", "35_02")]
    calibration = [changes[name][::4, :-1] for name in ("07_01", "07_02")]
    np.testing.assert_allclose(own.offset, np.vstack(training).min(axis=0))
    np.testing.assert_allclose(own.scale, np.ptp(np.vstack(training), axis=0))
    spreads = [np.sqrt(np.mean([part.var(axis=0) for part in parts], axis=0)) for parts in (training, calibration)]
    np.testing.assert_allclose(other.scale / own.scale, spreads[1] / spreads[0])
    np.testing.assert_allclose(
        (np.vstack(calibration).mean(axis=0) - other.offset) / other.scale,
        (np.vstack(training).mean(axis=0) - own.offset) / own.scale,
    )
    np.testing.assert_allclose(other.offset + other.scale * other.values, changes["07_03"][::4, :-1])


def test_hardly_any_spread_does_not_blow_up_the_scale() -> None:
    shared = (np.zeros(2), np.array([4.0, 4.0]))
    still, moving = np.full((5, 2), 3.0), np.array([[0.0, 0.0], [4.0, 1e-3]])
    offset, scale = person_scale([moving], [still], shared, 0.5)
    np.testing.assert_allclose(scale, [4.0 * 0.5 / 2.0, 4.0])
    np.testing.assert_allclose((still - offset) / scale, np.tile([0.5, 0.000125], (5, 1)))


def test_constant_channels_are_left_out_with_their_degrees(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    still = random_angles(7)
    still[:, -1] = 8.0
    chosen = options(*OWN, *OTHER, row("08", "01", "test"), scaling="training_range")
    with caplog.at_level(logging.INFO):
        raw = load(chosen, write(tmp_path, chosen, {"07_01": still, "07_02": still, "07_03": 2 * still}))
    assert "7 trials in use, 5 of them trajectories; 6 channels, and 1 left out" in caplog.text
    assert "in training: rfemur.rx" in caplog.text
    assert json.loads(raw.provenance["constant_degrees"]) == {
        "35": {"rfemur.rx": 5.0}, "07": {"rfemur.rx": 8.0}, "08": {"rfemur.rx": 0.0},
    }  # fmt: skip
    unlimited = {**chosen, "least_range": 0.0}
    assert load(unlimited, write(tmp_path, unlimited)).features == SMALL_CHANNELS[:-1]
    chosen = {**chosen, "least_range": 1000.0}
    with pytest.raises(UserError, match=r"no channel moves by 1000 degrees .* choose a smaller least_range"):
        load(chosen, write(tmp_path, chosen))


def test_jumps_of_a_whole_turn_are_taken_out(tmp_path: Path) -> None:
    turning = random_angles(3)
    turning[:, 1] = np.linspace(100.0, 500.0, 49)
    wrapped = turning.copy()
    wrapped[:, 1] = (wrapped[:, 1] + 180) % 360 - 180
    for how in ("correct", "keep"):
        chosen = options(*OWN, half_turns=how)
        raw = load(chosen, write(tmp_path, chosen, {"35_01": wrapped}))
        np.testing.assert_allclose(degrees_of(raw, "35_01"), turning[::4, :-1], atol=1e-9)


@pytest.mark.parametrize("how", ["correct", "keep"])
def test_trials_that_begin_whole_turns_apart_are_brought_together(tmp_path: Path, how: str) -> None:
    tables = {name: random_angles(seed) for seed, name in enumerate(["35_01", "35_02", "35_03", "07_01", "07_03"])}
    moved = {name: table + 360 * (number - 2) for number, (name, table) in enumerate(tables.items())}
    chosen = options(*OWN, row("07", "01", "calibration"), row("07", "03", "test"), half_turns=how)
    one = load(chosen, write(tmp_path / "one", chosen, tables))
    other = load(chosen, write(tmp_path / "other", chosen, moved))
    assert one.features == other.features
    for before, after in zip(one.trajectories, other.trajectories, strict=True):
        np.testing.assert_allclose(after.values, before.values, atol=1e-9)


def test_frames_after_the_calibration_tell_nothing_of_the_mean(tmp_path: Path) -> None:
    rows = row("07", "01", "calibration", stop=0.1), row("07", "01", "test", start=0.2), row("07", "03", "test")
    chosen = options(*OWN, *rows, half_turn_joints=["lowerback"])
    angles = random_angles(4)
    later = angles.copy()
    later[13:] += 80.0
    one, other = (
        load(chosen, write(tmp_path, chosen, {"07_01": table, "07_03": random_angles(5) + 85}))
        for table in (angles, later)
    )
    for before, after in zip(one.trajectories, other.trajectories, strict=True):
        if before.name != "07_01":
            np.testing.assert_array_equal(before.values, after.values)


HAND = np.array([30.8, 31.1, 29.5, -96.6, -90.2, 88.4, 87.2, 61.5, 28.3])


@pytest.mark.parametrize("mean", [-10.0, 0.0, 30.0, 60.0])
def test_a_hand_that_flips_twice_comes_back(mean: float) -> None:
    found = choose_branches(HAND[:, None], np.array([mean]), np.array([180.0]), np.array([0.25]))
    np.testing.assert_allclose(found[:, 0], [30.8, 31.1, 29.5, 83.4, 89.8, 88.4, 87.2, 61.5, 28.3])
    kept = choose_branches(HAND[:, None], np.array([mean]), np.array([360.0]), np.array([0.25]))
    np.testing.assert_array_equal(kept[:, 0], HAND)


def test_a_hand_that_flips_in_a_trial_is_mended_there_and_a_hip_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skeleton = SKELETON.replace("lfemur", "lhand")
    tables = {f"35_0{number}": 30 + random_angles(number)[:, :] * 0.1 for number in (1, 2, 3)}
    tables["35_03"][20:29, [3, 4]] = HAND[:, None]  # lowerback.rx and lhand.rx
    found = {}
    for how in ("correct", "keep"):
        chosen = options(*OWN, half_turns=how)
        files = write(tmp_path, chosen, tables, skeletons={"35": skeleton})
        for path in files.values():
            path.write_text(path.read_text().replace("lfemur", "lhand"))
        caplog.clear()
        with caplog.at_level(logging.INFO):
            raw = load({**chosen, "rate": 120.0}, files)
        found[how] = degrees_of(raw, "35_03")
        assert ("lhand.rx in 2 of 49 frames: 24 to 25" in caplog.text) == (how == "correct")
        assert "35_03 lowerback.rx (up to 12" in caplog.text
        assert ("35_03 lhand.rx (up to 12" in caplog.text) == (how == "keep")
    np.testing.assert_allclose(found["keep"], tables["35_03"][:, :-1])
    mended = tables["35_03"][:, :-1].copy()
    mended[23:25, 4] += 180
    np.testing.assert_allclose(found["correct"], mended)


def test_joints_that_flip_can_be_named(tmp_path: Path) -> None:
    flipped = random_angles(3)
    flipped[10:, 3] += 180
    flipped[20:, 5] -= 150
    chosen = options(*OWN, half_turn_joints=["lowerback"])
    found = degrees_of(load(chosen, write(tmp_path, chosen, {"35_03": flipped})), "35_03")
    expected = flipped.copy()
    expected[10:, 3] -= 180
    np.testing.assert_allclose(found, expected[::4, :-1], atol=1e-9)
    chosen = options(*OWN, half_turn_joints=["lowerback", "tail"])
    with pytest.raises(UserError, match=r"half_turn_joints: .* no joint 'tail' .* root, lowerback, lfemur, rfemur"):
        load(chosen, write(tmp_path, chosen))


def test_angles_that_turn_on_are_unwrapped_from_the_branch_nearest_to_the_mean() -> None:
    noise = np.random.default_rng(0).uniform(-500, 500, (60, 3))
    mean, turns, on = np.array([0.0, 400.0, -1000.0]), np.full(3, 360.0), np.ones(3)
    found = choose_branches(noise, mean, turns, on)
    assert (np.abs(found[0] - mean) <= 180).all()
    expected = np.unwrap(noise, axis=0, period=360.0)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-9)


def test_an_angle_on_its_branch_stays_the_same_to_the_last_bit() -> None:
    angles = np.random.default_rng(1).uniform(-60, 60, (50, 2))
    np.testing.assert_array_equal(choose_branches(angles, np.zeros(2), np.full(2, 180.0), np.full(2, 0.25)), angles)


def test_a_hand_that_moves_smoothly_does_not_flip_to_and_fro_and_comes_back_beyond_two_thirds_of_the_period() -> None:
    time = np.arange(200.0)
    slow = np.minimum(time, 110 + 8 * np.sin(time))[:, None]  # about 90 degrees from the mean, and then 102 to 118
    settings = np.zeros(1), np.array([180.0]), np.array([0.25])
    np.testing.assert_array_equal(choose_branches(slow, *settings), slow)
    beyond = np.linspace(0.0, 180.0, 181)[:, None]
    np.testing.assert_array_equal(
        choose_branches(beyond, *settings)[:, 0], np.where(time < 120, time, time - 180)[:181]
    )


def test_the_mean_is_that_of_the_branch_where_most_frames_are() -> None:
    generator = np.random.default_rng(2)
    angles = 53 + 5 * generator.standard_normal((100, 1))
    flipped = angles.copy()
    flipped[::3] -= 180  # a third
    half, share = np.array([180.0]), np.array([0.25])
    np.testing.assert_allclose(mean_angles([flipped[:50], flipped[50:]], half, share), angles.mean(axis=0))
    around = np.array([[179.0], [-179.0], [178.0], [-176.0]])
    np.testing.assert_allclose(mean_angles([around], np.array([360.0]), np.ones(1)) % 360, 180.5)
    np.testing.assert_allclose(mean_angles([around + 720], np.array([360.0]), np.ones(1)) % 360, 180.5)


def test_a_frame_depends_on_no_later_one(tmp_path: Path) -> None:
    angles = random_angles(1)
    later = angles.copy()
    later[25:] += 170.0
    chosen = options(row("35", "01 02", "train"), row("35", "03", "test"))
    one, other = (
        load(chosen, write(tmp_path, chosen, {"35_03": table})).trajectories[2].values for table in (angles, later)
    )
    np.testing.assert_array_equal(one[:7], other[:7])  # frames 0 to 24


def test_samples_between_frames_are_linear() -> None:
    values = np.random.default_rng(0).standard_normal((25, 2))
    times, found = resample(values, 25.0, 120.0)
    np.testing.assert_allclose(times, [0.0, 0.04, 0.08, 0.12, 0.16, 0.2])
    for channel in range(2):
        expected = np.interp(times, np.arange(25) / 120, values[:, channel])
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-12)
    times, found = resample(values, 120.0, 120.0)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(resample(values, 40.0, 120.0, 0.025)[1], values[3::3])


def test_a_sample_on_a_frame_is_that_frame_despite_rounding() -> None:
    values = np.arange(400.0)[:, None] ** 2
    for start in np.arange(1, 300) / 100:
        frame = round(start * 600) / 5
        times, found = resample(values, 30.0, 120.0, float(start))
        assert len(times) == (399 - frame) // 4 + 1
        if frame == round(frame):
            np.testing.assert_array_equal(found, values[round(frame) :: 4])
    assert 2.05 * 120 < 246
    np.testing.assert_array_equal(resample(values, 30.0, 120.0, 0.05, 2.05)[1], values[6:247:4])


def test_a_trial_is_cut_by_start_and_stop(tmp_path: Path) -> None:
    chosen = options(row("35", "01", "train"), row("35", "02", "test", start=0.1, stop=0.3))
    angles = random_angles(5)
    raw = load(chosen, write(tmp_path, chosen, {"35_02": angles}))
    part = raw.trajectories[1]
    np.testing.assert_allclose(part.times, np.arange(7) / 30)
    assert part.time_offset == 0.1
    np.testing.assert_allclose(degrees_of(raw, "35_02"), angles[12:37:4, :-1])
    for cut, found in (({"start": 0.4}, "1 samples"), ({"start": 3.0}, "0 samples"), ({"stop": 0.02}, "1 samples")):
        short = options(row("35", "01", "train"), row("35", "02", "test", **cut))
        with pytest.raises(
            UserError, match=rf"35_02\.amc: a recording of 0\.4 s, of which {found} .*start or stop of 35_02"
        ):
            load(short, write(tmp_path, short))


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([row("35", "01 02 01", "train")], {}, "trials: 35_01 more than once"),
        ([row("35", "01", "train"), row("35", "01", "test", "golf")], {"motions": ["walk"]}, "35_01 more than once"),
        ([row("35", "01", "test")], {"scaling": "training_range"}, "no trial in use is for training; add a row with"),
        ([row("35", "01", "train", start=2.0, stop=2.0)], {}, "35_01 has start 2 and stop 2; stop has to be later"),
        ([row("35", "01", "train")], {"motions": ["golf"]}, "motions: 'golf' not in the table .* there are: walk"),
        ([row("35", "01", "train")], {"rate": 240.0}, "rate 240 is above source_rate 120"),
        (
            [row("35", "01", "train"), row("35", "02", "calibration")],
            {},
            "35_02 for calibration would go unused, since there are training trials of the same person",
        ),
        (
            [row("35", "01", "train"), row("07", "01", "test")],
            {},
            "no scale for person 07, .* split calibration, or choose scaling: training_range",
        ),
    ],
)
def test_tables_that_contradict_themselves(rows: list[dict], changes: dict, message: str) -> None:
    chosen = options(*rows, **changes)
    for call in (lambda: required_files(chosen), lambda: load(chosen, {})):
        with pytest.raises(UserError, match=f"data source mocap: .*{message}"):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": [1, 2]}, r"options\.trials\[0\]\.trials\[0\]: found the number 1; allowed: .* in quotes"),
        ({"subject": 35}, r"options\.trials\[0\]\.subject: found the number 35; allowed: .* in quotes"),
        ({"subject": "../35"}, r"subject: found \"\.\./35\"; allowed: two or three digits"),
        ({"split": "valid"}, r"split: found \"valid\"; allowed: train, validation, test, calibration"),
        ({"start": -1}, r"start: found the number -1; allowed: a number at least 0"),
        ({"end": 3}, r"options\.trials\[0\]: unknown key: found \"end\""),
    ],
)
def test_tables_that_the_schema_refuses(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        options({**row("35", "01", "train"), **change})


def test_skeletons_of_different_joints(tmp_path: Path) -> None:
    chosen = options(*OWN, *OTHER)
    head, first, second, rest = SKELETON.split("  begin\n    id", maxsplit=3)
    swapped = "  begin\n    id".join([head, second, first, rest])
    for different in (SKELETON.replace("rfemur", "rtibia"), SKELETON.replace("dof rx ry", "dof ry rx"), swapped):
        with pytest.raises(UserError, match=r"07\.asf: its bones .* are not those of .*35\.asf, in the same order"):
            load(chosen, write(tmp_path, chosen, skeletons={"07": different}))


def test_sides_and_parts_of_the_body() -> None:
    bones = ["root", "lowerback", "lowerneck", "lhumerus", "rhumerus", "ltail", "rtail", "tail", "femur"]
    assert [side_of(bone, bones) for bone in bones] == [
        "middle", "middle", "middle", "left", "right", "left", "right", "middle", "middle",
    ]  # fmt: skip
    assert [body_part(bone, side_of(bone, bones)) for bone in bones] == [
        "root", "trunk", "head", "left arm", "right arm", "other", "other", "other", "other",
    ]  # fmt: skip


def test_a_person_can_be_calibrated_on_a_part_of_the_trial_that_is_not_forecast() -> None:
    calibration = {**row("07", "01", "calibration"), "stop": 1.0}
    rows = [row("35", "01", "train"), calibration, {**row("07", "01", "test"), "start": 1.1}]
    assert len({file.url for file in required_files(options(*rows))}) == 4
    for start in (0.5, 1.0):
        rows[2]["start"] = start
        with pytest.raises(UserError, match=r"trials: 07_01 more than once in the table; .* a part of it"):
            required_files(options(*rows))


def test_calibration_on_other_motions_than_those_of_the_training_is_refused() -> None:
    rows = [row("35", "01", "train"), row("35", "02", "train", "golf"), row("07", "01", "calibration")]
    rows.append(row("07", "02", "test"))
    with pytest.raises(UserError, match="person 07 is calibrated on walk, but training is on golf, walk; calibrate"):
        required_files(options(*rows))
    required_files(options(*rows, motions=["walk"]))
    required_files(options(*rows, scaling="training_range"))
