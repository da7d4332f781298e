"""How large values, movements and times are for training, and what to set where they are far from one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.contract import read_metadata, training_mask, trajectory_slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

FAR = 100.0
"""What is larger than this, or smaller than one over it, is far from one: networks begin with rates of about one."""
FAR_SPAN = 1000.0
"""The same of a span of time before a model says by its `time_scale` what one is."""
SUSPICIOUS = 10.0
"""The same once members were lost in training, so that a reason is looked for."""
FAR_STANDARDIZED, FAR_LEVEL_STANDARDIZED = 1e12, 1e4
"""The same of movements, and of values beside movements, where networks see standardized states."""
_LARGE_LEVEL = 10.0


@dataclass(frozen=True)
class Magnitudes:
    """Magnitudes of the training observations of a dataset, in modeling units.

    `movements`: least and largest over the features of the root mean square distance from the initial state;
    `level`: largest absolute value;
    `span`: duration of the longest trajectory that has training observations, in `time_unit`;
    `options`: those of the dataset's source.
    """

    dataset: str
    movements: tuple[float, float]
    level: float
    span: float
    time_unit: str
    options: Mapping[str, Any]


def measure_magnitudes(adata: AnnData) -> Magnitudes:
    """Measure an AnnData of trajectories that has training observations."""
    metadata = read_metadata(adata)
    training = training_mask(adata.obs["split"], adata.obs["phase"])
    times = adata.obs["time"].to_numpy(dtype=np.float64)
    states = metadata.initial_states
    squares, count, level, span = np.zeros(adata.n_vars), np.zeros(adata.n_vars, np.int64), 0.0, 0.0
    # One trajectory at a time: copies of all values in float64 would double what preprocessing takes.
    for name, rows in trajectory_slices(adata).items():
        is_training = training[rows]
        if is_training.any():
            values = np.asarray(adata.X[rows][is_training], dtype=np.float64)
            squares += np.nansum(np.square(values - states.loc[name].to_numpy(dtype=np.float64)), axis=0)
            count += (~np.isnan(values)).sum(axis=0)
            level = max(level, float(np.nanmax(np.abs(values))))
            span = max(span, float(np.ptp(times[rows])))
    movements = np.sqrt(squares / np.maximum(count, 1))
    return Magnitudes(
        dataset=metadata.name,
        movements=(float(movements.min()), float(movements.max())),
        level=level,
        span=span,
        time_unit=metadata.time_unit,
        options=metadata.settings.get("options", {}),
    )


def doubts_of_values(magnitudes: Magnitudes, far: float = FAR, *, standardized: bool = False) -> list[str]:
    """Sentences on values that are too small, too large, or too far from zero to learn from, with what to set.

    Args:
        magnitudes: those of the dataset.
        far: factor from which a magnitude is far from one.
        standardized: whether networks see standardized states. They take any values whose squares and movements single
            precision can represent, whatever `far` is.
    """
    least, largest = magnitudes.movements
    far, far_level = (FAR_STANDARDIZED, FAR_LEVEL_STANDARDIZED) if standardized else (far, far)
    moves = f"{largest:.2g}" if f"{least:.2g}" == f"{largest:.2g}" else f"{least:.2g} to {largest:.2g}"
    if not 1 / far <= largest <= far:
        return [
            f"values move by {moves} from their initial states, and networks begin with rates of about 1: "
            f"{_scaling_advice(magnitudes)}"
        ]
    if magnitudes.level > max(far_level * largest, _LARGE_LEVEL):
        return [
            f"values are as large as {magnitudes.level:.2g} and move by only {moves}: {_scaling_advice(magnitudes)}"
        ]
    return []


def doubts_of_times(magnitudes: Magnitudes, time_scale: float | None = None, far: float = FAR) -> list[str]:
    """Sentences on trajectories that are too long or too short to learn from, with what to set.

    Args:
        magnitudes: those of the dataset.
        time_scale: that of the model, in `time_unit`; None where no model is known yet, and only what is farther than
            `FAR_SPAN` is doubtful.
        far: factor from which a span is far from one.
    """
    scaled = magnitudes.span / (time_scale or 1.0)
    far = max(far, FAR_SPAN) if time_scale is None else far
    if 1 / far <= scaled <= far:
        return []
    shared = "" if time_scale in {None, 1.0} else f", {scaled:.2g} times the model's `time_scale`"
    length = "long" if scaled > 1 else "short"
    return [
        f"trajectories are {length}, {magnitudes.span:.3g} ({magnitudes.time_unit}){shared}, and networks begin with "
        f"rates of about 1 in a unit of time: {_time_advice(magnitudes)}"
    ]


def doubts_of_step(magnitudes: Magnitudes, step: float, time_scale: float) -> list[str]:
    """Sentences on a step of the solver that is too long for the trajectories or for what moves in them.

    Args:
        magnitudes: those of the dataset.
        step: step of the solver, in `time_unit`.
        time_scale: that of the model, in `time_unit`.
    """
    if step >= magnitudes.span:
        return [
            f"one step of the solver ({step:g}) is as long as the longest trajectory ({magnitudes.span:.3g} "
            f"{magnitudes.time_unit}): set a smaller `solver.step`"
        ]
    if step > time_scale:
        return [
            f"a step of the solver ({step:g}) is longer than the model's `time_scale` ({time_scale:g}), the time in "
            "which states change: set a smaller `solver.step`, or a larger `time_scale`"
        ]
    return []


def _scaling_advice(magnitudes: Magnitudes) -> str:
    standardize = "`standardize: true` in a first-order model"
    if magnitudes.options.get("scaling") == "none":
        return f"set `scaling: training_range` in datasets.{magnitudes.dataset}.options, or {standardize}"
    return f"give the values in another unit, or set {standardize}"


def _time_advice(magnitudes: Magnitudes) -> str:
    model = "set `time_scale` in the model to the time in which states change by about as much as they differ, and "
    model += "`solver.step` to about a fifth of it"
    if magnitudes.options.get("time_scaling") == "none":
        return f"set `time_scaling: unit` in datasets.{magnitudes.dataset}.options, or {model}"
    return model
