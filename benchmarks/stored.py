"""Rows that a benchmark measures one after the other, in a CSV file from which it goes on after an end at any time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


class StoredRows:
    """A CSV file of rows, each of which is measured once.

    A row is what its key columns say; to measure one again, delete its line.
    """

    def __init__(self, path: Path, keys: tuple[str, ...], values: tuple[str, ...]) -> None:
        """Open the file, or begin it.

        Args:
            path: the file.
            keys: names of the columns that say what is measured.
            values: names of the columns of what was measured.
        """
        self._path, self._keys, self._columns = path, keys, (*keys, *values)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(self._columns) + "\n", encoding="utf-8")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self._measured = {tuple(row[key] for key in keys) for row in rows}

    def measure(self, key: Mapping[str, Any], function: Callable[[], Mapping[str, Any]]) -> None:
        """Add the row of the key, with the values that the function gives, if it is not there yet."""
        names = tuple(str(key[name]) for name in self._keys)
        if names in self._measured:
            return
        row = {**key, **{name: _short(value) for name, value in function().items()}}
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)
        self._measured.add(names)

    def read(self) -> pd.DataFrame:
        """All rows of the file; key columns are text."""
        return pd.read_csv(self._path, dtype=dict.fromkeys(self._keys, str), keep_default_na=False, na_values=[""])


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
