"""Reading of h5ad files of cells piece by piece: labels, an embedding, and the values of chosen cells and genes.

The matrix of values is never in memory as a whole, however it is stored (by cells, by genes, or dense): besides what
was asked for, a piece of it at a time.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.errors import UserError
from sparsenode.files import describe_absence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import h5py
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from sparsenode.data.trajectories import Floats

_PIECE = 4_000_000  # values read at once
_GAP = 100_000  # stored values that are read and thrown away rather than start another piece
_NAMED = 8  # names listed in a message
_LARGEST_WHOLE = 2**24  # whole numbers up to here are exact in float32


@contextmanager
def open_cells(path: Path) -> Iterator[CellFile]:
    """Open an h5ad file for reading.

    Raises:
        UserError: it is missing, cut short, no HDF5 file, or not laid out as an h5ad file.
    """
    import h5py

    if (absence := describe_absence(path)) is not None:
        raise UserError(absence)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        message = f"{path} is cut short or no h5ad file ({_reason(error)}); fetch or write it again"
        raise UserError(message) from error
    with file:
        missing = [name for name in ("obs", "var") if name not in file]
        if missing:
            message = f"{path} is an HDF5 file without {missing[0]!r}, so no h5ad file"
            raise UserError(message)
        if not all(isinstance(file[name], h5py.Group) for name in ("obs", "var")):
            message = f"{path} is an h5ad file of before anndata 0.7; read and write it with anndata once"
            raise UserError(message)
        yield CellFile(file, path)


@dataclass(frozen=True)
class CellFile:
    """An open h5ad file of cells, with a clear error for everything that is asked of it in vain."""

    file: h5py.File
    path: Path

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return list(self.file.get("layers", ()))

    @property
    def embeddings(self) -> list[str]:
        """Names of the embeddings, in `obsm`."""
        return list(self.file.get("obsm", ()))

    def cell_names(self) -> NDArray[np.str_]:
        """The index of `obs`, (cell,)."""
        return self._column("obs", None)

    def labels(self, column: str) -> NDArray[np.str_]:
        """A column of `obs` as text, (cell,); empty where a cell has no entry."""
        return self._column("obs", column)

    def features(self, column: str | None) -> NDArray[np.str_]:
        """A column of `var` as text, (feature,), or its index."""
        return self._column("var", column)

    def embedding(self, name: str, cells: NDArray[np.int_]) -> Floats:
        """Coordinates of `cells` (ascending) in `obsm[name]`, (cell, dimension).

        Raises:
            UserError: there is no such table of numbers, or a coordinate is not finite.
        """
        import h5py

        where = f"{self.path}: obsm[{name!r}]"
        if name not in self.embeddings:
            raise self.fail("obsm", name, self.embeddings)
        table = self.file["obsm"][name]
        count = len(self.file["obs"][_index(self.file["obs"])])
        if not isinstance(table, h5py.Dataset) or table.ndim != 2 or table.dtype.kind not in "fiu":
            message = f"{where} is no dense table of numbers"
            raise UserError(message)
        if len(table) != count:
            message = f"{where} has {len(table)} rows for {count} cells"
            raise UserError(message)
        with _reading(where):
            found = _dense_pieces(table, cells, np.arange(table.shape[1]))
            coordinates = np.vstack([part.astype(np.float64) for part in found])
        if not np.isfinite(coordinates).all():
            message = f"{where} holds values that are NaN or infinite"
            raise UserError(message)
        return coordinates

    def values(self, layer: str | None, cells: NDArray[np.int_], features: NDArray[np.int_]) -> csr_matrix:
        """Values (cell, feature) of `layers[layer]`, or of X, for `cells` and `features`, both ascending.

        In single precision, unless the file has whole numbers beyond it, without stored zeros, sorted. Takes memory
        for what is asked for, twice, and for one piece.

        Raises:
            UserError: there is no such matrix, it is damaged, or it does not hold numbers.
        """
        import h5py
        from scipy.sparse import csr_matrix, vstack

        where = f"{self.path}: {matrix_name(layer)}"
        matrix = self._matrix(layer)
        with _reading(where):
            if isinstance(matrix, h5py.Dataset):
                _check_numbers(matrix, where)
                _check_shape(self, matrix.shape, where)
                parts = (csr_matrix(part) for part in _dense_pieces(matrix, cells, features))
                found = vstack([_single(part) for part in parts], format="csr")
            else:
                kind, shape = _compressed_form(matrix, where)
                _check_numbers(matrix["data"], where)
                _check_shape(self, shape, where)
                lines, across, count = (cells, features, shape[1]) if kind == "csr" else (features, cells, shape[0])
                found = vstack(list(_compressed_pieces(matrix, lines, across, count, where)), format="csr")
                found = found if kind == "csr" else found.T.tocsr()
            found.sum_duplicates()
            found.eliminate_zeros()
        return found

    def _matrix(self, layer: str | None) -> Any:
        if layer is not None:
            if layer not in self.layers:
                raise self.fail("layers", layer, self.layers)
            return self.file["layers"][layer]
        if "X" not in self.file or _text(self.file["X"].attrs.get("encoding-type", "")) == "null":
            message = f"{self.path} has no X; name a layer; there are: {_listed(self.layers)}"
            raise UserError(message)
        return self.file["X"]

    def _column(self, table: str, column: str | None) -> NDArray[np.str_]:
        group = self.file[table]
        name = _index(group) if column is None else column
        if name not in group:
            shown = [known for known in group if not known.startswith("_")]
            raise self.fail(table, name, shown)
        with _reading(f"{self.path}: {table}[{name!r}]"):
            return _as_text(_read_column(group[name]))

    def fail(self, table: str, name: str, known: Sequence[str]) -> UserError:
        """The error that `table` has no entry `name`, and what there is."""
        return UserError(f"{self.path}: {table} has no {name!r}; there are: {_listed(known)}")


def matrix_name(layer: str | None) -> str:
    """What messages call a matrix of values."""
    return "X" if layer is None else f"layers[{layer!r}]"


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")) or "none"


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into an error that says where."""
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        message = f"{where} cannot be read ({_reason(error)}); is the file damaged?"
        raise UserError(message) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _index(group: h5py.Group) -> str:
    return _text(group.attrs.get("_index", "_index"))


def _read_column(element: Any) -> Any:
    """A column of a data frame in memory, also in the form of before anndata 0.8, whose codes point to categories."""
    import pandas as pd
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's on old forms, which it reads all the same
        reference = element.attrs.get("categories")
        if reference is None:
            return read_elem(element)
        return pd.Categorical.from_codes(read_elem(element), read_elem(element.parent[reference]))


def _as_text(column: Any) -> NDArray[np.str_]:
    import pandas as pd

    series = pd.Series(column)
    text = series.astype(str).to_numpy(dtype=np.str_)
    text[series.isna().to_numpy()] = ""
    return text


def _check_shape(cells: CellFile, shape: tuple[int, ...], where: str) -> None:
    expected = tuple(len(cells.file[table][_index(cells.file[table])]) for table in ("obs", "var"))
    if shape != expected:
        message = f"{where} has the shape {shape}, expected {expected}, one row a cell and one column a feature"
        raise UserError(message)


def _check_numbers(values: h5py.Dataset, where: str) -> None:
    if values.dtype.kind not in "fiub":
        message = f"{where} holds {values.dtype}, no numbers"
        raise UserError(message)


def _single(values: csr_matrix) -> csr_matrix:
    """Values in single precision, or in double where whole numbers would be rounded."""
    exact = values.dtype.kind == "f" or values.nnz == 0 or abs(values.data).max() <= _LARGEST_WHOLE
    return values.astype(np.float32 if exact else np.float64)


def _dense_pieces(table: h5py.Dataset, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Iterator[NDArray[Any]]:
    """Chosen rows and columns of a dense table, some rows at a time."""
    left, right = columns[0], columns[-1] + 1
    step = max(1, _PIECE // (right - left))
    if table.chunks is not None:  # chunks are unpacked as a whole
        step = min(max(step, table.chunks[0]), 8 * step)
    bounds = np.searchsorted(rows, np.arange(0, len(table) + step, step))
    for begin, end in pairwise(bounds):
        if begin < end:
            first, last = rows[begin], rows[end - 1] + 1
            yield table[first:last, left:right][rows[begin:end] - first][:, columns - left]


def _compressed_form(group: h5py.Group, where: str) -> tuple[str, tuple[int, ...]]:
    """`csr` or `csc`, and the shape, of a sparse matrix."""
    form = _text(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))).removesuffix("_matrix")
    shape = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    if form not in {"csr", "csc"} or shape is None or any(name not in group for name in ("data", "indices", "indptr")):
        message = f"{where} is neither a dense matrix nor a sparse one by rows or columns"
        raise UserError(message)
    return form, tuple(int(size) for size in shape)


def _compressed_pieces(
    group: h5py.Group, lines: NDArray[np.int_], across: NDArray[np.int_], count: int, where: str
) -> Iterator[csr_matrix]:
    """Chosen lines of a sparse matrix, (line, entry): rows of one by rows, columns of one by columns.

    `across` are the entries chosen of the `count` that each line has.
    """
    from scipy.sparse import csr_matrix

    data, indices = group["data"], group["indices"]
    bounds = group["indptr"][:].astype(np.int64)
    whole = bounds[0] == 0 and (np.diff(bounds) >= 0).all() and bounds[-1] == len(data) == len(indices)
    if not whole or lines[-1] + 1 >= len(bounds):
        message = f"{where} is damaged: its parts do not fit each other"
        raise UserError(message)
    for piece in _pieces(bounds, lines):
        first, last = piece[0], piece[-1] + 1
        begin, end = bounds[first], bounds[last]
        places = indices[begin:end]
        # scipy takes what is in there for granted.
        if len(places) and (places.min() < 0 or places.max() >= count):
            message = f"{where} is damaged: a value stands outside of the matrix"
            raise UserError(message)
        block = csr_matrix((data[begin:end], places, bounds[first : last + 1] - begin), shape=(last - first, count))
        yield _single(block[piece - first][:, across])


def _pieces(bounds: NDArray[np.int64], lines: NDArray[np.int_]) -> Iterator[NDArray[np.int_]]:
    """Cut ascending lines into pieces to read at once: near each other, and not too large."""
    start = 0
    for place in range(1, len(lines)):
        gap = bounds[lines[place]] - bounds[lines[place - 1] + 1]
        size = bounds[lines[place] + 1] - bounds[lines[start]]
        if gap > _GAP or size > _PIECE:
            yield lines[start:place]
            start = place
    yield lines[start:]
