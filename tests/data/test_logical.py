import numpy as np
import pandas as pd
import pytest

from sparsenode.data.readers.logical import logical_matrix, logical_value, logical_values
from sparsenode.errors import UserError

YES = [True, np.True_, 1, 1.0, np.int8(1), np.float32(1), "True", "TRUE", "true", "T", "yes", "Y", "1", "1.0", " yes "]
NO = [False, np.False_, 0, 0.0, np.uint8(0), np.float64(0), "False", "FALSE", "f", "no", "No", "N", "0", "0.0", "no\t"]
NEITHER = [
    2,
    -1,
    0.5,
    np.nan,
    np.inf,
    None,
    pd.NA,
    "",
    "maybe",
    "nan",
    "NA",
    "2",
    "on",
    b"True",
    [],
    np.datetime64("NaT"),
]


@pytest.mark.parametrize(
    ("values", "expected"), [(YES, True), (NO, False), (NEITHER, None)], ids=["yes", "no", "neither"]
)
def test_what_a_value_says(values: list, expected: bool | None) -> None:
    assert [logical_value(value) for value in values] == [expected] * len(values)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, True]),
        pd.Series([1, 0, 1]),
        pd.Series([1.0, 0.0, 1.0]),
        pd.Series(["True", "False", "True"]),
        pd.Series(["yes", "no", "yes"], dtype="string"),
        pd.Series(["Yes", "no", "Yes"], dtype="category"),
        pd.Series([True, False, True], dtype="category"),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series([1, 0, 1], dtype="Int64"),
        pd.Series([1.0, 0.0, 1.0], dtype="Float32"),
        pd.Series([True, "no", 1], dtype=object),
    ],
    ids=lambda column: f"{column.dtype} {column[1]}",
)
def test_columns_of_every_type_are_read(column: pd.Series) -> None:
    found = logical_values(column, ["a", "b", "c"], "it")
    assert found.dtype == np.bool_
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series([True, None, None], dtype=object), r"it holds nothing for 'b' \(the first of 2 such entries\)"),
        (pd.Series([True, pd.NA, False], dtype="boolean"), r"it holds nothing for 'b'; allowed: true or false, yes or"),
        (pd.Series([1, pd.NA, 0], dtype="Int64"), r"it holds nothing for 'b'"),
        (pd.Series([1.0, np.nan, 0.0]), r"it holds nothing for 'b'"),
        (pd.Series(["yes", None, "no"], dtype="category"), r"it holds nothing for 'b'"),
        (pd.Series(["yes", "no", "maybe"]), r"it holds 'maybe' for 'c'"),
        (pd.Series(["yes", "", "no"], dtype="string"), r"it holds '' for 'b'"),
        (pd.Series([0, 1, 2]), r"it holds 2 for 'c'"),
    ],
)
def test_a_value_that_says_neither_is_named(column: pd.Series, message: str) -> None:
    with pytest.raises(UserError, match=message):
        logical_values(column, ["a", "b", "c"], "it")


def test_matrices_of_truth_values() -> None:
    expected = [[True, False], [False, True]]
    for kind in (bool, int, float, np.float32):
        found = logical_matrix(np.eye(2, dtype=kind), "ab", "ab", "it")
        assert found.dtype == np.bool_
        assert found.tolist() == expected
    for value in (0.5, np.nan, -1.0):
        with pytest.raises(UserError, match=rf"it holds {value:g} from 'b' to 'a'; allowed: true or false, 1 or 0"):
            logical_matrix(np.array([[1.0, 0.0], [value, 1.0]]), "ab", "ab", "it")
