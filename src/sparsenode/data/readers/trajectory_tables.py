"""The file format of trajectories published with PHOENIX and DASH.

The first line holds how many genes and how many trajectories there are (and empty fields). Each trajectory follows as
one line for each gene, its values over time, and one line of the times. Lines of one trajectory are equally long; where
trajectories are not, the shorter ones may be filled up with fields without a value.
"""

from pathlib import Path

import numpy as np

from sparsenode.data.readers.tables import MISSING, read_table_text
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


def read_trajectory_table(path: Path) -> list[tuple[Floats, Floats]]:
    """Times (observation,) and values (observation, gene) of each trajectory; a missing value is NaN.

    Fields that fill a trajectory up, with neither a time nor a value, are left out.

    Raises:
        UserError: the file cannot be read, is no such table or is cut off, there is text in a number's place, a value
            is infinite or has no time, or times do not increase.
    """
    lines = read_table_text(path).splitlines()
    genes, count = _sizes(path, lines[0] if lines else "")
    expected = 1 + count * (genes + 1)
    if len(lines) != expected:
        message = (
            f"{path}: {len(lines)} lines, but {genes} genes and {count} trajectories (line 1) make {expected}, one a "
            "gene and one of times for each trajectory; is the file cut off?"
        )
        raise UserError(message)
    starts = range(1, expected, genes + 1)
    return [_read_one(path, lines[start : start + genes + 1], start + 1) for start in starts]


def _sizes(path: Path, line: str) -> tuple[int, int]:
    genes, _, rest = line.partition(",")
    count = rest.rstrip(",")
    numbers = [text.strip() for text in (genes, count)]
    if not all(text.isascii() and text.isdigit() and int(text) > 0 for text in numbers):
        message = f"{path}, line 1: {line[:60]!r}, expected the numbers of genes and of trajectories, as in '500,1'"
        raise UserError(message)
    return int(numbers[0]), int(numbers[1])


def _read_one(path: Path, lines: list[str], first: int) -> tuple[Floats, Floats]:
    """A trajectory from its lines, the first of which is line `first` of the file."""
    width = lines[-1].count(",") + 1
    rows = np.empty((len(lines), width))
    for index, line in enumerate(lines):
        fields = line.split(",")
        if len(fields) != width:
            message = (
                f"{path}, line {first + index}: {len(fields)} fields where the line of the times, line "
                f"{first + len(lines) - 1}, has {width}; is the file cut off?"
            )
            raise UserError(message)
        rows[index] = [
            _number(path, text.strip(), first + index, field_number)
            for field_number, text in enumerate(fields, start=1)
        ]
    times, values = rows[-1], rows[:-1].T
    timed = np.isfinite(times)
    of_times = f"{path}, line {first + len(lines) - 1}"
    if np.isfinite(values[~timed]).any():
        column = int(np.argmax(~timed & np.isfinite(values).any(axis=1)))
        message = f"{of_times}: field {column + 1} holds no time, but there are values above it"
        raise UserError(message)
    times, values = times[timed], values[timed]
    if len(times) == 0 or (np.diff(times) <= 0).any():
        problem = "no times"
        if len(times):
            step = int(np.argmax(np.diff(times) <= 0))
            problem = f"the time {times[step + 1]:g} follows {times[step]:g}, where times are to increase"
        message = f"{of_times}: {problem}; is the file cut off?"
        raise UserError(message)
    return times, values


def _number(path: Path, text: str, line: int, field_number: int) -> float:
    """A field as a number, NaN where it is missing."""
    if text in MISSING:
        return float("nan")
    try:
        number = float("x" if "_" in text else text)  # Python's own numbers may hold underscores
    except ValueError:
        number = float("inf")
    if not np.isfinite(number):
        message = f"{path}, line {line}, field {field_number}: {text!r} is not a finite number"
        raise UserError(message)
    return number
