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

from sparsenode.errors import UserError, describe_choice, some_of
from sparsenode.files import describe_absence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import h5py
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from sparsenode.data.trajectories import Floats

_PIECE = 4_000_000  # values read at once
_GAP = 100_000  # stored values that are read and thrown away rather than start another piece
_NAMED = 8  # names listed in a message
_LARGEST_WHOLE = 2**24  # whole numbers up to here are exact in float32
_LARGEST_HALF = 2**22  # and up to here a half can be distinguished from them
RAW = "raw"
"""Name by which the matrix of `raw` is chosen, in a file that has no layer of this name."""


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
        for name in ("obs", "var"):
            if index_name(file[name]) not in file[name]:
                message = f"{path}: {name} has no index ({index_name(file[name])!r}); write the file again with anndata"
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
        return self.entries("layers")

    @property
    def embeddings(self) -> list[str]:
        """Names of the embeddings, in `obsm`."""
        return self.entries("obsm")

    def entries(self, group: str) -> list[str]:
        """Names of what a group of the file holds, such as `layers`, `obsm` or `varp`."""
        return list(_entry_names(self.file.get(group, {})))

    def cell_names(self) -> NDArray[np.str_]:
        """The index of `obs`, (cell,)."""
        return self._column("obs", None)

    def labels(self, column: str) -> NDArray[np.str_]:
        """A column of `obs` as text, (cell,); empty where a cell has no entry."""
        return self._column("obs", column)

    @property
    def has_values(self) -> bool:
        """Whether there is an X."""
        return "X" in self.file and _text(self.file["X"].attrs.get("encoding-type", "")) != "null"

    @property
    def has_raw(self) -> bool:
        """Whether `raw` has values, with features of its own."""
        import h5py

        raw = self.file.get("raw")
        return isinstance(raw, h5py.Group) and "X" in raw and isinstance(raw.get("var"), h5py.Group)

    @property
    def matrices(self) -> list[str]:
        """Names of the matrices of values: X, `raw` and the layers, as far as they are there."""
        raw = [RAW] if self.has_raw and RAW not in self.layers else []
        return [*(["X"] if self.has_values else []), *raw, *self.layers]

    def matrix_name(self, layer: str | None) -> str:
        """What messages call a matrix of values."""
        if layer is None:
            return "X"
        return "raw.X" if self._is_raw(layer) else f"layers[{layer!r}]"

    def features(self, column: str | None, layer: str | None = None) -> NDArray[np.str_]:
        """A column of the `var` of a matrix of values as text, (feature,), or its index."""
        return self._column(self.feature_table(layer), column)

    def embedding_names(self, name: str) -> list[str] | None:
        """Names of the columns of `obsm[name]`, where it is a data frame."""
        table = self.file["obsm"][name]
        return column_names(table) if _encoding(table) == "dataframe" else None

    def embedding(self, name: str, cells: NDArray[np.int_]) -> Floats:
        """Coordinates of `cells` (ascending) in `obsm[name]`, (cell, dimension): an array, sparse, or a data frame.

        Raises:
            UserError: there is no such table of numbers, or a coordinate is not finite.
        """
        import h5py

        where = f"{self.path}: obsm[{name!r}]"
        if name not in self.embeddings:
            raise self.fail("obsm", name, self.embeddings)
        table = self.file["obsm"][name]
        with _reading(where):
            if _encoding(table) == "dataframe" or (isinstance(table, h5py.Dataset) and table.dtype.names):
                frame = _read_frame(table, where)
                self._check_cells(frame.shape, where)
                coordinates = frame[cells]
            else:
                shape = _shape(table, where)
                self._check_cells(shape, where)
                pieces = _matrix_pieces(table, shape, cells, np.arange(shape[1]), where, _double)
                coordinates = np.vstack([piece.toarray() for piece in pieces])
        if not np.isfinite(coordinates).all():
            message = f"{where} holds values that are NaN or infinite"
            raise UserError(message)
        return coordinates

    def values(self, layer: str | None, cells: NDArray[np.int_], features: NDArray[np.int_]) -> csr_matrix:
        """Values (cell, feature) of `layers[layer]`, or of X, for chosen cells and features.

        In single precision, unless the file has whole numbers beyond it, without stored zeros, sorted. Takes memory
        for what is asked for, twice, and for one piece.

        Args:
            layer: name of the layer, or `raw` where no layer has this name; None for X.
            cells: positions of the cells in the file, ascending, (cell,).
            features: positions of the features in the matrix, ascending, (feature,).

        Raises:
            UserError: there is no such matrix, it is damaged, or it does not hold numbers.
        """
        from scipy.sparse import vstack

        where = f"{self.path}: {self.matrix_name(layer)}"
        shape, matrix = self._matrix_shape(layer), self._matrix(layer)
        with _reading(where):
            pieces = _matrix_pieces(matrix, shape, cells, features, where, _single)
            selected = vstack(list(pieces), format="csr")
            selected.sum_duplicates()
            selected.eliminate_zeros()
        return selected

    def check_matrix(self, layer: str | None) -> None:
        """Check that a matrix of values is there and has the shape of its tables; none of its values is read.

        Raises:
            UserError: there is no such matrix, or it is of another form or shape.
        """
        self._matrix_shape(layer)

    def _matrix_shape(self, layer: str | None) -> tuple[int, ...]:
        where = f"{self.path}: {self.matrix_name(layer)}"
        matrix = self._matrix(layer)
        with _reading(where):
            shape = _shape(matrix, where)
            expected = self._count("obs"), self._count(self.feature_table(layer))
            if shape != expected:
                message = f"{where} has the shape {shape}, expected {expected}, one row a cell and one column a feature"
                raise UserError(message)
        return shape

    def _is_raw(self, layer: str | None) -> bool:
        return layer == RAW and RAW not in self.layers and self.has_raw

    def feature_table(self, layer: str | None) -> str:
        """Where the features of a matrix are listed."""
        return "raw/var" if self._is_raw(layer) else "var"

    def _count(self, table: str) -> int:
        """Rows of a data frame."""
        group = self.file[table]
        with _reading(f"{self.path}: {table}[{index_name(group)!r}]"):
            return row_count(group)

    def _check_cells(self, shape: tuple[int, ...], where: str) -> None:
        count = self._count("obs")
        if shape[0] != count:
            message = f"{where} has {shape[0]} rows for {count} cells"
            raise UserError(message)

    def _matrix(self, layer: str | None) -> Any:
        if self._is_raw(layer):
            return self.file["raw"]["X"]
        if layer is not None:
            if layer not in self.layers:
                raise self.fail("layers", layer, [name for name in self.matrices if name != "X"])
            return self.file["layers"][layer]
        if not self.has_values:
            message = f"{self.path} has no X; name a layer; there are: {some_of(self.matrices, _NAMED)}"
            raise UserError(message)
        return self.file["X"]

    def _column(self, table: str, column: str | None) -> NDArray[np.str_]:
        group = self.file[table]
        index = index_name(group)
        name = index if column is None else column
        title = table.replace("/", ".")
        if name != index and name not in column_names(group):
            raise self.fail(title, name, [*column_names(group), *([] if index.startswith("_") else [index])])
        with _reading(f"{self.path}: {title}[{name!r}]"):
            text = _as_text(_read_column(group[name]))
            if len(text) != row_count(group):
                message = f"it has {len(text)} entries, and the index {row_count(group)}"
                raise ValueError(message)
            return text

    def fail(self, table: str, name: str, names: Sequence[str]) -> UserError:
        """The error that `table` has no entry `name`, and what there is."""
        return UserError(f"{self.path}: {table} has no {name!r}. {describe_choice(name, names)}")


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what is raised on a damaged file, or on a form that cannot be read, into an error that says where."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (OSError, KeyError, RuntimeError) as error:  # what h5py raises where bytes or parts are missing
        message = f"{where} cannot be read ({_reason(error)}); is the file damaged?"
        raise UserError(message) from error
    except Exception as error:  # anndata's own, on forms that it does not know, have no public name
        message = (
            f"{where} is in a form that cannot be read here ({_reason(error)}); read the file with anndata, and write "
            "this part as plain columns or a plain matrix"
        )
        raise UserError(message) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_group(element: Any) -> bool:
    import h5py

    return isinstance(element, h5py.Group)


def _encoding(element: Any) -> str:
    return _text(element.attrs.get("encoding-type", ""))


def index_name(table: h5py.Group) -> str:
    """Name of the index of `obs` or `var`."""
    return _text(table.attrs.get("_index", "_index"))


def row_count(table: h5py.Group) -> int:
    """Rows of `obs` or `var`, by its index, whose form may be any of a column's."""
    index = table[index_name(table)]
    return len(index["codes" if "codes" in index else "values"] if _is_group(index) else index)


def column_names(table: h5py.Group) -> list[str]:
    """Names of the columns of `obs` or `var`, without the index, as the file lists them."""
    if "column-order" in table.attrs:
        return [_text(name) for name in table.attrs["column-order"]]
    return [name for name in table if name != index_name(table) and not name.startswith("__")]


def _entry_names(group: Any, before: str = "") -> Iterator[str]:
    """Names of what a group holds; a name with a slash is that of an entry in a group of its own, without a form."""
    for name in group:
        entry = group[name]
        if _is_group(entry) and not {"encoding-type", "h5sparse_format"} & set(entry.attrs):
            yield from _entry_names(entry, f"{before}{name}/")
        else:
            yield f"{before}{name}"


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


def _read_frame(element: Any, where: str) -> Floats:
    """A table whose columns have names, (row, column)."""
    import pandas as pd
    from anndata.io import read_elem

    values = read_elem(element)
    # anndata takes an array of records for a matrix of one column.
    table = pd.DataFrame(values.reshape(len(values)) if isinstance(values, np.ndarray) else values)
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            message = f"{where} holds {column.dtype} in its column {str(name)!r}, no numbers"
            raise UserError(message)
    return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for _, column in table.items()])


def _check_numbers(values: h5py.Dataset, where: str) -> None:
    if values.dtype.kind not in "fiub":
        message = f"{where} holds {values.dtype}, no numbers"
        raise UserError(message)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in a type that sparse matrices can have: of this machine's byte order, and no half precision."""
    if values.dtype == np.float16:
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _single(values: csr_matrix) -> csr_matrix:
    """Values in single precision, or in double where whole numbers would be rounded, or other numbers to whole ones."""
    limit = _LARGEST_HALF if values.dtype in (np.float64, np.longdouble) else _LARGEST_WHOLE
    exact = values.dtype == np.float32 or values.nnz == 0 or abs(values.data).max() <= limit
    return values.astype(np.float32 if exact else np.float64)


def _shape(matrix: Any, where: str) -> tuple[int, ...]:
    """The shape of a matrix of numbers, dense or sparse."""
    if _is_group(matrix):
        shape = _compressed_form(matrix, where)[1]
        _check_numbers(matrix["data"], where)
        return shape
    _check_numbers(matrix, where)
    if matrix.ndim != 2:
        message = f"{where} has the shape {matrix.shape}; a matrix of two dimensions is needed"
        raise UserError(message)
    return tuple(matrix.shape)


def _double(values: csr_matrix) -> csr_matrix:
    return values.astype(np.float64)


def _matrix_pieces(
    matrix: Any,
    shape: tuple[int, ...],
    cells: NDArray[np.int_],
    columns: NDArray[np.int_],
    where: str,
    convert: Callable[[csr_matrix], csr_matrix],
) -> Iterator[csr_matrix]:
    """Chosen rows and columns of a matrix, in pieces from above to below, each (row, column), their values converted.

    A sparse matrix by columns is one piece, put together from pieces of it.
    """
    from scipy.sparse import csr_matrix, vstack

    if not _is_group(matrix):
        yield from (convert(csr_matrix(_native(piece))) for piece in _dense_pieces(matrix, cells, columns))
    elif _compressed_form(matrix, where)[0] == "csr":
        yield from map(convert, _compressed_pieces(matrix, cells, columns, shape[1], where))
    else:
        pieces = _compressed_pieces(matrix, columns, cells, shape[0], where)
        yield vstack([convert(piece) for piece in pieces], format="csr").T.tocsr()


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
        entry_indices = indices[begin:end]
        # scipy takes what is in there for granted.
        if len(entry_indices) and (entry_indices.min() < 0 or entry_indices.max() >= count):
            message = f"{where} is damaged: a value lies outside of the matrix"
            raise UserError(message)
        values = _native(data[begin:end])
        block = csr_matrix((values, entry_indices, bounds[first : last + 1] - begin), shape=(last - first, count))
        yield block[piece - first][:, across]


def _pieces(bounds: NDArray[np.int64], lines: NDArray[np.int_]) -> Iterator[NDArray[np.int_]]:
    """Cut ascending lines into pieces to read at once: near each other, and not too large."""
    start = 0
    for index in range(1, len(lines)):
        gap = bounds[lines[index]] - bounds[lines[index - 1] + 1]
        size = bounds[lines[index] + 1] - bounds[lines[start]]
        if gap > _GAP or size > _PIECE:
            yield lines[start:index]
            start = index
    yield lines[start:]
