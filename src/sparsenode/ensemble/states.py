"""States and times that a person gives to a trained model: arrays, lists, tables, AnnData or tensors."""

from __future__ import annotations

import logging
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sparsenode.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from anndata import AnnData

logger = logging.getLogger(__name__)

Floats: TypeAlias = NDArray[np.floating[Any]]
States: TypeAlias = "Floats | Sequence[Sequence[float]] | pd.DataFrame | AnnData | torch.Tensor"
Times: TypeAlias = "Floats | Sequence[float] | Sequence[Floats] | Sequence[Sequence[float]] | torch.Tensor"

_LISTED = 5  # names in a text
_LONGEST_NAME = 40  # characters of a name in a text
_TIMES_NEEDED = "give one array of numbers for all rows, or a list of one array for each row"


def state_array(states: States, features: Sequence[str], name: str = "states") -> Floats:
    """States as numbers (row, feature), the features in the order of the model.

    Args:
        states: columns of a DataFrame and variables of an AnnData (its `X`) are taken by their names, in any order, and
            those that the model does not have are left out. What this package has subtracted from an `X` is added.
            Arrays, tensors and lists of rows have the features in the model's order.
        features: names of the features of the model.
        name: what messages call the states.

    Raises:
        UserError: features are missing or there twice, another shape, or what is no finite number.
    """
    source: Any = states
    if hasattr(source, "var_names") and hasattr(source, "to_df"):
        if source.X is None:
            raise UserError(f"{name} are an AnnData without `X`, whose rows would be the states; set it")
        check_columns([str(feature) for feature in source.var_names], features, name)
        center = _center_of(source, features)
        source = source[:, list(features)].to_df()
        if center is not None:
            source = _numeric_table(source, name) + center
    if hasattr(source, "columns") and hasattr(source, "iat"):
        return _table_array(source, features, name)
    values = _number_array(source, name)
    if values.ndim != 2 or values.shape[1] != len(features):
        raise UserError(
            f"{name} of shape {values.shape} do not fit: they are {_shape_in_words(values.shape)}, and the model has "
            f"{len(features)} variables ({list_names(features)}); give a row for each state, as [[...]] if there is "
            "only one, and in it a value for each variable"
        )
    _check_finite(values, name, features)
    return values


def time_arrays(times: Times, count: int) -> list[Floats]:
    """One array of times for each of `count` rows: the same for all, if `times` are numbers, or those of each row.

    Raises:
        UserError: another number of rows, times that are empty, decrease or are no finite numbers.
    """
    times = _without_gradient(times)
    if _is_scalar(times) or isinstance(times, Mapping) or hasattr(times, "columns"):
        raise UserError(f"times are {_kind_of(times)}; {_TIMES_NEEDED}")
    entries = list(times)
    numbers = sum(_is_scalar(entry) for entry in entries)
    if not count and not entries:
        return []
    if numbers == len(entries):
        return [_increasing(entries, "times")] * count
    if numbers:
        raise UserError(f"times are a list of {numbers} numbers and {len(entries) - numbers} arrays; {_TIMES_NEEDED}")
    if len(entries) != count:
        raise UserError(
            f"{count} states but {len(entries)} arrays of times; give one for each state, or one array of numbers that "
            "holds for all"
        )
    return [_increasing(entry, f"times of row {row}") for row, entry in enumerate(entries)]


def _table_array(table: pd.DataFrame, features: Sequence[str], name: str) -> Floats:
    table = table.set_axis([str(column) for column in table.columns], axis="columns")
    check_columns(list(table.columns), features, name)
    table = table[list(features)]
    values = _numeric_table(table, name).to_numpy()
    _check_finite(values, name, features, table)
    return values


def _center_of(adata: AnnData, features: Sequence[str]) -> Floats | None:
    """What this package has subtracted from the features of an AnnData, (feature,); None where it is none of its."""
    from sparsenode.data.contract import has_metadata, read_metadata

    center = read_metadata(adata).center if has_metadata(adata) else None
    return None if center is None else center[adata.var_names.get_indexer(list(features))]


def _numeric_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table in double precision, NaN where an entry is no number."""
    import pandas as pd

    columns = {label: _numeric_column(column, f"{name}, variable {label!r}") for label, column in table.items()}
    return pd.DataFrame(columns, index=table.index)


def _numeric_column(column: pd.Series, where: str) -> Floats:
    import pandas as pd

    # pandas takes dates and durations for numbers of nanoseconds.
    numbers = None
    if column.dtype.kind not in "mMc":
        try:
            numbers = pd.to_numeric(column, errors="coerce")
        except OverflowError:
            numbers = pd.to_numeric(column.map(_without_overflow), errors="coerce")
    if numbers is None or numbers.dtype.kind not in "iufb":
        raise UserError(f"{where}: the column holds {column.dtype}, and no real numbers; give numbers")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _without_overflow(entry: Any) -> Any:
    """A whole number that is larger than any of double precision as infinity; anything else as it is."""
    try:
        return float(entry) if isinstance(entry, int) else entry
    except OverflowError:
        return np.inf


def check_columns(columns: Sequence[str], features: Sequence[str], name: str) -> None:
    """Check that every feature of a model is among some columns, once, and say how many columns are left out.

    Args:
        columns: names of the columns.
        features: names of the features of the model.
        name: what messages call what has the columns: a file, or states.

    Raises:
        UserError: features are missing, or there twice.
    """
    counts = Counter(columns)
    if missing := [feature for feature in features if feature not in counts]:
        raise UserError(
            f"{name}: {len(missing)} of the {len(features)} variables of the model are missing: {list_names(missing)}; "
            f"the columns ({len(columns)}) are: {list_names(columns) or 'none'}"
        )
    if repeated := [feature for feature in features if counts[feature] > 1]:
        raise UserError(f"{name}: the variable {repeated[0]!r} is there {counts[repeated[0]]} times; name each once")
    if len(columns) > len(features):
        logger.info("%s: %d columns that the model does not have are left out", name, len(columns) - len(features))


def _number_array(values: Any, name: str) -> Floats:
    values = _without_gradient(values)
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iufO" or (array.dtype.kind == "O" and any(map(_is_moment, array.flat))):
            raise TypeError
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    except OverflowError as error:
        raise UserError(f"{name} hold a whole number that is too large for double precision; scale them") from error
    except (TypeError, ValueError) as error:
        if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
            lengths = [len(row) if isinstance(row, Sequence) else np.size(row) for row in values]
            if len(set(lengths)) > 1:
                raise UserError(
                    f"{name} are a list of rows of different lengths: {list_names(lengths)}; give each as many values"
                ) from error
        raise UserError(f"{name} are {_kind_of(values)} that holds what is no number; give numbers") from error


def _without_gradient(values: Any) -> Any:
    """The numbers of a tensor, wherever it is, and of the tensors in a list; anything else as it is."""
    if isinstance(values, (list, tuple)):
        return [_without_gradient(value) for value in values]
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # numpy lacks some types of torch, such as bfloat16
        return tensor.float().numpy()


def _is_moment(entry: Any) -> bool:
    """Whether an entry is a date or a duration of numpy, which numpy takes for a number."""
    return isinstance(entry, (np.datetime64, np.timedelta64))


def _check_finite(values: Floats, name: str, features: Sequence[str], table: pd.DataFrame | None = None) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0].tolist()
        value = values[row, column].item() if table is None else table.iat[row, column]
        if isinstance(value, numbers.Number):  # also whole ones of any number of digits
            value = float(values[row, column])
        label = row if table is None else repr(table.index[row])
        raise UserError(
            f"{name} hold NaN or infinite values, or what is no number: {len(wrong)} in all, the first {value!r} in "
            f"row {label}, variable {features[column]!r}; a forecast needs every variable at its start"
        )


def _increasing(times: Any, name: str) -> Floats:
    array = _number_array(times, name).astype(np.float64, copy=False)
    if array.ndim != 1:
        raise UserError(f"{name} have {array.ndim} axes, of lengths {list_names(array.shape)}; {_TIMES_NEEDED}")
    if len(array) == 0 or np.any(np.diff(array) < 0) or not np.all(np.isfinite(array)):
        raise UserError(f"{name} are empty, decrease or are not finite; sort them")
    return array


def _is_scalar(entry: Any) -> bool:
    if hasattr(entry, "ndim"):
        return bool(entry.ndim == 0)
    return isinstance(entry, (str, bytes)) or not isinstance(entry, Iterable)


def _shape_in_words(shape: Sequence[int]) -> str:
    if len(shape) == 2:
        return f"{shape[0]} rows of {shape[1]} values"
    if len(shape) == 1:
        return f"{shape[0]} values without rows"
    return f"an array of {len(shape)} axes" + (f", of lengths {list_names(shape)}" if shape else "")


def _kind_of(value: Any) -> str:
    if _is_scalar(value) and not isinstance(value, (str, bytes)):
        return "one value"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"


def list_names(names: Iterable[Any]) -> str:
    """The first few names, long ones cut, and dots for the other names."""
    names = list(names)
    texts = [" ".join(str(name).split()) for name in names[:_LISTED]]
    cut = [text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..." for text in texts]
    return ", ".join(cut) + (", ..." if len(names) > _LISTED else "")
