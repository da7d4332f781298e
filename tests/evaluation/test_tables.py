"""The shape of the tidy table."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.evaluation.tables import COLUMNS, cross_table, join_tables, make_table


def test_columns_that_are_not_given_are_empty():
    table = make_table(metric="mse", value=[1.0, np.nan, np.inf])
    assert tuple(table.columns) == COLUMNS
    assert list(table["status"]) == ["finished", "not_finite", "not_finite"]
    assert table["strength"].isna().all()
    assert (table["seed"] == -1).all()
    assert (table["horizon"] == "").all()


def test_unknown_columns_are_refused():
    with pytest.raises(TypeError, match="colour"):
        make_table(colour="red")


def test_cross_table_keeps_each_value_beside_its_row_and_column():
    rows = pd.DataFrame({"strength": [0.1, 0.2], "seed": [0, 1]})
    columns = pd.DataFrame({"trajectory": ["x", "y", "z"]})
    table = cross_table(rows, columns, np.arange(6).reshape(2, 3), metric="mse")
    picked = table[(table["seed"] == 1) & (table["trajectory"] == "y")]
    assert picked["value"].item() == 4
    with pytest.raises(ValueError, match="2 rows and 3 columns"):
        cross_table(rows, columns, np.zeros((3, 2)))


def test_join_of_nothing_has_the_columns():
    assert tuple(join_tables([]).columns) == COLUMNS
