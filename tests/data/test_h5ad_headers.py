import contextlib
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from sparsenode.data.readers.h5ad_cells import open_cells
from sparsenode.data.readers.h5ad_headers import open_headers
from sparsenode.errors import UserError, describe_choice

COLUMNS = {
    "text": pd.array(["b", "a", "", "b"], dtype=object),
    "categories": pd.Categorical(["y", None, "x", "y"], categories=["x", "unused", "y"]),
    "numbered": pd.Categorical([7, 7, 10, 7]),
    "whole": np.array([3, -1, 3, 0]),
    "real": np.array([0.1, np.nan, 1e20, 2.0]),
    "single": np.array([0.1, 0.25, 1.0, 2.0], dtype=np.float32),
    "truth": np.array([True, False, True, True]),
    "nullable": pd.array([1, None, 2, 1], dtype="Int64"),
    "nullable_truth": pd.array([True, None, False, True], dtype="boolean"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four observations of three features with a column of each form."""
    adata = AnnData(np.zeros((4, 3), dtype=np.float32), pd.DataFrame(COLUMNS, index=list("pqrs")))
    adata.var = pd.DataFrame({"factor": [True, False, True]}, index=["A", "B", "C"])
    adata.layers["counts"] = csr_matrix(np.eye(4, 3))
    adata.obsm["X_pca"] = np.zeros((4, 2))
    adata.varp["prior_motif"] = csr_matrix(np.eye(3))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.mark.parametrize("name", [None, *COLUMNS])
def test_a_column_of_any_form_is_the_text_that_anndata_reads(path: Path, name: str | None) -> None:
    with open_headers(path) as file, open_cells(path) as cells:
        expected = cells.cell_names() if name is None else cells.labels(name)
        column = file.column("obs", name)
        assert column.text.tolist() == expected.tolist()
        assert column.missing == int(pd.isna(pd.Series(COLUMNS[name])).sum() if name else 0)
        assert set(column.present) == set(expected[column.codes >= 0])


def test_nullable_strings_as_index_and_column(tmp_path: Path) -> None:
    obs = pd.DataFrame(
        {"donor": pd.array(["a", None, "b"], dtype="string")}, index=pd.Index(["x", "y", "z"], dtype="string")
    )
    with anndata.settings.override(allow_write_nullable_strings=True):
        AnnData(np.zeros((3, 2), dtype=np.float32), obs).write_h5ad(tmp_path / "cells.h5ad")
    with open_headers(tmp_path / "cells.h5ad") as file:
        assert file.shape == (3, 2)
        assert file.labels("donor").tolist() == ["a", "", "b"]
        assert file.column("obs", "donor").missing == 1
        assert file.column("obs", None).text.tolist() == ["x", "y", "z"]


def test_categories_in_the_form_of_before_anndata_8(path: Path) -> None:
    with h5py.File(path, "a") as file:
        obs = file["obs"]
        categories = obs.create_dataset("__categories/old", data=["x", "y"])
        obs["old"] = np.array([1, -1, 0, 1], dtype=np.int8)
        obs["old"].attrs["categories"] = categories.ref
        obs.attrs["column-order"] = [*obs.attrs["column-order"], "old"]
    with open_headers(path) as file:
        assert file.labels("old").tolist() == ["y", "", "x", "y"]
        assert "__categories" not in file.columns("obs")


def test_numbers(path: Path) -> None:
    with open_headers(path) as file:
        for name, expected in (
            ("real", [0.1, np.nan, 1e20, 2]),
            ("whole", [3, -1, 3, 0]),
            ("numbered", [7, 7, 10, 7]),
            ("nullable", [1, np.nan, 2, 1]),
            ("truth", [1, 0, 1, 1]),
        ):
            numbers = file.numbers(name)
            assert numbers is not None
            np.testing.assert_array_equal(numbers, expected)
        assert file.numbers("text") is None
        assert file.numbers("categories") is None


def test_names_and_shape(path: Path) -> None:
    with open_headers(path) as file:
        assert file.shape == (4, 3)
        assert file.columns("obs") == list(COLUMNS)
        assert (file.columns("var"), file.layers, file.embeddings) == (["factor"], ["counts"], ["X_pca"])
        assert file.entries("varp") == ["prior_motif"]
        assert file.has_values
    with h5py.File(path, "a") as file:
        del file["X"]
    with open_headers(path) as file:
        assert not file.has_values


@pytest.mark.parametrize("column", ["Truth", "wrong"])
def test_a_column_that_is_not_there_is_named_with_the_nearest(path: Path, column: str) -> None:
    hint = r"did you mean 'truth'\? " if column == "Truth" else ""
    with (
        open_headers(path) as file,
        pytest.raises(UserError, match=rf"cells\.h5ad: obs has no '{column}'\. {hint}There"),
    ):
        file.labels(column)


def test_of_many_names_the_nearest_are_listed() -> None:
    assert describe_choice("gata1", ["GATA2", "GATA1"]) == "did you mean 'GATA1'? There are: GATA2, GATA1"
    assert describe_choice("x", []) == "There are: none"
    genes = [f"GENE{number}" for number in range(100)]
    assert describe_choice("GENE4x", genes) == "The nearest of 100: GENE4, GENE14, GENE24"


def test_a_column_of_no_known_form(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["obs"]["odd"] = np.zeros((4, 2))
        file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "odd"]
    with open_headers(path) as file, pytest.raises(UserError, match=r"obs\['odd'\] cannot be read \(2 dimensions"):
        file.column("obs", "odd")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"cells\.h5ad is missing; check the path"),
        (lambda path: path.mkdir(), r"cells\.h5ad is a folder, and a file is read; name a file in it"),
        (lambda path: path.write_text("no"), r"cut short or no h5ad file"),
    ],
)
def test_what_is_no_h5ad_file(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "cells.h5ad")
    with pytest.raises(UserError, match=message), open_headers(tmp_path / "cells.h5ad"):
        pass


def test_a_zarr_store_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cells.zarr").mkdir()
    with pytest.raises(UserError, match=r"^cells\.zarr is a folder \(a zarr store\)"), open_headers(Path("cells.zarr")):
        pass
    where = rf"^cells\.h5ad is missing \(looked for at {tmp_path}/cells\.h5ad\)"
    with pytest.raises(UserError, match=where), contextlib.ExitStack() as stack:
        stack.enter_context(open_headers(Path("cells.h5ad")))
