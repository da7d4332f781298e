"""Values that say yes or no, as people and programs write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALLOWED = "true or false, yes or no, 1 or 0"
_TEXTS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}


def logical_value(value: Any) -> bool | None:
    """Whether a value says yes: a truth value, 1 or 0, or their usual text in any case; None for anything else."""
    if isinstance(value, str):
        return _TEXTS[value] if value in _TEXTS else _TEXTS.get(value.strip().lower())
    if isinstance(value, bool | np.bool_ | int | float | np.integer | np.floating) and value in {0, 1}:
        return bool(value)
    return None


def logical_values(column: Any, entries: Sequence[str], where: str) -> NDArray[np.bool_]:
    """A column of values that say yes or no, (entry,).

    Args:
        column: values that `logical_value` takes, (entry,).
        entries: names of the entries, for the message.
        where: the file and column, for the message.

    Raises:
        UserError: a value is missing or says neither; the message names its entry.
    """
    import pandas as pd

    series = pd.Series(column)
    empty = series.isna().tolist()
    values = [None if missing else logical_value(value) for value, missing in zip(series.tolist(), empty, strict=True)]
    wrong = [row for row, value in enumerate(values) if value is None]
    if wrong:
        first = wrong[0]
        value = "nothing" if empty[first] else repr(series.tolist()[first])
        count = f" (the first of {len(wrong)} such entries)" if len(wrong) > 1 else ""
        message = f"{where} holds {value} for {entries[first]!r}{count}; allowed: {ALLOWED}"
        raise UserError(message)
    return np.array(values, dtype=bool)


def logical_matrix(matrix: NDArray[Any], rows: Sequence[str], columns: Sequence[str], where: str) -> NDArray[np.bool_]:
    """A matrix (row, column) of truth values, or of 1 and 0.

    Args:
        matrix: the values, (row, column).
        rows: names of the rows, for the message.
        columns: names of the columns, for the message.
        where: the file and matrix, for the message.

    Raises:
        UserError: there is another value; the message names its row and column.
    """
    values = np.asarray(matrix)
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, column = wrong[0]
        message = (
            f"{where} holds {values[row, column]:g} from {rows[row]!r} to {columns[column]!r}; allowed: true or "
            "false, 1 or 0"
        )
        raise UserError(message)
    return values != 0
