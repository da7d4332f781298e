"""Trajectories that a person has in memory: arrays, lists of arrays, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.centering import refuse_rounded_times
from sparsenode.data.readers.lineages import read_lineages
from sparsenode.data.single_cell.cells import trajectory_name
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory, constant_labels
from sparsenode.errors import UserError, describe_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST = 2  # observations of a trajectory
_NAMED = 5  # names listed in a message
_SHAPES = (
    "give an array (observation, variable), a list of such arrays, an array (trajectory, time, variable), a DataFrame "
    "or an AnnData"
)


def read_arrays(
    values: Any,
    times: Any = None,
    trajectory: Any = None,
    lineage_weights: Any = None,
    *,
    time_unit: str = "time unit",
    value_unit: str = "value",
) -> RawTrajectories:
    """Trajectories out of arrays, without a test split.

    Args:
        values: an array or DataFrame (observation, variable), a list of them, one a trajectory, or an array
            (trajectory, time, variable).
        times: (observation,); of several trajectories one such array for all, or a list of one each. None for steps of
            one. Of a DataFrame, also the name of its column of times. Of cells that are of several lineages, in one
            array, also (observation, lineage) with NaN where a cell is not of one, or a list of names of columns.
        trajectory: labels (observation,) of which trajectory an observation is, where all are in one array. Of a
            DataFrame, also the name of its column of labels.
        lineage_weights: weights or a mask (observation, lineage) of cells in one array that are of several lineages,
            each of which is a trajectory; see `sparsenode.data.readers.lineages`.
        time_unit: unit of the times.
        value_unit: unit of the values.

    Raises:
        UserError: shapes that do not fit each other, what is no number, times that are not sorted or repeat, a
            trajectory of a single observation.
    """
    tables = [values] if _is_table(values) else list(values) if _is_list_of_tables(values) else []
    columns: Sequence[str] | None = None
    if tables:
        time_names = list(times) if _is_list_of_names(times) else [times]
        names = {name for name in (*time_names, trajectory) if isinstance(name, str)}
        columns = _columns(tables, names)
        labels = [table[trajectory].to_numpy() for table in tables] if isinstance(trajectory, str) else []
        trajectory = (np.concatenate(labels) if len(tables) == 1 else None) if labels else trajectory
        if _is_list_of_names(times) and _is_table(values):
            times = values[list(times)]
        if isinstance(times, str):
            for table in tables:
                _numbers(table[times].to_numpy(), f"t, the column {times!r},")
            times = [table[times].to_numpy() for table in tables]
            times = times[0] if _is_table(values) else times
        parts = [_variables(table, names) for table in tables]
        values = parts[0] if _is_table(values) else parts
    elif isinstance(times, str) or isinstance(trajectory, str):
        column = times if isinstance(times, str) else trajectory
        raise UserError(
            f"t or trajectory is the text {column!r}, which names a column of a DataFrame, and X is none; give an array"
        )
    if lineage_weights is not None or (getattr(times, "ndim", 1) == 2 and _is_matrix(values)):
        courses = _lineage_courses(values, times, trajectory, lineage_weights)
    else:
        courses = _courses(values, times, trajectory)
    count = courses[0].values.shape[1]
    features = tuple(columns) if columns is not None else tuple(f"x{number + 1}" for number in range(count))
    precision = _precision(times)
    trajectories = []
    for course in courses:
        where = "" if len(courses) == 1 else f" of trajectory {course.name!r}"
        length, width = course.values.shape
        if width != count:
            raise UserError(f"X{where} has {width} variables, and the first trajectory {count}; give the same to all")
        _check_times(course.times, length, where, precision, repeats=course.cells is not None)
        trajectories.append(
            Trajectory(
                name=course.name,
                group=course.group,
                subject=course.subject,
                times=course.times,
                values=course.values,
                splits=constant_labels("train", length),
                phases=constant_labels("fit", length),
                weights=course.weights,
                cells=course.cells,
            )
        )
    return RawTrajectories(
        kind="measured",
        features=features,
        trajectories=tuple(trajectories),
        time_unit=time_unit,
        value_unit=value_unit,
    )


@dataclass(frozen=True, kw_only=True)
class _Course:
    """What makes a trajectory: `values` (observation, variable), `times`, and of a lineage `weights` and `cells`."""

    name: str
    values: Floats
    times: Floats
    group: str = "all"
    subject: str
    weights: Floats | None = None
    cells: NDArray[np.int_] | None = None


def _courses(values: Any, times: Any, trajectory: Any) -> list[_Course]:
    """Trajectories of arrays."""
    blocks = zip(*_blocks(values, times, trajectory), strict=True)
    return [_Course(name=name, values=block, times=when, subject=name) for block, when, name in blocks]


def _lineage_courses(values: Any, times: Any, trajectory: Any, weights: Any) -> list[_Course]:
    """Each lineage, of each trajectory, of cells in one array."""
    matrix = _numbers(values, "X") if _is_matrix(values) else np.empty(0)
    if matrix.ndim != 2:
        raise UserError("lineage_weights are for cells in one array (cell, variable), and X has several; join them")
    if times is None:
        raise UserError(
            "t: missing; cells that are of several lineages need their pseudotimes, (cell,) or (cell, lineage)"
        )
    lineages = read_lineages(weights, times, len(matrix), where=("lineage_weights", "t"))
    labels = np.full(len(matrix), "") if trajectory is None else _row_labels(trajectory, len(matrix))
    return [
        _Course(
            name=trajectory_name(label, course.lineage) if label else course.lineage,
            values=matrix[course.cells],
            times=course.times,
            group=course.lineage,
            subject=label or "trajectory",
            weights=course.weights,
            cells=course.cells,
        )
        for label in dict.fromkeys(labels.tolist())
        for course in lineages.courses(np.flatnonzero(labels == label))
    ]


def _is_matrix(values: Any) -> bool:
    """Whether values are one array (observation, variable)."""
    return _is_table(values) or (not _is_list_of_arrays(values) and np.ndim(values) == 2)


def _is_list_of_names(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) > 0 and all(isinstance(entry, str) for entry in values)


def _is_table(values: Any) -> bool:
    return hasattr(values, "columns") and hasattr(values, "iloc")


def _is_list_of_tables(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) > 0 and all(map(_is_table, values))


def _columns(tables: Sequence[Any], names: set[str]) -> list[str]:
    """Names of the variables of tables, whose columns must be the same in the same order."""
    first = [str(name) for name in tables[0].columns]
    for number, table in enumerate(tables):
        columns = [str(name) for name in table.columns]
        if missing := sorted(names - set(columns)):
            raise UserError(f"the DataFrame has no column {missing[0]!r}. {describe_choice(missing[0], columns)}")
        if columns != first:
            raise UserError(
                f"the DataFrame of trajectory {number} has other columns than the first; give the same, in one order"
            )
    variables = [name for name in first if name not in names]
    if len(set(variables)) < len(variables):
        repeated = next(name for name in variables if variables.count(name) > 1)
        raise UserError(
            f"the DataFrame has the column {repeated!r} more than once; give each variable a name of its own"
        )
    return variables


def _variables(table: Any, names: set[str]) -> NDArray[Any]:
    """The columns of a table that are not in `names`, (observation, variable).

    Raises:
        UserError: a column holds something else than numbers.
    """
    variables = table[[name for name in table.columns if str(name) not in names]]
    for name, kind in variables.dtypes.items():
        if getattr(kind, "kind", "O") not in "fiub":
            try:
                _numbers(variables[name].to_numpy(), f"the column {str(name)!r} of the DataFrame")
            except UserError as error:
                raise UserError(f"{error}; or leave it out, or name it as `t` or `trajectory`") from error
    return np.asarray(variables.to_numpy(np.float64, na_value=np.nan))


def _blocks(values: Any, times: Any, trajectory: Any) -> tuple[list[Floats], list[Floats], list[str]]:
    """Values and times of each trajectory, and its name."""
    if _is_list_of_arrays(values):
        arrays = [_numbers(entry, f"X[{number}]") for number, entry in enumerate(values)]
    else:
        whole = _numbers(values, "X")
        if whole.ndim not in {2, 3}:
            raise UserError(f"X has the shape {whole.shape}; {_SHAPES}")
        if whole.ndim == 2:
            return _labeled(whole, times, trajectory)
        arrays = list(whole)
    if trajectory is not None:
        raise UserError(
            f"trajectory labels are for observations in one array, and X has {len(arrays)} trajectories already; leave "
            "`trajectory` out"
        )
    for number, array in enumerate(arrays):
        if array.ndim != 2 or 0 in array.shape:
            raise UserError(f"X[{number}] has the shape {array.shape}; give (observation, variable)")
    return (
        arrays,
        _times_of_each(times, [len(array) for array in arrays]),
        [str(number) for number in range(len(arrays))],
    )


def _is_list_of_arrays(values: Any) -> bool:
    """Whether it is a list of arrays of two axes: of one axis they are the rows of a single array."""
    if not isinstance(values, list | tuple) or not len(values):
        return False
    return all(np.ndim(entry) == 2 if hasattr(entry, "ndim") else _depth(entry) == 2 for entry in values)


def _depth(entry: Any) -> int:
    if isinstance(entry, list | tuple):
        return 1 + (_depth(entry[0]) if len(entry) else 0)
    return int(np.ndim(entry))


def _labeled(values: Floats, times: Any, trajectory: Any) -> tuple[list[Floats], list[Floats], list[str]]:
    """Trajectories of one array (observation, variable), in the order in which their labels first come."""
    if 0 in values.shape:
        raise UserError(f"X has the shape {values.shape}: there are no observations or no variables; {_SHAPES}")
    when = None if times is None else _numbers(times, "t")
    if when is not None and when.shape != (len(values),):
        raise UserError(
            f"t has the shape {when.shape}, and X {len(values)} observations; give one time for each, or None for "
            "steps of one"
        )
    labels = np.full(len(values), "0") if trajectory is None else _row_labels(trajectory, len(values))
    names = list(dict.fromkeys(labels.tolist()))
    rows = [np.flatnonzero(labels == name) for name in names]
    each = [np.arange(len(row), dtype=np.float64) if when is None else when[row] for row in rows]
    return [values[row] for row in rows], each, names


def _row_labels(trajectory: Any, count: int) -> NDArray[np.str_]:
    """Labels of trajectories as text, (observation,)."""
    import pandas as pd

    labels = np.asarray(trajectory)
    if labels.shape != (count,):
        raise UserError(f"trajectory has the shape {labels.shape}, and X {count} observations; give one label for each")
    empty = np.flatnonzero(pd.isna(np.asarray(trajectory, dtype=object)))
    if len(empty):
        raise UserError(
            f"trajectory has no label at {len(empty)} observations, the first of them {empty[0]}; give each one, or "
            "leave these observations out"
        )
    return labels.astype(str)


def _times_of_each(times: Any, lengths: Sequence[int]) -> list[Floats]:
    """Times of each trajectory: a list of them, or one array for all."""
    if times is None:
        return [np.arange(length, dtype=np.float64) for length in lengths]
    if _depth(times) == 1 if isinstance(times, list | tuple) else np.ndim(times) == 1:
        inner = [np.ndim(entry) for entry in times] if isinstance(times, list | tuple) else [0]
        if not any(inner):
            shared = _numbers(times, "t")
            if set(lengths) != {len(shared)}:
                counts = ", ".join(map(str, list(dict.fromkeys(lengths))[:_NAMED]))
                raise UserError(
                    f"t is one array of {len(shared)} times for {len(lengths)} trajectories of {counts} observations; "
                    "give a list of one array a trajectory"
                )
            return [shared] * len(lengths)
    entries = list(times)
    if len(entries) != len(lengths):
        raise UserError(
            f"t has {len(entries)} arrays of times, and X {len(lengths)} trajectories; give one array of times for each"
        )
    arrays = [_numbers(entry, f"t[{number}]") for number, entry in enumerate(entries)]
    for number, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if array.shape != (length,):
            raise UserError(
                f"t[{number}] has the shape {array.shape}, and X[{number}] {length} observations; give one time each"
            )
    return arrays


def _numbers(values: Any, name: str) -> Floats:
    """An array in double precision; what is missing stays NaN."""
    if hasattr(values, "toarray"):
        values = values.toarray()
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise UserError(f"{name} is a list of rows of different lengths; {_SHAPES}") from error
    if array.dtype.kind in "mMcSU":
        raise UserError(
            f"{name} holds {_kinds(array)} and no real numbers; give numbers, such as hours since the first observation"
        )
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} holds {_first_wrong(array)}, which is no number; give numbers") from error


def _first_wrong(array: NDArray[Any]) -> str:
    """The first entry of an array of objects that is no number, in words."""
    for entry in array.ravel().tolist():
        try:
            float(np.float64(entry))
        except (TypeError, ValueError):
            return repr(entry)
    return "an entry"


def _kinds(array: NDArray[Any]) -> str:
    return {"m": "durations", "M": "dates", "c": "complex numbers"}.get(array.dtype.kind, "text")


def _precision(times: Any) -> np.dtype[Any]:
    """Least precise type of floating-point numbers among arrays of times; double precision where there is none."""
    entries = times if isinstance(times, list | tuple) else [times]
    kinds = [np.dtype(np.float64), *(np.asarray(entry).dtype for entry in entries if hasattr(entry, "dtype"))]
    return min((kind for kind in kinds if kind.kind == "f"), key=lambda kind: kind.itemsize)


def _check_times(times: Floats, count: int, where: str, precision: np.dtype[Any], *, repeats: bool) -> None:
    if count < _FEWEST:
        raise UserError(f"X{where} has {count} observation; a trajectory takes at least {_FEWEST}: leave it out")
    if not np.isfinite(times).all():
        number = int(np.argmin(np.isfinite(times)))
        raise UserError(f"t{where} is {times[number]} at observation {number}; leave that observation out")
    steps = np.diff(times)
    if (steps < 0).any():
        number = int(np.argmax(steps < 0))
        raise UserError(
            f"t{where} decreases from {times[number]:.15g} to {times[number + 1]:.15g} at observation {number + 1}; "
            "sort the observations by time, or tell trajectories apart by `trajectory`"
        )
    refuse_rounded_times(times, precision, f"t{where}")
    if (steps == 0).any() and not repeats:
        number = int(np.argmax(steps == 0))
        raise UserError(
            f"t{where} repeats {times[number]:.15g} at observation {number + 1}; average the observations of one time, "
            "or tell replicates apart by `trajectory`"
        )
