"""Observed and predicted motion of the body, as stick figures seen from the side and as an animation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import read_metadata
from sparsenode.data.missing import mean_observed
from sparsenode.errors import UserError
from sparsenode.evaluation.plans import ROLLING, TRAJECTORY
from sparsenode.evaluation.results import Choice, models_of, pick, select_errors
from sparsenode.figures import style
from sparsenode.figures.layout import settle
from sparsenode.figures.names import name_label
from sparsenode.files import read_table, write_atomically

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.data.motion.acclaim import Skeleton
    from sparsenode.evaluation.results import Results

MOMENTS = 7
SIDE_LOOKS = {
    # The body faces to the right, so that its right limbs are the nearer ones, drawn over the rest.
    "left": ("left limbs", style.BLUE, 2),
    "right": ("right limbs", style.VERMILION, 4),
    "middle": ("trunk and head", style.GRAY, 3),
}
OBSERVED = "observed"
BAR = 50
"""Length of the scale bar in cm."""
_PIXELS_PER_INCH = 80


@dataclass(frozen=True)
class Body:
    """A person's skeleton, and how the scaled values of one trajectory become angles of its joints.

    `channels` are pairs of a bone and a degree of freedom, first those of the features, then the constant ones, whose
    degrees are `constant`; `offset` and `scale` (feature,): degrees = offset + scale * value.
    """

    skeleton: Skeleton
    channels: tuple[tuple[str, str], ...]
    constant: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Motion:
    """Poses of one trial around the hip in cm, by what they are of: `observed`, or (model, method).

    `times` (frame,) in s; each of `poses` (frame, joint, 2): forward and up. `bones` are pairs of joints, `sides` the
    side of the body each is on. `trained`: there are training trials of the same person.
    """

    trial: str
    subject: str
    trained: bool
    times: np.ndarray
    poses: Mapping[Any, np.ndarray]
    bones: Sequence[tuple[int, int]]
    sides: Sequence[str]


def read(results: Results) -> tuple[list[Motion], Motion]:
    """Read what `draw` takes, and the motion over a whole trial, which `animate` takes.

    Raises:
        UserError: the data hold no skeletons, or there is no forecast of all their angles for any test trial.
    """
    adata, forecasts = results.adata, results.files["forecasts"]
    bodies = read_bodies(adata, where=str(results.files["data"]))
    best = choose_best(results.metrics, results.choices)
    candidates = order_trials(adata)
    table = read_forecasts(forecasts, [name for names in candidates.values() for name in names], best)
    strips, whole = [], None
    for names in candidates.values():
        # The first trial with a forecast from within, which a short one lacks; else the first with any.
        rolling = set(table.loc[table["protocol"] == ROLLING, "trajectory"])
        forecast = [name for name in names if (table["trajectory"] == name).any()]
        name = next((name for name in forecast if name in rolling), next(iter(forecast), None))
        if name is None:
            continue
        strips.append(make_motion(adata, bodies[name], best, cut_forecast(table, name), name))
        if whole is None and not pick(table, trajectory=name, protocol=TRAJECTORY).empty:
            cut = pick(table, trajectory=name, protocol=TRAJECTORY)
            whole = make_motion(adata, bodies[name], best, cut, name)
    if not strips or whole is None:
        raise UserError(
            f"{forecasts} holds no forecast over a whole test trial by a model with a chosen strength: "
            "the figure of skeletons takes those of all angles"
        )
    return strips, whole


def read_bodies(adata: AnnData, *, where: str = "the trajectories") -> dict[str, Body]:
    """The body of each trajectory.

    Raises:
        UserError: the data hold no skeletons.
    """
    from sparsenode.data.motion.acclaim import skeleton_from_json

    metadata = read_metadata(adata)
    provenance = metadata.provenance
    if "skeletons" not in provenance:
        raise UserError(f"{where}: no skeletons are stored; the figure of skeletons takes a dataset of joint angles")
    skeletons = {
        subject: skeleton_from_json(json.dumps(content))
        for subject, content in json.loads(provenance["skeletons"]).items()
    }
    constants = json.loads(provenance.get("constant_degrees", "{}"))
    features = tuple(zip(adata.var["joint"].astype(str), adata.var["degree_of_freedom"].astype(str), strict=True))
    bodies = {}
    for number, (name, subject) in enumerate(subjects_of(adata).items()):
        constant = constants.get(subject, {})
        channels = [tuple(channel.rsplit(".", 1)) for channel in constant]
        bodies[name] = Body(
            skeletons[subject],
            (*features, *channels),
            np.array(list(constant.values()), np.float64),
            metadata.offset[number],
            metadata.scale[number],
        )
    return bodies


def subjects_of(adata: AnnData) -> dict[str, str]:
    """The person of each trajectory, in the order of the file."""
    table = adata.obs.drop_duplicates("trajectory")
    subjects = dict(zip(table["trajectory"].astype(str), table["subject"].astype(str), strict=True))
    return {str(name): subjects[str(name)] for name in adata.obs["trajectory"].cat.categories}


def order_trials(adata: AnnData) -> dict[str, list[str]]:
    """Test trials of a person that also has training trials, and of one that has none, by person."""
    subjects = subjects_of(adata)
    split = adata.obs["split"].astype(str)
    trained = set(adata.obs.loc[split == "train", "subject"].astype(str))
    tested = set(adata.obs.loc[split == "test", "trajectory"].astype(str))
    trials: dict[bool, tuple[str, list[str]]] = {}
    for name, subject in subjects.items():
        if name in tested:
            person, names = trials.setdefault(subject in trained, (subject, []))
            if person == subject:
                names.append(name)
    return {trials[kind][0]: trials[kind][1] for kind in (True, False) if kind in trials}


def choose_best(metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice]) -> dict[str, str]:
    """For each model the method whose validation error is least at the chosen strength, else its first method."""
    best = {}
    for model in models_of(metrics):
        errors = {}
        for method in style.method_order(metrics["method"]):
            choice = choices.get((model, method), Choice(None, ""))
            if choice.strength is None:
                continue
            where = {"model": model, "method": method, "protocol": choice.protocol}
            table = select_errors(metrics, split="validation", phase="fit", **where)
            values = pick(table, strength=choice.strength)["value"]
            errors[method] = float(values.median()) if len(values) else np.inf
        if errors:
            best[model] = min(errors, key=lambda method: errors[method])
    return best


def read_forecasts(path: Path, trials: Sequence[str], best: Mapping[str, str]) -> pd.DataFrame:
    """Median over seeds of the forecasts by the best methods, for some trials.

    Columns: model, protocol, trajectory, start, time, feature, predicted.
    """
    columns = ["model", "method", "protocol", "trajectory", "start", "time", "feature", "predicted"]
    # Rows of a parquet file are left out while it is read: forecasts of all angles are many.
    filters = [
        [("model", "==", model), ("method", "==", method), ("trajectory", "in", list(trials))]
        for model, method in best.items()
    ]
    if not filters or not trials:
        return pd.DataFrame(columns=columns)
    table = read_table(path, columns=columns, filters=filters)
    text = ["model", "protocol", "trajectory", "feature"]
    keys = ["model", "protocol", "trajectory", "start", "time", "feature"]
    return table.astype(dict.fromkeys(text, str)).groupby(keys, sort=False)["predicted"].median().reset_index()


def cut_forecast(table: pd.DataFrame, trial: str) -> pd.DataFrame:
    """One rolling forecast of a trial: the middle one of those that reach farthest; else that of the whole trial."""
    rolling = pick(table, trajectory=trial, protocol=ROLLING)
    if rolling.empty:
        return pick(table, trajectory=trial, protocol=TRAJECTORY)
    reach = (rolling["time"] - rolling["start"]).groupby(rolling["start"]).max()
    starts = reach.index[reach > reach.max() - 1e-6]
    return rolling[rolling["start"] == starts[len(starts) // 2]]


def make_motion(adata: AnnData, body: Body, best: Mapping[str, str], forecast: pd.DataFrame, trial: str) -> Motion:
    """Poses, observed and predicted, at the times of one forecast and at its start.

    Where an angle is missing, what it moves is not there (NaN), and is not drawn.

    Raises:
        UserError: an angle has no forecast, or where the body faces is never observed.
    """
    from sparsenode.data.motion.kinematics import bone_segments
    from sparsenode.data.sources.mocap import side_of

    rows = np.flatnonzero(adata.obs["trajectory"].astype(str).to_numpy() == trial)
    observed_times = adata.obs["time"].to_numpy(np.float64)[rows]
    times = np.union1d(forecast["time"].unique(), forecast["start"].unique())
    at = np.abs(observed_times[:, None] - times).argmin(axis=0)
    observed = place_joints(body, np.asarray(adata.X[rows[at]], np.float64))
    bones = bone_segments(body.skeleton)
    names = [bone.name for bone in body.skeleton.bones]
    sides = [side_of(name, names) for name in names]
    forward = face(observed, bones, sides)
    if np.isnan(forward).any():
        raise UserError(
            f"trial {trial}: an angle of the hip is missing at each of the {len(times)} times from {times[0]:.2f} s to "
            f"{times[-1]:.2f} s, so that nothing tells where the body faces; the figure of skeletons takes a trial in "
            "which the hip is observed"
        )
    poses: dict[Any, np.ndarray] = {OBSERVED: look_from_side(observed, forward)}
    for model, method in best.items():
        wide = forecast[forecast["model"] == model].pivot(index="time", columns="feature", values="predicted")
        missing = [name for name in adata.var_names if name not in wide]
        if missing:
            raise UserError(f"trial {trial}: {model} has no forecast of {missing[0]!r}; the figure takes all angles")
        # A forecast begins with what was observed at its start, which need not be listed.
        values = np.where(
            np.isin(times, wide.index)[:, None],
            wide.reindex(times)[list(adata.var_names)].to_numpy(np.float64),
            np.asarray(adata.X[rows[at]], np.float64),
        )
        positions = place_joints(body, np.where(np.isfinite(values), values, np.nan))
        poses[model, method] = look_from_side(positions, forward)
    subject = subjects_of(adata)[trial]
    trained = subject in set(adata.obs.loc[adata.obs["split"] == "train", "subject"].astype(str))
    return Motion(trial, subject, trained, times, poses, bones, sides)


def place_joints(body: Body, values: np.ndarray) -> np.ndarray:
    """Positions of the joints around the hip in cm (frame, joint, 3) of scaled `values` (frame, feature)."""
    from sparsenode.data.motion.acclaim import centimeters_per_unit
    from sparsenode.data.motion.kinematics import joint_positions

    degrees = body.offset + body.scale * values
    constant = np.broadcast_to(body.constant, (len(values), len(body.constant)))
    positions = joint_positions(body.skeleton, body.channels, np.concatenate((degrees, constant), axis=1))
    return (positions - positions[:, :1]) * centimeters_per_unit(body.skeleton)


def face(places: np.ndarray, bones: Sequence[tuple[int, int]], sides: Sequence[str]) -> np.ndarray:
    """Mean direction (3,) that the body faces, level, from the line between its hips; NaN where that is never observed.

    Args:
        places: positions of the joints (frame, joint, 3).
        bones: numbers of the joints that each bone begins and ends at (bone,).
        sides: side of the body that each bone is on (bone,).
    """
    hips = {side: _leave_root(places, bones, end) for (start, end), side in zip(bones, sides, strict=True) if not start}
    left = mean_observed(places[:, hips["left"]] - places[:, hips["right"]])
    # Left times up is forward, as y is up and the axes are right-handed.
    forward = np.cross(left, (0.0, 1.0, 0.0))
    return forward / (np.linalg.norm(forward) or 1.0)


def _leave_root(places: np.ndarray, bones: Sequence[tuple[int, int]], joint: int) -> int:
    """The first of a joint and those after it that is not where the root is.

    Recordings in BVH mostly have the hip joints of both sides at the root, and those of the legs after them.
    """
    following = dict(reversed(bones))
    while joint in following and not np.nanmax(np.abs(places[:, joint] - places[:, 0]), initial=0.0) > 0:
        joint = following[joint]
    return joint


def look_from_side(places: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Forward and up (frame, joint, 2) of `places` (frame, joint, 3)."""
    return np.stack((places @ forward, places[..., 1]), axis=-1)


def draw(dataset: str, motions: Sequence[Motion]) -> Figure:
    """For each motion a row of observed poses, and a row for each model over the observed ones in light gray."""
    from matplotlib.figure import Figure

    low, high = limits(motions)
    width, height = 1.05, 1.05 * (high[1] - low[1]) / (high[0] - low[0])
    rows = len(motions[0].poses)
    size = (0.8 + width * MOMENTS, 0.5 + len(motions) * (0.6 + height * rows))
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.04, wspace=0, hspace=0)
    figure.suptitle(f"{dataset}: observed and predicted motion (median over seeds at the chosen strength)")
    subfigures = np.atleast_1d(figure.subfigures(len(motions), 1))
    for subfigure, motion in zip(subfigures, motions, strict=True):
        subfigure.suptitle(describe(motion), fontsize="medium")
        grid = subfigure.subplots(rows, MOMENTS, squeeze=False)
        moments = np.linspace(0, len(motion.times) - 1, MOMENTS).round().astype(int)
        for axes, moment in zip(grid[0], moments, strict=True):
            lead = f"{motion.times[moment] - motion.times[0]:.2g} s"
            axes.set_title(lead if moment else f"lead time {lead}")
        for row, (key, poses) in zip(grid, motion.poses.items(), strict=True):
            row[0].set_ylabel(key if key == OBSERVED else "\n".join(key))
            for axes, moment in zip(row, moments, strict=True):
                _prepare(axes, low, high)
                if key != OBSERVED:
                    _show(_add_lines(axes, motion, faint=True), motion, motion.poses[OBSERVED][moment])
                _show(_add_lines(axes, motion), motion, poses[moment])
        _add_bar(grid[-1, 0], low)
    _legend(figure)
    return figure


def describe(motion: Motion) -> str:
    """Which trial a motion is of, and what of it was forecast."""
    start, end = motion.times[0], motion.times[-1]
    person = f"{'same' if motion.trained else 'another'} person ({name_label(motion.subject)})"
    return f"{person}, trial {name_label(motion.trial)}: forecast from {start:.2f} s to {end:.2f} s"


def limits(motions: Sequence[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest coordinates (forward, up) of all poses, with a margin."""
    joined = np.concatenate([poses.reshape(-1, 2) for motion in motions for poses in motion.poses.values()])
    return np.nanmin(joined, axis=0) - 6, np.nanmax(joined, axis=0) + 6


def animate(dataset: str, motion: Motion, path: Path) -> None:
    """Write the motion at its own speed as a GIF, observed beside predicted."""
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    low, high = limits([motion])
    height = 3.0
    width = height * (high[0] - low[0]) / (high[1] - low[1])
    columns = len(motion.poses)
    figure = Figure(figsize=(max(width, 1.3) * columns, height + 0.9), layout="constrained")
    grid = figure.subplots(1, columns, squeeze=False)[0]
    panels = []
    for axes, (key, poses) in zip(grid, motion.poses.items(), strict=True):
        _prepare(axes, low, high)
        axes.set_title(key if key == OBSERVED else "\n".join(key))
        if key != OBSERVED:
            panels.append((_add_lines(axes, motion, faint=True), motion.poses[OBSERVED]))
        panels.append((_add_lines(axes, motion), poses))
    _add_bar(grid[0], low)
    # The time is one word, so that no line breaks within it, and the last one is as long as any.
    words = [f"{time:.2f}\N{NO-BREAK SPACE}s" for time in motion.times]
    heading = figure.suptitle(f"{dataset}, trial {name_label(motion.trial)}: {words[-1]}")
    # The layout is found once: panels would shift with the width of the heading.
    settle(figure)
    start = heading.get_text().removesuffix(words[-1])

    def update(frame: int) -> None:
        heading.set_text(start + words[frame])
        for lines, poses in panels:
            _show(lines, motion, poses[frame])

    with write_atomically(path) as temporary:
        movie = FuncAnimation(figure, update, frames=len(motion.times), init_func=lambda: None, cache_frame_data=False)
        movie.save(temporary, writer=_make_writer(motion.times), dpi=_PIXELS_PER_INCH)


def durations(times: np.ndarray) -> list[int]:
    """How long each frame is shown, in ms, such that the motion has its own speed; the last as long as that before."""
    # GIF counts in hundredths of a second: rounding the sum, not each frame, keeps the speed.
    ends = np.append(times[1:], 2 * times[-1] - times[-2]) - times[0] if len(times) > 1 else np.ones(1)
    return [int(step) for step in np.diff(np.round(100 * ends), prepend=0.0) * 10]


def _make_writer(times: np.ndarray) -> Any:
    from matplotlib.animation import PillowWriter

    class RealTimeWriter(PillowWriter):
        """Gives each frame a duration of its own."""

        def finish(self) -> None:
            self._frames[0].save(
                self.outfile, format="gif", save_all=True, append_images=self._frames[1:], duration=durations(times),
                loop=0,
            )  # fmt: skip

    return RealTimeWriter()


def _prepare(axes: Axes, low: np.ndarray, high: np.ndarray) -> None:
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _add_lines(axes: Axes, motion: Motion, *, faint: bool = False) -> dict[str, Any]:
    """An empty line for each side of the body."""
    looks = {side: (style.LIGHT_GRAY, 1) if faint else SIDE_LOOKS[side][1:] for side in dict.fromkeys(motion.sides)}
    return {
        side: axes.plot([], [], color=color, zorder=order, linewidth=1.6, solid_capstyle="round")[0]
        for side, (color, order) in looks.items()
    }


def _show(lines: Mapping[str, Any], motion: Motion, pose: np.ndarray) -> None:
    """Put a pose (joint, 2) into the lines: bones of one side are one line, broken by NaN."""
    for side, line in lines.items():
        bones = np.array([bone for bone, its in zip(motion.bones, motion.sides, strict=True) if its == side])
        points = np.insert(pose[bones], 2, np.nan, axis=1).reshape(-1, 2)
        line.set_data(points[:, 0], points[:, 1])


def _add_bar(axes: Axes, low: np.ndarray) -> None:
    start, height = low[0] + 3, low[1] + 1
    axes.plot([start, start + BAR], [height, height], color=style.BLACK, linewidth=1.5, clip_on=False)
    axes.text(start + BAR / 2, height - 3, f"{BAR} cm", ha="center", va="top", fontsize="small")


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    entries = {label: color for label, color, _ in SIDE_LOOKS.values()} | {
        "observed, under predicted": style.LIGHT_GRAY
    }
    handles = [Line2D([], [], color=color, linewidth=1.6) for color in entries.values()]
    figure.legend(handles, list(entries), loc="outside lower center", ncols=len(entries))
