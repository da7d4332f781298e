"""The outline of an h5ad file: names, columns of `obs` and `var`, shapes; never a value of its matrices.

It is quick to import and to read, since it is read before every run: it takes only h5py and numpy, and nothing that
grows with the number of cells times features. Columns are read in each form that anndata has written since version 0.7.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.readers.h5ad_cells import CellFile, column_names, index_name, open_cells, row_count
from sparsenode.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py
    from numpy.typing import NDArray

    from sparsenode.data.trajectories import Floats


@dataclass(frozen=True)
class Column:
    """A column of a table: its distinct `labels` as text, and of each row the number of its label, -1 for none."""

    labels: tuple[str, ...]
    codes: NDArray[np.int_]

    @property
    def missing(self) -> int:
        """How many rows have no entry."""
        return int((self.codes < 0).sum())

    @property
    def present(self) -> tuple[str, ...]:
        """Labels that a row has; a categorical column may have further ones."""
        return tuple(self.labels[code] for code in np.unique(self.codes[self.codes >= 0]))

    @property
    def text(self) -> NDArray[np.str_]:
        """The label of each row, empty where it has no entry, (row,)."""
        return np.array([*self.labels, ""], dtype=np.str_)[self.codes]


@dataclass(frozen=True)
class Headers(CellFile):
    """An open h5ad file of which only the outline is read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and features."""
        return row_count(self.file["obs"]), row_count(self.file["var"])

    def columns(self, table: str) -> list[str]:
        """Names of the columns of `obs` or `var`, without the index."""
        return column_names(self.file[table])

    def column(self, table: str, name: str | None) -> Column:
        """A column of `obs` or `var`, or its index.

        Raises:
            UserError: there is no such column, or it is of no form that anndata writes.
        """
        group = self.file[table]
        if name is not None and name not in self.columns(table):
            raise self.fail(table, name, self.columns(table))
        key = index_name(group) if name is None else name
        try:
            return _checked(_read_column(group[key]), row_count(group))
        except (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            reason = (str(error) or type(error).__name__).partition("\n")[0]
            message = f"{self.path}: {table}[{key!r}] cannot be read ({reason}); write the file again with anndata"
            raise UserError(message) from error

    def numbers(self, column: str) -> Floats | None:
        """A column of `obs` as numbers, NaN where it has no entry, (observation,); None where it holds something else.

        Raises:
            UserError: see `column`.
        """
        element = self.file["obs"].get(column)
        if _is_numeric(element) and element.shape == (self.shape[0],):
            return np.asarray(element[:], dtype=np.float64)
        values = self.column("obs", column)
        try:
            numbers = np.array([*map(_number, values.labels), np.nan])
        except ValueError:
            return None
        return numbers[values.codes]

    def labels(self, column: str) -> NDArray[np.str_]:
        """A column of `obs` as text, (cell,); empty where a cell has no entry."""
        return self.column("obs", column).text

    def features(self, column: str | None, layer: str | None = None) -> NDArray[np.str_]:
        """A column of the `var` of a matrix of values as text, (feature,), or its index."""
        return self.column(self.feature_table(layer), column).text


@contextmanager
def open_headers(path: Path) -> Iterator[Headers]:
    """Open an h5ad file to read its outline.

    Raises:
        UserError: it is missing, cut short, no HDF5 file, or not laid out as an h5ad file.
    """
    with open_cells(path) as cells:
        yield Headers(cells.file, path)


def _is_numeric(element: Any) -> bool:
    """Whether a column is a plain one of numbers, which need no detour by their texts."""
    import h5py

    return isinstance(element, h5py.Dataset) and element.dtype.kind in "fiu" and "categories" not in element.attrs


def is_number(label: str) -> bool:
    """Whether a label of a column is a number, finite or not."""
    try:
        _number(label)
    except ValueError:
        return False
    return True


def _number(label: str) -> float:
    # They are truth values as numpy takes them.
    return {"True": 1.0, "False": 0.0}[label] if label in {"True", "False"} else float(label)


def _checked(column: Column, rows: int) -> Column:
    """The column, once it has an entry in each of the rows and each entry is one of its labels.

    Raises:
        ValueError: it is cut short, or damaged.
    """
    if column.codes.shape != (rows,):
        message = f"its shape is {column.codes.shape}, and the index has {rows} entries"
        raise ValueError(message)
    if rows and not -1 <= column.codes.min() <= column.codes.max() < len(column.labels):
        message = f"its codes go from {column.codes.min()} to {column.codes.max()} for {len(column.labels)} categories"
        raise ValueError(message)
    return column


def _read_column(element: Any) -> Column:
    """A column in any of its forms: plain, with categories, or with a mask of what is missing."""
    import h5py

    if isinstance(element, h5py.Group) and "codes" in element:
        return Column(labels=_all_labels(element["categories"]), codes=element["codes"][:].astype(np.int_))
    if isinstance(element, h5py.Group):
        distinct = _distinct(_plain_values(element["values"]))
        mask = element["mask"][:]
        if mask.shape != distinct.codes.shape:
            message = f"it has {len(distinct.codes)} values and {len(mask)} entries in its mask"
            raise ValueError(message)
        return Column(labels=distinct.labels, codes=np.where(mask, -1, distinct.codes))
    if (reference := element.attrs.get("categories")) is not None:  # before anndata 0.8
        return Column(labels=_all_labels(element.parent[reference]), codes=element[:].astype(np.int_))
    return _distinct(_plain_values(element))


def _all_labels(element: Any) -> tuple[str, ...]:
    """The categories of a column as text, in their order."""
    column = _read_column(element)
    return tuple(_checked(column, len(column.codes)).text.tolist())


def _plain_values(values: h5py.Dataset) -> NDArray[Any]:
    import h5py

    return np.asarray(values.asstr()[:] if h5py.check_string_dtype(values.dtype) is not None else values[:])


def _distinct(values: NDArray[Any]) -> Column:
    if values.ndim != 1:
        message = f"{values.ndim} dimensions, where a column has one"
        raise ValueError(message)
    labels, codes = np.unique(values, return_inverse=True)
    missing = np.zeros(len(labels), dtype=bool) if labels.dtype.kind != "f" else np.isnan(labels)
    # The labels are in the order of the values, and numbers among them are as pandas writes them as text.
    return Column(tuple(map(str, labels)), np.where(missing[codes], -1, codes))
