"""Error of the forecasts over their lead time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import read_metadata
from sparsenode.evaluation.results import Choice, models_of, pick, read_lead_errors
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.panels import (
    MOST_PANELS,
    add_legend,
    choose_models,
    describe_selection,
    make_panels,
    method_with_losses,
)
from sparsenode.labels import ALL, SUBJECT

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_SUBJECTS = 4
"""Of more subjects than this, the mean over all their trajectories is shown."""
BASELINE_LOOKS = {
    "baseline:initial_state": ("hold the last state", (0, (7, 3))),
    "baseline:constant_velocity": ("constant velocity", (0, (1, 1.5))),
    "baseline:training_mean": ("training mean", (0, (7, 2, 1, 2))),
    "baseline:last_cycle": ("repeat the last cycle", (0, (2, 1))),
}
BEYOND = 1.6
"""Errors are shown up to this multiple of the largest one of a trivial forecast that does not extrapolate."""
_EXTRAPOLATES = "baseline:constant_velocity"


@dataclass(frozen=True)
class Panels:
    """What the columns show: `titles` by the entry of the column `trajectory`, all on data of `split`.

    `time_unit` is that of lead times; `poses` tells whether a state is the pose of a body.
    """

    titles: Mapping[str, str]
    split: str
    time_unit: str
    poses: bool = False


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice], pd.DataFrame, Panels]:
    """Read what `draw` takes.

    Raises:
        UserError: the metrics hold no errors of rolling forecasts.
    """
    errors = read_lead_errors(results.files["metrics"])
    return results.metrics, results.choices, errors, choose_panels(results.adata, errors)


def choose_panels(adata: AnnData, errors: pd.DataFrame) -> Panels:
    """A panel for each subject with test data (with validation data where there are none), trained ones first."""
    metadata = read_metadata(adata)
    split = "test" if errors["split"].eq("test").any() else "validation"
    subjects, splits = adata.obs["subject"].astype(str), adata.obs["split"].astype(str)
    trajectory_numbers = adata.obs["trajectory"].cat.codes
    trained = trajectory_numbers[splits == "train"].groupby(subjects).max()
    tested = trajectory_numbers[splits == split].groupby(subjects, sort=False).min()
    scored = set(errors.loc[errors["split"] == split, "trajectory"].astype(str))
    trajectories = adata.obs.loc[splits == split, "trajectory"].astype(str).groupby(subjects).unique()
    people = "skeletons" in metadata.provenance
    subject, trial = ("person", "trials") if people else ("subject", "trajectories")
    titles, labels = {}, name_labels(tested.index)
    for name in sorted(tested.index, key=lambda name: name not in trained.index):
        # A mean over a subject's trajectories is listed only where it differs from that over all, or from a single one.
        entries = [
            f"{SUBJECT}{name}",
            *([ALL] if len(tested) == 1 else trajectories[name] if len(trajectories[name]) == 1 else []),
        ]
        entry = next((entry for entry in entries if entry in scored), None)
        if entry is None:
            continue
        is_trained = name in trained.index
        titles[entry] = f"{'same' if is_trained else 'another'} {subject} ({labels[name]})"
        if is_trained and tested[name] > trained[name]:
            titles[entry] += f", later {trial}"
    if not 0 < len(titles) <= MOST_SUBJECTS:
        titles = {ALL: f"mean over {split} {trial}"}
    return Panels(titles, split, metadata.time_unit, people)


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    errors: pd.DataFrame,
    panels: Panels,
) -> Figure:
    """For each model a panel for each entry of `panels`, six at most; `errors` as `read_lead_errors` gives them."""
    from matplotlib.lines import Line2D

    every = models_of(metrics)
    models = choose_models(metrics, choices, max(1, MOST_PANELS // len(panels.titles)))
    looks = style.looks(style.method_order(metrics["method"]))
    errors = pick(errors, split=panels.split, trajectory=list(panels.titles))
    # The phase that models are fitted to comes first; in other phases they extrapolate in time.
    phases = set(errors["phase"])
    errors = pick(errors, phase="fit") if "fit" in phases else errors
    heading = [
        f"{dataset}: error of forecasts over their lead time ({panels.split} data)",
        "lines: median over seeds at the chosen strength; bands: range over seeds",
        *describe_selection(len(models), len(every), "models"),
    ]
    frame = make_panels(len(models) * len(panels.titles), height=2.2, heading=heading, sharey=True)
    highest = top(errors)
    legend: dict[str, Any] = {}
    cells = [(model, name) for model in models for name in panels.titles]
    for number, (axes, (model, name)) in enumerate(zip(frame.axes, cells, strict=True)):
        mine = pick(errors, trajectory=name)
        for method, (label, dashes) in BASELINE_LOOKS.items():
            line = pick(mine, method=method, model=["", model])
            if len(line):
                words = label.replace("state", "pose") if panels.poses else label
                axes.plot(line["lead"], line["value"], color=style.GRAY, linestyle=dashes, label=words, zorder=2)
                legend.setdefault(words, Line2D([], [], color=style.GRAY, linestyle=dashes))
        for method, look in looks.items():
            if (model, method) in choices:
                strength = choices[model, method].strength
                chosen = pick(mine, model=model, method=method, strength=strength)
                label = method_with_losses(metrics, model, method, choices)
                label += "" if strength is not None else ": too few members finished"
                style.draw_spread(axes, chosen, "lead", color=look.color, alpha=0.18, label=label, zorder=4)
                legend.setdefault(label, Line2D([], [], color=look.color))
        axes.set_title(f"{model}\n{panels.titles[name]}" if len(models) > 1 else panels.titles[name])
        axes.set_xlabel(style.time_label(panels.time_unit).replace("time", "lead time", 1))
        axes.set_xlim(0, errors["lead"].max())
        axes.set_ylim(0, highest)
        if number % 2 == 0:
            axes.set_ylabel(f"root mean squared error\n({describe_unit(errors)})")
    add_legend(frame, list(legend.values()), list(legend))
    return frame.figure


def top(errors: pd.DataFrame) -> float:
    """Largest error that is shown: what explodes leaves a panel at its top and does not set the scale."""
    calm = pick(errors, method=[name for name in BASELINE_LOOKS if name != _EXTRAPOLATES])["value"]
    remaining = errors.loc[errors["method"] != _EXTRAPOLATES, "value"]
    largest = float(remaining[np.isfinite(remaining)].max())
    bound = BEYOND * float(calm.max()) if len(calm) else np.inf
    return 1.05 * min(largest, bound)


def describe_unit(errors: pd.DataFrame) -> str:
    """Unit of a root mean squared error."""
    unit = next((unit for unit in errors["unit"].astype(str) if unit), "")
    if unit.endswith("^2"):
        return unit.removesuffix("^2")
    return "scaled units" if unit in {"", "scaled"} else unit
