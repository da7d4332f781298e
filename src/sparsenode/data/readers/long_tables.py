"""Long tables of trajectories: a line for each observation, with its trajectory, its time, and a column a variable.

CSV or TSV (see `tables.read_written_table`) or parquet. An empty entry of a variable, NA or NaN was not observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsenode.data.readers.tables import MISSING, finite_numbers, read_written_table
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, describe_choice
from sparsenode.files import describe_absence, describe_problem, file_sha256

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

Order = Literal["increasing", "any"]
_PARQUET = (".parquet", ".pq")
_NO_VARIABLE = "name a column that is no variable as `trajectory`, `group` or `subject`, or leave it out (`leave_out`)"


@dataclass(frozen=True)
class LongTable:
    """Observations in the order of their lines.

    Shapes: `times` and `lines` (observation,), each of `labels` (observation,), by the name of its column, `values`
    (observation, variable), None where they were not read.
    """

    path: Path
    variables: tuple[str, ...]
    times: Floats
    labels: Mapping[str, NDArray[np.str_]]
    lines: NDArray[np.int_]
    values: Floats | None


def read_table(
    path: str | Path,
    *,
    time: str = "time",
    trajectory: str | None = None,
    group: str | None = None,
    subject: str | None = None,
    variables: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    labels: Sequence[str] = (),
    order: Order = "increasing",
) -> AnnData:
    """Observations of a long table, as `SparseNODE.fit` and `tl.fit_dynamics` take them.

    Args:
        path: a CSV, TSV or parquet file with a line for each observation; text tables may be gzipped.
        time: column of the times.
        trajectory: column that says of which trajectory an observation is; None where all are of one.
        group: column that trajectories of one kind share (lineage, branch).
        subject: column with the donor or person.
        variables: columns to model, in this order; None for all that nothing else names.
        leave_out: columns that are neither variables nor anything else, such as comments.
        labels: further columns of text to keep in `obs`.
        order: `increasing` refuses lines of a trajectory whose times do not increase, since then mostly trajectories
            were not told apart; `any` takes them, as of cells in pseudotime.

    Returns:
        `X` float64 (observation, variable), NaN where an entry was not observed, and `obs` with the columns of times
        and labels, by their names.

    Raises:
        UserError: the file cannot be read, a column is not there or there twice, a line has another width, there is
            text in a number's place, a label or a time is missing, or times do not increase.
    """
    from anndata import AnnData

    named = [trajectory, group, subject, *labels]
    columns = list(dict.fromkeys(name for name in named if name is not None))
    table = read_long_table(Path(path), time, columns, variables=variables, leave_out=leave_out)
    check_order(table, trajectory, order)
    import pandas as pd

    names = [f"line{line}" for line in table.lines]
    observations = pd.DataFrame({time: table.times, **table.labels}, index=names)
    features = pd.DataFrame(index=pd.Index(list(table.variables), dtype=object))
    return AnnData(table.values, observations, features)


def read_long_table(
    path: Path,
    time: str,
    labels: Sequence[str],
    *,
    variables: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    with_values: bool = True,
) -> LongTable:
    """Read times, labels and values of a long table.

    Args:
        path: the file.
        time: column of the times.
        labels: columns of text.
        variables: columns of the variables; None for all others.
        leave_out: columns that are not read.
        with_values: whether the values are read; names of the variables are in any case.

    Raises:
        UserError: see `read_table`.
    """
    if (absence := describe_absence(path)) is not None:
        raise UserError(absence)
    read = _read_parquet if path.suffix in _PARQUET else _read_text
    return read(path, time, list(labels), variables, leave_out, with_values=with_values)


def check_order(table: LongTable, trajectory: str | None, order: Order) -> None:
    """Refuse times that do not increase within a trajectory, unless any order is allowed.

    Raises:
        UserError: the first such line, and what to do.
    """
    if order == "any":
        return
    names = np.zeros(len(table.times), np.int_) if trajectory is None else table.labels[trajectory]
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        steps = np.diff(table.times[rows])
        if (steps > 0).all():
            continue
        number = int(np.argmax(steps <= 0))
        before, after = rows[number], rows[number + 1]
        of_trajectory = "" if trajectory is None else f" in trajectory {name!r}"
        advice = "tell trajectories apart by a column (`trajectory`)" if trajectory is None else "sort its lines"
        problem = "repeats that of" if steps[number] == 0 else f"is before {table.times[before]:.15g}, that of"
        raise UserError(
            f"{table.path}, line {table.lines[after]}: the time {table.times[after]:.15g} {problem} line "
            f"{table.lines[before]}{of_trajectory}; {advice}, or take lines in any order and with repeated times "
            "(`order`: any)"
        )


def provenance(path: Path) -> dict[str, Any]:
    """What is written down of the origin of the data."""
    return {"file": path.name, "sha256": file_sha256(path)}


def choose_variables(
    path: Path, columns: Sequence[str], time: str, labels: Sequence[str], variables: Any, leave_out: Sequence[str]
) -> tuple[str, ...]:
    """Names of the variables of a table with these columns.

    Raises:
        UserError: a column that something names is not there, is named for two things, or no variable is left.
    """
    roles: dict[str, str] = {}
    named = [(time, "time"), *((name, "labels") for name in labels), *((name, "leave_out") for name in leave_out)]
    for name, role in [*named, *((name, "variables") for name in variables or ())]:
        if name not in columns:
            raise UserError(f"{path} has no column {name!r} ({role}). {describe_choice(name, columns)}")
        if roles.setdefault(name, role) != role:
            raise UserError(f"{path}: the column {name!r} is named for {roles[name]} and for {role}; name it for one")
    if variables is not None:
        return tuple(variables)
    # The column without a name that R and pandas write first has names or numbers of lines.
    rest = tuple(name for number, name in enumerate(columns) if name not in roles and (name or number))
    if not rest:
        raise UserError(f"{path} has no column beside {', '.join(roles)}; each variable is a column of numbers")
    if "" in rest:
        raise UserError(f"{path}: field {columns.index('') + 1} of the column names is empty; name every column")
    return rest


def _read_text(
    path: Path, time: str, labels: list[str], variables: Any, leave_out: Sequence[str], *, with_values: bool
) -> LongTable:
    table = read_written_table(path, names_rows=lambda _names, decimal_commas: not decimal_commas)
    chosen = choose_variables(path, table.columns, time, labels, variables, leave_out)
    time_field = table.columns.index(time)
    label_fields = [table.columns.index(name) for name in labels]
    fields_of_values = [table.columns.index(name) for name in chosen] if with_values else []
    lines, times, texts, values = [], [], [], []
    for line, fields in table.rows:
        for name, field in zip(labels, label_fields, strict=True):
            if not fields[field]:
                raise UserError(f"{path}, line {line}, column {name!r}: it is empty; give each observation a label")
        lines.append(line)
        times += finite_numbers(table, line, [time_field], fields)
        texts.append([fields[field] for field in label_fields])
        present = [field for field in fields_of_values if fields[field] not in MISSING]
        try:
            numbers = dict(zip(present, finite_numbers(table, line, present, fields), strict=True))
        except UserError as error:
            raise UserError(f"{error}; {_NO_VARIABLE}") from error
        values.append([numbers.get(field, np.nan) for field in fields_of_values])
    return LongTable(
        path=path,
        variables=chosen,
        times=np.array(times, dtype=np.float64),
        labels=dict(zip(labels, np.array(texts, dtype=np.str_).reshape(len(lines), len(labels)).T, strict=True)),
        lines=np.array(lines, dtype=np.int_),
        values=np.array(values, dtype=np.float64).reshape(len(lines), len(chosen)) if with_values else None,
    )


def _read_parquet(
    path: Path, time: str, labels: list[str], variables: Any, leave_out: Sequence[str], *, with_values: bool
) -> LongTable:
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
        columns = [name for name in names if not name.startswith("__index_level_")]  # that pandas writes beside
        if repeated := [name for name in columns if columns.count(name) > 1]:
            raise UserError(f"{path}: the column {repeated[0]!r} is there more than once; give each a name of its own")
        chosen = choose_variables(path, columns, time, labels, variables, leave_out)
        needed = [time, *labels, *(chosen if with_values else ())]
        table = parquet.read_table(path, columns=needed)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"{path} cannot be read as a parquet file ({describe_problem(error)}): it is damaged or of another kind"
        ) from error
    if not table.num_rows:
        raise UserError(f"{path} has no rows")
    times = _numbers(path, time, table.column(time))
    if not np.isfinite(times).all():
        raise UserError(f"{path}, row {_first(~np.isfinite(times))}, column {time!r}: the time is missing or infinite")
    texts = dict(_texts(path, table, labels))
    values = [_numbers(path, name, table.column(name)) for name in chosen] if with_values else []
    for name, column in zip(chosen if with_values else (), values, strict=True):
        if np.isinf(column).any():
            row = _first(np.isinf(column))
            raise UserError(f"{path}, row {row}, column {name!r}: {column[row - 1]} is not a finite number")
    return LongTable(
        path=path,
        variables=chosen,
        times=times,
        labels=texts,
        lines=np.arange(1, table.num_rows + 1),
        values=np.stack(values, axis=1) if with_values else None,
    )


def _texts(path: Path, table: Any, labels: Sequence[str]) -> Iterator[tuple[str, NDArray[np.str_]]]:
    """Columns of labels of a parquet file."""
    for name in labels:
        column = table.column(name)
        if column.null_count:
            row = _first(column.is_null().to_numpy())
            raise UserError(f"{path}, row {row}, column {name!r}: it is empty; give each observation a label")
        yield name, np.array([str(value) for value in column.to_pylist()], dtype=np.str_)


def _numbers(path: Path, name: str, column: Any) -> Floats:
    """A column of a parquet file as numbers, NaN where it has none."""
    from pyarrow import types

    kind = column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
        raise UserError(f"{path}, column {name!r}: it holds {kind}, and no numbers; {_NO_VARIABLE}")
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _first(wrong: NDArray[np.bool_]) -> int:
    """Number of the first row of which something is true, from 1 on."""
    return int(np.argmax(wrong)) + 1
