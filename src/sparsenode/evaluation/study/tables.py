"""Long tables of the study: one row a value, and what it is a value of."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparsenode.errors import UserError
from sparsenode.files import reading, write_atomically

if TYPE_CHECKING:
    import pandas as pd

CONDITIONS = ("noise", "share_kept", "trajectories")
"""How the data were observed: noise, share of the observations kept, and number of training trajectories."""
SYSTEM = ("kind", "network")
TEXTS = ("kind", "network", "dataset", "model", "method", "choice", "phase", "metric")
COLUMNS = (
    *SYSTEM, *CONDITIONS, "dataset", "model", "method", "seed", "choice", "distance", "phase", "metric", "value"
)  # fmt: skip
"""`kind` is the data source, `network` tells its system, `choice` is `validation`, `truth` (the strength of the best
value) or empty where there is none to choose, `distance` is the level, -1 for what is measured of a network."""
NO_DISTANCE = -1
VALIDATION, TRUTH = "validation", "truth"
PLAIN = "none"
"""The method without a regularizer, beside whose members all others are set."""
ERROR, RAN_AWAY = "mse_cut", "share_ran_away"
Scale = Literal["ratio", "difference"]
"""How a quantity is compared: by the logarithm of a ratio, or by a difference."""
DIGITS = "%.6g"


def join_long(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Long tables below each other, sorted, each row once.

    Raises:
        UserError: two rows differ only in their value, as from two runs of one dataset.
    """
    import pandas as pd

    keys = list(COLUMNS[:-1])
    joined = pd.concat([table[list(COLUMNS)] for table in tables], ignore_index=True).drop_duplicates()
    repeated = joined[joined.duplicated(keys)]
    if len(repeated):
        first = repeated.iloc[0]
        message = (
            f"the tables of the study have {len(repeated)} values twice and different, the first {first['metric']} of "
            f"dataset {first['dataset']}, method {first['method']}, seed {first['seed']}; leave one of the tables out"
        )
        raise UserError(message)
    return joined.sort_values(keys, kind="stable", ignore_index=True)


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, each with its columns as attributes."""
    yield from table.itertuples(index=False)


def describe_condition(row: Any) -> str:
    """The condition of a row in words."""
    return f"noise {row.noise:g}, {row.share_kept:g} of the observations, {row.trajectories} trajectories"


def write_rows(table: pd.DataFrame, path: Path) -> None:
    """Write a table made from long ones as CSV."""
    with write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, float_format=DIGITS, lineterminator="\n")


def write_long(table: pd.DataFrame, path: Path) -> None:
    """Write a long table as CSV, compressed by the ending of its name; the same table gives the same bytes."""
    content = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n").encode()
    with write_atomically(path) as temporary:
        # Neither a time nor the name of a temporary file is in it.
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read_long(path: Path) -> pd.DataFrame:
    """Read a long table.

    Raises:
        UserError: it is missing, damaged, or lacks a column.
    """
    import pandas as pd

    with reading(path):
        try:
            table = pd.read_csv(path, keep_default_na=False, dtype=dict.fromkeys(TEXTS, str))
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise ValueError(str(error)) from error
    if missing := [name for name in COLUMNS if name not in table]:
        message = f"{path} is no table of the study: it has no column {missing[0]!r}; make it by `sparsenode run`"
        raise UserError(message)
    numbers = {"noise": float, "share_kept": float, "trajectories": int, "seed": int, "distance": int, "value": float}
    with reading(path):
        return table.astype(numbers)


def collect_study(tables: Sequence[Path], output: Path) -> None:
    """Join long tables into one.

    Raises:
        UserError: a table cannot be read, or two tables differ in a value.
    """
    write_long(join_long([read_long(path) for path in tables]), output)
