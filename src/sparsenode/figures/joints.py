"""Learned networks between joints, ordered by the parts of the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

BODY_PARTS = ("root", "trunk", "head", "left arm", "right arm", "left leg", "right leg")
COLUMNS = 3
WEAKEST = 1e-3
"""Relative strength of a path from which on colors differ; weaker ones have the color of this strength."""


@dataclass(frozen=True)
class Joints:
    """Joints in the order in which they are drawn: `names`, the `parts` of the body they belong to, both (joint,).

    `channels` (joint, channel) says which channels are degrees of freedom of a joint.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    channels: np.ndarray


def read(results: Results) -> tuple[dict[tuple[str, str], Choice], dict[tuple[str, str], np.ndarray], Joints]:
    """Read what `draw` takes.

    Raises:
        UserError: the data are no joint angles, or no strength was chosen for any method.
    """
    from sparsenode.evaluation.networks import read_networks

    joints = order_joints(results.adata.var, where=str(results.files["data"]))
    choices = choose_methods(results.choices, where=str(results.files["selection"]))
    learned = read_networks(results.files["networks"], choices, list(results.adata.var_names))
    return choices, {key: aggregate(network.weights, joints) for key, network in learned.items()}, joints


def order_joints(var: pd.DataFrame, *, where: str = "the trajectories") -> Joints:
    """Order the joints by part of the body, and within it as the channels come.

    Raises:
        UserError: `var` does not say what joint and part of the body a channel belongs to.
    """
    missing = [name for name in ("joint", "body_part") if name not in var]
    if missing:
        raise UserError(
            f"{where}: `var` has no column {missing[0]!r}; the figure of joints takes a dataset of joint angles"
        )
    of_channel = var["joint"].astype(str).to_numpy()
    part_of = dict(zip(of_channel, var["body_part"].astype(str), strict=True))
    body_parts = [*BODY_PARTS, *(body_part for body_part in part_of.values() if body_part not in BODY_PARTS)]
    names = tuple(sorted(part_of, key=lambda name: body_parts.index(part_of[name])))
    channels = np.array([of_channel == name for name in names])
    return Joints(names, tuple(part_of[name] for name in names), channels)


def choose_methods(
    choices: Mapping[tuple[str, str], Choice], *, where: str = "the selection"
) -> dict[tuple[str, str], Choice]:
    """Those with a chosen strength; `none`, whose network is full, only where a model has no other.

    Raises:
        UserError: no method has a chosen strength.
    """
    chosen = {key: choice for key, choice in choices.items() if choice.strength is not None}
    if not chosen:
        raise UserError(f"{where}: no strength was chosen for any method, so there is no network to draw")
    sparse = {model for model, method in chosen if method != "none"}
    selected = [(model, method) for model, method in chosen if method != "none" or model not in sparse]
    order = style.method_order(method for _, method in selected)
    models = list(dict.fromkeys(model for model, _ in selected))
    return {key: chosen[key] for key in sorted(selected, key=lambda key: (models.index(key[0]), order.index(key[1])))}


def aggregate(matrix: np.ndarray, joints: Joints) -> np.ndarray:
    """Strongest path between any channel of one joint and any of another: (joint, joint), rows are sources.

    `matrix` (channel, channel) holds signed path strengths. Paths of a joint to itself are NaN: each is nearly always
    there, and says nothing about how joints depend on each other.
    """
    strength = np.abs(matrix)
    sources = np.array([strength[mine].max(axis=0) for mine in joints.channels])
    between = np.array([sources[:, mine].max(axis=1) for mine in joints.channels]).T
    between[np.eye(len(between), dtype=bool)] = np.nan
    return between


def empty_share(between: np.ndarray) -> float:
    """Share of the pairs of different joints without a path."""
    off = between[~np.isnan(between)]
    return float((off < THRESHOLD).mean()) if len(off) else float("nan")


def draw(
    dataset: str,
    choices: Mapping[tuple[str, str], Choice],
    between: Mapping[tuple[str, str], np.ndarray],
    joints: Joints,
) -> Figure:
    """For each model one heat map per method; `between` (joint, joint) holds path strengths by (model, method)."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(model for model, _ in choices))
    panels = {model: [method for name, method in choices if name == model] for model in models}
    columns = min(COLUMNS, max(len(methods) for methods in panels.values()))
    rows = {model: int(np.ceil(len(methods) / columns)) for model, methods in panels.items()}
    size = (3.0 * columns + 2.0, sum(3.3 * count + 1.3 for count in rows.values()))
    figure = Figure(figsize=size, layout="constrained")
    subfigures = np.atleast_1d(figure.subfigures(len(models), 1, height_ratios=[rows[model] for model in models]))
    for subfigure, model in zip(subfigures, models, strict=True):
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: which joint's motion depends on which\n"
            "median over seeds at the chosen strength; white: no path; gray: a joint on itself"
        )
        grid = subfigure.subplots(rows[model], columns, squeeze=False).ravel()
        mesh = None
        for number, method in enumerate(panels[model]):
            matrix = between[model, method]
            mesh = _draw_matrix(grid[number], matrix, joints)
            below = number + columns >= len(panels[model])
            _label_parts(grid[number], joints, left=number % columns == 0, below=below)
            strength = style.format_strength(choices[model, method].strength)
            grid[number].set_title(f"{method}, strength {strength}\n{empty_share(matrix):.0%} of joint pairs empty")
        for axes in grid[len(panels[model]) :]:
            axes.set_visible(False)
        bar = subfigure.colorbar(mesh, ax=grid, shrink=0.9, aspect=25, pad=0.02, extend="min")
        style.label_powers(bar.ax.yaxis)
        bar.set_label("strongest path between angles of two joints,\nrelative to the network's strongest")
    return figure


def _draw_matrix(axes: Axes, matrix: np.ndarray, joints: Joints) -> object:
    from matplotlib.colors import LogNorm

    count = len(matrix)
    strengths = matrix / (np.nanmax(matrix, initial=0.0) or 1.0)
    # Strengths span decades; paths below the scale are still told from no path, which is white.
    scale = {"vmin": WEAKEST, "vmax": 1, "norm": LogNorm(WEAKEST, 1)}
    without_path = ~(matrix >= THRESHOLD)
    mesh = style.draw_heat_map(axes, np.maximum(strengths, WEAKEST), without_path, cmap="YlGnBu", square=True, **scale)
    diagonal = np.eye(count)
    style.draw_heat_map(axes, diagonal, diagonal == 0, cmap="Greys", vmin=0, vmax=3.5, square=True)
    for start in _starts(joints)[1:]:
        axes.axhline(start, color=style.BLACK, linewidth=0.6)
        axes.axvline(start, color=style.BLACK, linewidth=0.6)
    return mesh


def _starts(joints: Joints) -> list[int]:
    """Number of the first joint of each part of the body."""
    return [
        number for number, body_part in enumerate(joints.parts) if number == 0 or body_part != joints.parts[number - 1]
    ]


def _label_parts(axes: Axes, joints: Joints, *, left: bool, below: bool) -> None:
    starts = _starts(joints)
    ends = [*starts[1:], len(joints.parts)]
    middles = [(start + end) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [joints.parts[start] for start in starts]
    axes.set_xticks(middles if below else [], names if below else [], rotation=90)
    axes.set_yticks(middles if left else [], names if left else [])
    if below:
        axes.set_xlabel("target")
    if left:
        axes.set_ylabel("source")
