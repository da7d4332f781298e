"""States and times in the forms in which people have them."""

from __future__ import annotations

import logging
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sparsenode.ensemble.states import list_names, state_array, time_arrays
from sparsenode.errors import UserError

FEATURES = ("a", "b", "c")
VALUES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
ANY_ORDER = pd.DataFrame(VALUES[:, [2, 0, 1]], columns=["c", "a", "b"], index=["s", "t"])


def annotated(table: pd.DataFrame, values: Any = None) -> anndata.AnnData:
    adata = anndata.AnnData(table.to_numpy() if values is None else values, obs=pd.DataFrame(index=list("st")))
    adata.var_names = [str(name) for name in table.columns]
    return adata


FORMS = {
    "array": VALUES,
    "single precision": VALUES.astype(np.float32),
    "list": VALUES.tolist(),
    "list of arrays": list(VALUES),
    "tuple": tuple(map(tuple, VALUES.tolist())),
    "tensor": torch.tensor(VALUES),
    "tensor that learns": torch.tensor(VALUES, requires_grad=True),
    "tensor of half precision": torch.tensor(VALUES, dtype=torch.bfloat16),
    "list of tensors that learn": list(torch.tensor(VALUES, requires_grad=True)),
    "lists of numbers that learn": [[torch.tensor(x, requires_grad=True) for x in row] for row in VALUES.tolist()],
    "table": pd.DataFrame(VALUES, columns=list(FEATURES)),
    "table in another order": ANY_ORDER,
    "table of nullable numbers": ANY_ORDER.astype("Float64"),
    "table with another column": ANY_ORDER.assign(name="x"),
    "annotated": annotated(ANY_ORDER),
    "annotated, sparse": annotated(ANY_ORDER, sparse.csr_matrix(ANY_ORDER.to_numpy())),
    "annotated, with other variables": annotated(ANY_ORDER.assign(d=1.0)),
}


@pytest.mark.parametrize("form", FORMS)
def test_states_of_every_form_are_the_same_numbers(form: str) -> None:
    found = state_array(FORMS[form], FEATURES)
    np.testing.assert_array_equal(found, VALUES)
    assert found.dtype.kind == "f"


def centered(table: pd.DataFrame) -> anndata.AnnData:
    """An AnnData as this package reads it, from whose features 10, 20, ... were subtracted."""
    center = 10.0 * np.arange(1, 1 + table.shape[1])
    adata = annotated(table - center)
    adata.uns["sparsenode"] = {"center": center, "initial_states": pd.DataFrame(columns=list(table.columns))}
    return adata


def test_the_center_of_a_dataset_is_added_to_its_states() -> None:
    adata = centered(ANY_ORDER.assign(d=1.0))
    np.testing.assert_allclose(state_array(adata, FEATURES), VALUES, rtol=1e-6)
    np.testing.assert_allclose(state_array(adata[:, ["b", "a", "c"]].copy(), FEATURES), VALUES, rtol=1e-6)
    sparse_counts = adata.copy()
    sparse_counts.X = sparse.csr_matrix(adata.X)
    np.testing.assert_allclose(state_array(sparse_counts, FEATURES), VALUES, rtol=1e-6)


def test_a_center_of_other_features_is_refused() -> None:
    adata = centered(ANY_ORDER.assign(d=1.0))[:, list(FEATURES)].copy()
    del adata.uns["sparsenode"]["initial_states"]
    with pytest.raises(UserError, match="X is centered by 4 numbers, and the AnnData has 3 features"):
        state_array(adata, FEATURES)


def test_whole_numbers_are_numbers() -> None:
    np.testing.assert_array_equal(state_array([[1, 2, 3]], FEATURES), [[1.0, 2.0, 3.0]])
    assert state_array(np.array([[1, 2, 3]]), FEATURES).dtype == np.float64


def test_columns_that_are_left_out_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        state_array(ANY_ORDER.assign(name="x", other="y"), FEATURES)
    assert "states: 2 columns that the model does not have are left out" in caplog.text


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            np.zeros((2, 2)),
            r"states of shape \(2, 2\) do not fit: they are 2 rows of 2 values, .* has 3 variables \(a, b",
        ),
        (
            np.zeros(3),
            r"of shape \(3,\) do not fit: they are 3 values without rows, .* as \[\[\.\.\.\]\] if there is only",
        ),
        (np.zeros((1, 2, 3)), r"do not fit: they are an array of 3 axes, of lengths 1, 2, 3, and the model"),
        (1.0, r"do not fit: they are an array of 0 axes, and"),
        ([[1, 2, 3], [1, 2]], r"are a list of rows of different lengths: 3, 2; give each as many values"),
        ([["x", "y", "z"]], r"states are a list that holds what is no number; give numbers"),
        ({"a": 1}, r"states are a dict that holds what is no number"),
        (np.array([["x", "y", "z"]]), r"states are an ndarray that holds what is no number"),
        (np.array([[np.timedelta64(1, "s"), 1, 2]], object), r"states are an ndarray that holds what is no number"),
        ([[1, 10**400, 3]], r"states hold a whole number that is too large for double precision"),
        (
            ANY_ORDER.assign(b=pd.Series([1, 10**400], list("st"), object)),
            r"the first .*inf.* in row 't', variable 'b'",
        ),
        (
            ANY_ORDER.assign(b=pd.to_datetime(["2020", "2021"])),
            r"variable 'b': the column holds datetime64\[ns\], and no real",
        ),
        (
            ANY_ORDER.assign(b=pd.to_timedelta([1, 2])),
            r"variable 'b': the column holds timedelta64\[ns\], and no real numbers",
        ),
        (ANY_ORDER.assign(b=[1 + 2j, 1]), r"variable 'b': the column holds complex128, and no real numbers"),
        (ANY_ORDER.assign(b=pd.Series([1 + 2j, 1], list("st"), object)), r"variable 'b': the column holds object"),
        ([[1, None, 3]], r"1 in all, the first .*nan.* in row 0, variable 'b'"),
        ([[1, 2, np.inf]], r"NaN or infinite values.* in row 0, variable 'c'"),
        (
            pd.DataFrame(VALUES),
            r"states: 3 of the 3 variables .* missing: a, b, c; the columns \(3\) are: 0, 1, 2",
        ),
        (ANY_ORDER.drop(columns="b"), r"1 of the 3 variables of the model are missing: b; the columns \(2\) are: c, a"),
        (ANY_ORDER[["a", "b", "c", "b"]], r"the variable 'b' is there 2 times; name each once"),
        (ANY_ORDER.assign(b=["1", "two"]), r"1 in all, the first 'two' in row 't', variable 'b'"),
        (ANY_ORDER.astype("Float64").mask(ANY_ORDER > 6), r"1 in all, the first <NA> in row 't', variable 'c'"),
        (
            annotated(ANY_ORDER)[:, ["a"]],
            r"2 of the 3 variables .* missing: b, c; the columns \(1\) are: a",
        ),
        (
            anndata.AnnData(var=pd.DataFrame(index=list("abc"))),
            r"an AnnData without `X`, whose rows would be the states",
        ),
    ],
)
def test_states_that_do_not_fit_are_refused_in_words(states: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        state_array(states, FEATURES)


SHARED = np.array([0.0, 0.5, 2.0])


@pytest.mark.parametrize(
    "times",
    [SHARED, SHARED.tolist(), tuple(SHARED), torch.tensor(SHARED), pd.Series(SHARED), pd.Index(SHARED), range(3)],
    ids=lambda times: type(times).__name__,
)
def test_one_array_of_times_holds_for_all_rows(times: Any) -> None:
    found = time_arrays(times, 3)
    assert len(found) == 3
    for row in found:
        np.testing.assert_array_equal(row, np.asarray(times, float))


def test_each_row_may_have_times_of_its_own() -> None:
    rows: list[Any] = [[0.0, 1.0], np.array([2.0]), torch.tensor([0, 1, 3])]
    for row, expected in zip(time_arrays(rows, 3), ([0.0, 1.0], [2.0], [0.0, 1.0, 3.0]), strict=True):
        assert row.tolist() == expected
        assert row.dtype == np.float64
    table = np.array([[0.0, 1.0], [2.0, 3.0], [2.0, 2.0]])
    np.testing.assert_array_equal(time_arrays(table, 3), table)
    assert time_arrays([], 0) == []


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (1.0, r"times are one value; give one array of numbers for all rows, or a list of one array for each row"),
        (np.array(1.0), r"times are one value; give"),
        ("0 1", r"times are a str; give"),
        ({0: 1.0}, r"times are a dict; give"),
        ([], r"times are empty"),
        ([0.0, np.nan], r"times are empty, decrease or are not finite; sort them"),
        ([1.0, 0.0], r"times are empty, decrease"),
        ([[0.0, 1.0]], r"3 states but 1 arrays of times; give one for each state, or one array of numbers that holds"),
        ([[0.0], [1.0], []], r"times of row 2 are empty"),
        ([0.0, [1.0], [2.0]], r"times are a list of 1 numbers and 2 arrays; give"),
        (np.zeros((3, 1, 2)), r"times of row 0 have 2 axes, of lengths 1, 2; give"),
        (["a", "b", "c"], r"times are a list that holds what is no number"),
        ([0, 10**400], r"times hold a whole number that is too large for double precision"),
        (pd.to_datetime(["2020", "2021"]), r"times are a list that holds what is no number"),
        (pd.Series(pd.to_timedelta([1, 2])), r"times are a list that holds what is no number"),
    ],
)
def test_times_that_do_not_fit_are_refused_in_words(times: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        time_arrays(times, 3)


def test_long_lists_and_long_names_are_cut() -> None:
    assert list_names(["a", "b\nc"]) == "a, b c"
    assert list_names(range(7)) == "0, 1, 2, 3, 4, ..."
    assert list_names(["x" * 500]) == "x" * 37 + "..."
