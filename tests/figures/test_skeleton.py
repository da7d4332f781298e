"""The figure and the animation of walking."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.animation import PillowWriter
from matplotlib.colors import to_hex
from PIL import Image

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, Results
from sparsenode.figures import skeleton, style
from sparsenode.figures.drawing import draw_figure

CHOICES = {
    (model, method): Choice(strength, "rolling")
    for model in ("first_order", "second_order")
    for method, strength in {"none": 0.0, "l1": 0.01, "pathreg": 0.1}.items()
}


@pytest.fixture
def motion():
    """Hips, a foot on either side and a head; the left foot is 30 cm ahead at first."""
    times = np.array([0.2, 0.3, 0.4, 0.5])
    pose = np.array([[0.0, 0], [30, -90], [-30, -90], [0, 60]])
    observed = np.stack([pose * (1, 1 + 0.01 * number) for number in range(len(times))])
    poses = {skeleton.OBSERVED: observed, ("first_order", "l1"): observed * 0.9}
    return skeleton.Motion("35_30", "35", True, times, poses, [(0, 1), (0, 2), (0, 3)], ["left", "right", "middle"])


@pytest.mark.slow(reason="draws every frame of a figure")
def test_files_are_written(walking_files, tmp_path, monkeypatch):
    monkeypatch.setattr(skeleton, "MOMENTS", 2)
    outputs = [tmp_path / "skeleton.png"]
    files = {name: walking_files[name] for name in ("metrics", "selection", "forecasts", "data")}
    draw_figure("skeleton", Results("mocap", files), outputs, animation=tmp_path / "skeleton.gif", dots_per_inch=40)
    assert all(path.stat().st_size > 1000 for path in outputs)
    with Image.open(tmp_path / "skeleton.gif") as movie:
        assert movie.n_frames == 20


def test_poses_are_those_of_the_body_around_its_hip_in_centimeters(walking):
    bodies = skeleton.read_bodies(walking)
    names = [None, *(bone.name for bone in bodies["35_30"].skeleton.bones)]

    def place(trial, joint):
        upright = -bodies[trial].offset[None] / bodies[trial].scale
        return skeleton.place_joints(bodies[trial], upright)[0, names.index(joint)]

    np.testing.assert_allclose(place("35_30", "lfemur"), (10, -40, 0), atol=1e-9)
    np.testing.assert_allclose(place("35_30", "rfoot"), (-10, -80, 20), atol=1e-9)
    # An angle that never changed is no feature, but still turns the foot of this person down.
    np.testing.assert_allclose(place("35_30", "lfoot"), (10, -100, 0), atol=1e-9)
    np.testing.assert_allclose(place("07_01", "lfoot"), (10, -80, 20), atol=1e-9)


def test_a_motion_begins_with_the_observed_pose_and_follows_the_forecast(walking, walking_files):
    best = {"first_order": "l1"}
    body = skeleton.read_bodies(walking)["35_30"]
    table = skeleton.read_forecasts(walking_files["forecasts"], ["35_30"], best)
    forecast = skeleton.cut_forecast(table, "35_30")
    made = skeleton.make_motion(walking, body, best, forecast, "35_30")
    observed, predicted = made.poses[skeleton.OBSERVED], made.poses["first_order", "l1"]
    np.testing.assert_allclose(made.times, 0.1 + np.arange(31) / 30)
    np.testing.assert_allclose(predicted[0], observed[0])
    # The forecasts lag behind: they come to what was observed 0.85 s after the start a second after it.
    rows = (walking.obs["trajectory"] == "35_30").to_numpy()
    times = walking.obs["time"].to_numpy()[rows]
    lagged = np.array([np.interp(0.95, times, column) for column in walking.X[rows].T])
    expected = skeleton.look_from_side(skeleton.place_joints(body, lagged[None]), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(predicted[-1], expected[0], atol=1e-3)
    assert np.abs(predicted[-1] - observed[-1]).max() > 2
    knee = 1 + [bone.name for bone in body.skeleton.bones].index("lfemur")
    assert made.sides[knee - 1] == "left"
    with pytest.raises(UserError, match=r"no forecast of 'ltibia\.rx'"):
        skeleton.make_motion(walking, body, best, forecast[forecast["feature"] != "ltibia.rx"], "35_30")


def test_a_missing_angle_takes_what_it_moves_out_of_the_observed_pose_only(walking, walking_files):
    best = {"first_order": "l1"}
    body = skeleton.read_bodies(walking)["35_30"]
    table = skeleton.read_forecasts(walking_files["forecasts"], ["35_30"], best)
    forecast = skeleton.cut_forecast(table, "35_30")
    complete = skeleton.make_motion(walking, body, best, forecast, "35_30")
    rows = np.flatnonzero(walking.obs["trajectory"] == "35_30")
    lost = rows[walking.obs["time"].to_numpy()[rows] > 0.5]
    walking.X[lost, list(walking.var_names).index("ltibia.rx")] = np.nan
    made = skeleton.make_motion(walking, body, best, forecast, "35_30")
    observed, before = made.poses[skeleton.OBSERVED], complete.poses[skeleton.OBSERVED]
    absent, late = np.isnan(observed).any(axis=-1), made.times > 0.51
    names = ["root", *(bone.name for bone in body.skeleton.bones)]
    moved = [name in {"ltibia", "lfoot", "ltoes"} for name in names]
    np.testing.assert_array_equal(absent, late[:, None] & np.array(moved))
    np.testing.assert_array_equal(observed[~absent], before[~absent])
    np.testing.assert_array_equal(made.poses["first_order", "l1"], complete.poses["first_order", "l1"])
    hip = [column for column, name in enumerate(walking.var_names) if name.startswith("root.")]
    walking.X[np.ix_(lost, hip)] = np.nan
    made = skeleton.make_motion(walking, body, best, forecast, "35_30")
    assert np.isnan(made.poses[skeleton.OBSERVED][late][:, 1:]).all()
    assert np.isfinite(made.poses["first_order", "l1"]).all()
    assert np.isfinite(skeleton.limits([made])).all()
    walking.X[np.ix_(rows, hip)] = np.nan
    with pytest.raises(UserError, match=r"trial 35_30: an angle of the hip is missing at each of the 31 times"):
        skeleton.make_motion(walking, body, best, forecast, "35_30")


def test_what_is_no_motion_of_a_body_is_refused(walking, walking_files, tmp_path):
    files = {name: walking_files[name] for name in ("metrics", "selection", "data")}
    forecasts = pd.read_parquet(walking_files["forecasts"])
    forecasts[forecasts["protocol"] == "rolling"].to_parquet(tmp_path / "forecasts.parquet", index=False)
    with pytest.raises(UserError, match="no forecast over a whole test trial"):
        skeleton.read(Results("mocap", {**files, "forecasts": tmp_path / "forecasts.parquet"}))
    del walking.uns["sparsenode"]["provenance"]["skeletons"]
    with pytest.raises(UserError, match="no skeletons"):
        skeleton.read_bodies(walking)


def test_the_body_is_seen_facing_right_whichever_way_it_goes():
    # Facing +z, the left hip is at +x, since y is up.
    places = np.array([[[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 2]]])
    bones, sides = [(0, 1), (0, 2), (0, 3)], ["left", "right", "middle"]
    for angle in np.linspace(0, 2 * np.pi, 7):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        turned = places @ turn.T
        forward = skeleton.face(turned, bones, sides)
        np.testing.assert_allclose(forward, turn @ (0, 0, 1), atol=1e-12)
        np.testing.assert_allclose(skeleton.look_from_side(turned, forward)[0, 3], (2, 1), atol=1e-12)


def test_hip_joints_at_the_root_are_passed_over():
    """As in CMU's recordings converted to BVH: root, left and right hip joint at it, then the legs to the sides."""
    places = np.array([[[0.0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0], [-1, 1, 0]]])
    bones, sides = [(0, 1), (0, 2), (1, 3), (2, 4)], ["left", "right", "left", "right"]
    np.testing.assert_allclose(skeleton.face(places, bones, sides), (0, 0, 1), atol=1e-12)


def test_trials_are_of_the_trained_person_and_of_another(walking):
    assert skeleton.order_trials(walking) == {"35": ["35_30", "35_31"], "07": ["07_01"]}


def test_the_best_method_has_the_least_validation_error(walking_metrics):
    assert skeleton.choose_best(walking_metrics, CHOICES) == {"first_order": "l1", "second_order": "l1"}
    choices = {key: Choice(choice.strength, "window") for key, choice in CHOICES.items()}
    assert skeleton.choose_best(walking_metrics, choices)["first_order"] == "none"
    choices = {("second_order", "pathreg"): Choice(0.1, "rolling"), ("first_order", "l1"): Choice(None, "rolling")}
    assert skeleton.choose_best(walking_metrics, choices) == {"second_order": "pathreg"}


def test_the_middle_one_of_the_farthest_forecasts_is_shown():
    rows = [("rolling", start, start + lead) for start in (0.1, 0.2, 0.3) for lead in (0.5, 1.0)]
    rows += [("rolling", 0.4, 0.9), ("trajectory", 0.0, 1.3)]
    table = pd.DataFrame(rows, columns=["protocol", "start", "time"]).assign(trajectory="35_30")
    assert skeleton.cut_forecast(table, "35_30")["start"].unique().tolist() == [0.2]
    whole = table[table["protocol"] == "trajectory"]
    assert skeleton.cut_forecast(whole, "35_30")["time"].tolist() == [1.3]


def test_limbs_of_each_side_have_a_color_and_predictions_lie_over_the_observed_pose(motion):
    figure = skeleton.draw("mocap", [motion])
    grid = np.array(figure.subfigs[0].axes).reshape(2, skeleton.MOMENTS)
    assert grid[0, 0].get_title() == "lead time 0 s"
    assert grid[0, -1].get_title() == "0.3 s"
    colors = {side: look[1].lower() for side, look in skeleton.SIDE_LOOKS.items()}
    lines = {to_hex(line.get_color()): line for line in grid[0, 0].get_lines()}
    np.testing.assert_allclose(lines[colors["left"]].get_xydata()[:2], [(0, 0), (30, -90)])
    np.testing.assert_allclose(lines[colors["right"]].get_xydata()[:2], [(0, 0), (-30, -90)])
    over = grid[1, 0].get_lines()
    assert [to_hex(line.get_color()) for line in over[:3]] == [style.LIGHT_GRAY] * 3
    np.testing.assert_allclose(over[0].get_xydata()[1], (30, -90))
    np.testing.assert_allclose(over[3].get_xydata()[1], (27, -81))
    bar = over[-1]
    assert np.ptp(bar.get_xdata()) == skeleton.BAR


@pytest.mark.slow(reason="draws every frame of a figure")
def test_the_animation_has_a_frame_for_each_time_at_its_own_speed(motion, tmp_path):
    times = np.arange(20) / 15
    poses = {key: np.resize(value, (20, 4, 2)) for key, value in motion.poses.items()}
    longer = dataclasses.replace(motion, times=times, poses=poses)
    skeleton.animate("mocap", longer, tmp_path / "skeleton.gif")
    with Image.open(tmp_path / "skeleton.gif") as movie:
        assert movie.n_frames == 20
        shown = []
        for frame in range(movie.n_frames):
            movie.seek(frame)
            shown.append(movie.info["duration"])
    assert shown == skeleton.durations(times)
    assert sum(shown) == 1330
    assert list(tmp_path.iterdir()) == [tmp_path / "skeleton.gif"]


def test_the_heading_of_the_animation_keeps_its_lines_in_every_frame(motion, tmp_path, monkeypatch):
    times = np.linspace(8.0, 11.5, 5)
    poses = {key: np.resize(value, (5, 4, 2)) for key, value in motion.poses.items()}
    longer = dataclasses.replace(motion, times=times, poses=poses)
    headings = []

    def look_at(self, *arguments, **settings):
        headings.append((self.fig.get_suptitle(), self.fig._suptitle.get_window_extent().width, self.fig.bbox.width))

    monkeypatch.setattr(PillowWriter, "grab_frame", look_at)
    monkeypatch.setattr(skeleton, "_make_writer", lambda times: PillowWriter())
    monkeypatch.setattr(PillowWriter, "finish", lambda self: Path(self.outfile).touch())
    skeleton.animate("a_data_set_of_基_whose_name_is_longer_than_the_figure " * 3, longer, tmp_path / "skeleton.gif")
    assert len(headings) == len(times)
    texts = [text for text, _, _ in headings]
    assert [text.count("\n") for text in texts] == [texts[0].count("\n")] * len(times)
    assert texts[0].count("\n") > 1
    assert all(width <= room for _, width, room in headings)
    assert [text[-6:].strip().replace("\N{NO-BREAK SPACE}", " ") for text in texts][::4] == ["8.00 s", "1.50 s"]
    assert "⟨57FA⟩" in texts[-1]


@pytest.mark.slow(reason="draws every frame of a figure")
def test_a_disk_that_takes_no_more_leaves_no_animation(motion, tmp_path, largest_file):
    with largest_file(500), pytest.raises(UserError, match=r"cannot write .*skeleton\.gif"):
        skeleton.animate("mocap", motion, tmp_path / "skeleton.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow(reason="draws every frame of a figure")
def test_a_pose_that_is_not_finite_is_not_drawn(motion, tmp_path):
    motion.poses["first_order", "l1"][2:] = np.nan
    figure = skeleton.draw("mocap", [motion])
    figure.savefig(tmp_path / "skeleton.png", dpi=40)
    assert np.isfinite(figure.subfigs[0].axes[0].get_xlim()).all()
