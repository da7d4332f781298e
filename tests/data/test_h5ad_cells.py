from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata import settings as settings_of_anndata
from anndata.io import write_elem
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix, csc_matrix, csr_array, csr_matrix

from sparsenode.data.readers import h5ad_cells
from sparsenode.data.readers.h5ad_cells import open_cells
from sparsenode.data.readers.h5ad_headers import open_headers
from sparsenode.errors import UserError

CELLS, FEATURES = 60, 40
FORMS = {"by rows": csr_matrix, "by columns": csc_matrix, "dense": lambda matrix: matrix.toarray()}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Sixty cells, counts of forty features, some of the labels missing."""
    generator = np.random.default_rng(0)
    counts = csr_matrix(generator.poisson(0.5, (CELLS, FEATURES)).astype(np.float32))
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.repeat(["s1d2", "s2d1"], CELLS // 2)),
            "cell_type": pd.Categorical([None, *["MK/E prog"] * (CELLS - 1)]),
            "plate": np.arange(CELLS) % 3,
            "name": [f"w{number}" for number in range(CELLS)],
        },
        index=[f"cell{number}" for number in range(CELLS)],
    )
    var = pd.DataFrame(
        {"feature_types": pd.Categorical(["GEX"] * 30 + ["ATAC"] * 10), "symbol": [f"S{n}" for n in range(FEATURES)]},
        index=[f"g{number}" for number in range(FEATURES)],
    )
    adata = AnnData(counts, obs, var, obsm={"X_pca": generator.standard_normal((CELLS, 5))})
    adata.layers["counts"] = counts * 2
    return adata


@pytest.fixture
def write(cells: AnnData, tmp_path: Path) -> Callable[..., Path]:
    def write_file(change: Callable[[AnnData], object] | None = None) -> Path:
        changed = cells.copy()
        if change is not None:
            change(changed)
        changed.write_h5ad(tmp_path / "cells.h5ad")
        return tmp_path / "cells.h5ad"

    return write_file


def reshaped(form: str) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.X = FORMS[form](adata.X)

    return change


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("piece", [1, 50, 10_000])
def test_any_cells_and_features_of_any_form_in_pieces_of_any_size(
    cells: AnnData, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, form: str, piece: int
) -> None:
    monkeypatch.setattr(h5ad_cells, "_PIECE", piece)
    monkeypatch.setattr(h5ad_cells, "_GAP", piece // 5)
    generator = np.random.default_rng(1)
    expected = cells.X.toarray()
    with open_cells(write(reshaped(form))) as file:
        for share in (0.1, 0.5, 1.0):
            rows = np.flatnonzero(generator.random(CELLS) <= share)
            columns = np.flatnonzero(generator.random(FEATURES) <= share)
            found = file.values(None, rows, columns)
            np.testing.assert_array_equal(found.toarray(), expected[np.ix_(rows, columns)])
            assert found.has_canonical_format
            assert (found.data > 0).all()
            assert found.dtype == np.float32
        np.testing.assert_array_equal(file.values("counts", rows, columns).toarray(), 2 * expected)


@settings(max_examples=30)
@given(
    matrix=st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=8),
    chosen=st.sets(st.integers(0, 7), min_size=1),
    piece=st.integers(1, 10),
    gap=st.integers(0, 5),
)
def test_pieces_hold_every_chosen_line_once(matrix: list[list[int]], chosen: set[int], piece: int, gap: int) -> None:
    lines = np.array(sorted(line for line in chosen if line < len(matrix)) or [0])
    bounds = csr_matrix(np.array(matrix)).indptr.astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5ad_cells, "_PIECE", piece)
        patch.setattr(h5ad_cells, "_GAP", gap)
        pieces = list(h5ad_cells._pieces(bounds, lines))
    assert np.concatenate(pieces).tolist() == lines.tolist()
    for part in pieces:
        assert len(part) == 1 or bounds[part[-1] + 1] - bounds[part[0]] <= piece


def test_a_piece_takes_memory_for_itself_alone(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5ad_cells, "_PIECE", 50)
    monkeypatch.setattr(h5ad_cells, "_GAP", 10)
    sizes: list[int] = []

    def record(dataset: h5py.Dataset, where: object, _original: Callable = h5py.Dataset.__getitem__) -> object:
        found = _original(dataset, where)
        if dataset.name in {"/X", "/X/data", "/X/indices"}:
            sizes.append(np.size(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", record)
    for form in FORMS:
        sizes.clear()
        with open_cells(write(reshaped(form))) as file:
            file.values(None, np.arange(CELLS), np.arange(FEATURES))
        assert len(sizes) > 10
        assert max(sizes) <= 50


def test_labels_names_and_coordinates(cells: AnnData, write: Callable[..., Path]) -> None:
    with open_cells(write()) as file:
        assert file.labels("batch").tolist() == cells.obs["batch"].tolist()
        assert file.labels("cell_type").tolist() == ["", *["MK/E prog"] * (CELLS - 1)]
        assert file.labels("plate").tolist()[:4] == ["0", "1", "2", "0"]
        assert file.labels("name")[1] == "w1"
        assert file.cell_names().tolist() == cells.obs_names.tolist()
        assert file.features(None).tolist() == cells.var_names.tolist()
        assert file.features("symbol")[-1] == "S39"
        assert (file.layers, file.embeddings) == (["counts"], ["X_pca"])
        np.testing.assert_array_equal(file.embedding("X_pca", np.array([3, 59])), cells.obsm["X_pca"][[3, 59]])


def test_a_file_of_anndata_0_7(cells: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        for table, names in (("obs", cells.obs_names), ("var", cells.var_names)):
            group = file.create_group(table)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "index"})
            group.attrs["column-order"] = np.array(["batch"] if table == "obs" else [], dtype=h5py.string_dtype())
            group.create_dataset("index", data=names.tolist(), dtype=h5py.string_dtype())
        codes = file["obs"].create_dataset("batch", data=cells.obs["batch"].cat.codes.to_numpy())
        kept = file["obs"].create_group("__categories")
        kept.create_dataset("batch", data=["s1d2", "s2d1"], dtype=h5py.string_dtype())
        kept["batch"].attrs["ordered"] = False
        codes.attrs["categories"] = kept["batch"].ref
        matrix = file.create_group("X")
        matrix.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": cells.shape})
        for part in ("data", "indices", "indptr"):
            matrix[part] = getattr(cells.X, part)
    with open_cells(path) as old:
        assert old.labels("batch").tolist() == cells.obs["batch"].tolist()
        assert old.features(None).tolist() == cells.var_names.tolist()
        found = old.values(None, np.arange(CELLS), np.arange(FEATURES))
        np.testing.assert_array_equal(found.toarray(), cells.X.toarray())
        with pytest.raises(UserError, match=r"obs has no 'donor'\. .*There are: batch, index$"):
            old.labels("donor")


def test_values_that_stand_twice_are_summed_and_zeros_are_none(cells: AnnData, write: Callable[..., Path]) -> None:
    path = write()
    twice = coo_matrix(([1.0, 2.0, 0.0], ([0, 0, 1], [5, 5, 2])), shape=cells.shape)
    with h5py.File(path, "r+") as file:
        for part, values in (("data", twice.data), ("indices", twice.col), ("indptr", [0, 2, *[3] * (CELLS - 1)])):
            del file["X"][part]
            file["X"][part] = values
    with open_cells(path) as file:
        found = file.values(None, np.arange(CELLS), np.arange(FEATURES))
    assert (found.nnz, found[0, 5]) == (1, 3)


def test_whole_numbers_beyond_single_precision(write: Callable[..., Path]) -> None:
    def change(adata: AnnData) -> None:
        values = np.zeros(adata.shape, dtype=np.int64)
        values[3, 4] = 2**24 + 1
        adata.X = csr_matrix(values)

    with open_cells(write(change)) as file:
        assert file.values(None, np.array([3]), np.array([4])).toarray() == [[2**24 + 1]]


@pytest.fixture
def nullable_strings() -> Iterator[None]:
    """Text with missing values is written as such, and not as plain text."""
    with settings_of_anndata.override(allow_write_nullable_strings=True):
        yield


@pytest.mark.usefixtures("nullable_strings")
@pytest.mark.parametrize("plain", [True, False])
def test_an_index_and_columns_in_which_values_may_be_missing(cells: AnnData, tmp_path: Path, plain: bool) -> None:
    adata = cells.copy()
    for table in (adata.obs, adata.var):
        table.index = table.index.astype("string")
    adata.obs["name"] = adata.obs["name"].astype("string").where(adata.obs["name"] != "w3", pd.NA)
    adata.obs["plate"] = adata.obs["plate"].astype("Int64").where(adata.obs["name"] != "w5", pd.NA)
    adata.obs["fresh"] = pd.array([True, None] * (CELLS // 2), dtype="boolean")
    adata.obs["batch"] = adata.obs["batch"].cat.as_ordered()
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path, convert_strings_to_categoricals=not plain)
    with h5py.File(path) as file:
        encoded = {name: file[f"obs/{name}"].attrs["encoding-type"] for name in ("_index", "name", "plate", "fresh")}
    assert encoded == {
        "_index": "nullable-string-array",
        "name": "nullable-string-array" if plain else "categorical",
        "plate": "nullable-integer",
        "fresh": "nullable-boolean",
    }
    with open_cells(path) as file:
        assert file.cell_names().tolist() == [f"cell{number}" for number in range(CELLS)]
        assert file.features(None).tolist() == [f"g{number}" for number in range(FEATURES)]
        assert file.labels("name").tolist()[2:5] == ["w2", "", "w4"]
        assert file.labels("plate").tolist()[3:6] == ["", "1", ""]
        assert file.labels("fresh").tolist()[:2] == ["True", ""]
        assert file.labels("batch")[0] == "s1d2"
        assert file.values(None, np.arange(CELLS), np.arange(FEATURES)).shape == (CELLS, FEATURES)
        assert file.embedding("X_pca", np.arange(CELLS)).shape == (CELLS, 5)


NUMBERS = ["float16", "float32", "float64", ">f4", ">f8", "int8", "int16", "int64", "uint8", "uint64", "bool"]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"chunks": (7, 9)}])
def test_numbers_of_any_kind_however_they_are_packed(
    cells: AnnData, tmp_path: Path, kind: str, storage: dict[str, Any]
) -> None:
    values = np.minimum(cells.X.toarray(), 1 if kind == "bool" else 100).astype(kind)
    rows, columns = np.array([0, 3, 41, 59]), np.array([1, 2, 39])
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        write_elem(file, "obs", cells.obs)
        write_elem(file, "var", cells.var)
        write_elem(file, "X", values, dataset_kwargs=storage)
        write_elem(file, "obsm", {"E": values})
        sparse = file.create_group("layers/sparse")
        sparse.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": values.shape})
        compressed = csr_matrix(values.astype(np.float64))
        for part in ("indices", "indptr"):
            sparse[part] = getattr(compressed, part)
        sparse["data"] = compressed.data.astype(kind)
    expected = values[np.ix_(rows, columns)].astype(np.float64)
    with open_cells(tmp_path / "cells.h5ad") as file:
        np.testing.assert_array_equal(file.values(None, rows, columns).toarray(), expected)
        np.testing.assert_array_equal(file.values("sparse", rows, columns).toarray(), expected)
        np.testing.assert_array_equal(file.embedding("E", rows), values[rows].astype(np.float64))


@pytest.mark.parametrize("piece", [1, 40, 10_000])
def test_an_embedding_in_every_form_of_a_table(
    cells: AnnData, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(h5ad_cells, "_PIECE", piece)
    values = np.random.default_rng(2).standard_normal((CELLS, 3))
    frame = pd.DataFrame(values, index=cells.obs_names, columns=["first", "second", "third"])
    whole = pd.DataFrame({"first": pd.array([None, *range(CELLS - 1)], dtype="Int64")}, index=cells.obs_names)
    forms = {
        "array": values,
        "fortran": np.asfortranarray(values),
        "half": values.astype(np.float16),
        "by rows": csr_matrix(values),
        "by columns": csc_matrix(values),
        "sparse array": csr_array(values),
        "frame": frame,
        "records": np.rec.fromarrays(values.T, names=list(frame)),
    }

    def change(adata: AnnData) -> None:
        adata.obsm.update(forms)
        adata.obsm["whole"] = whole
        adata.obsm["text"] = pd.DataFrame({"first": ["a"] * CELLS}, index=cells.obs_names)

    rows = np.array([2, 3, 59])
    with open_cells(write(change)) as file:
        for name in forms:
            expected = forms["half"].astype(np.float64) if name == "half" else values
            np.testing.assert_array_equal(file.embedding(name, rows), expected[rows])
        np.testing.assert_array_equal(file.embedding("whole", rows), rows[:, None] - 1.0)
        with pytest.raises(UserError, match=r"obsm\['whole'\] holds values that are NaN or infinite"):
            file.embedding("whole", np.array([0]))
        with pytest.raises(UserError, match=r"obsm\['text'\] holds object in its column 'first', no numbers"):
            file.embedding("text", rows)


def test_the_values_of_raw_have_features_of_their_own(cells: AnnData, write: Callable[..., Path]) -> None:
    def change(adata: AnnData) -> None:
        adata.raw = adata.copy()
        adata.raw.var["symbol"] = [f"R{number}" for number in range(FEATURES)]
        adata._inplace_subset_var(np.arange(5))
        adata.X = None
        del adata.layers["counts"]

    rows, columns = np.array([1, 58]), np.array([4, 39])
    with open_cells(write(change)) as file:
        assert (file.has_values, file.has_raw, file.matrices) == (False, True, ["raw"])
        assert file.matrix_name("raw") == "raw.X"
        assert file.features(None).tolist() == [f"g{number}" for number in range(5)]
        assert file.features(None, "raw").tolist() == cells.var_names.tolist()
        assert file.features("symbol", "raw")[-1] == "R39"
        np.testing.assert_array_equal(
            file.values("raw", rows, columns).toarray(), cells.X.toarray()[np.ix_(rows, columns)]
        )
        with pytest.raises(UserError, match=r"has no X; name a layer; there are: raw$"):
            file.values(None, rows, columns)
        with pytest.raises(UserError, match=r"raw\.var has no 'name'\. .*There are: feature_types, symbol$"):
            file.features("name", "raw")
    with open_cells(write()) as file, pytest.raises(UserError, match=r"layers has no 'raw'\. .*There are: counts$"):
        file.values("raw", rows, columns)


def test_a_layer_called_raw_comes_before_raw(cells: AnnData, write: Callable[..., Path]) -> None:
    def change(adata: AnnData) -> None:
        adata.raw = adata.copy()
        adata.layers["raw"] = adata.X * 3

    with open_cells(write(change)) as file:
        assert file.matrices == ["X", "counts", "raw"]
        assert file.matrix_name("raw") == "layers['raw']"
        found = file.values("raw", np.arange(CELLS), np.arange(FEATURES))
        np.testing.assert_array_equal(found.toarray(), 3 * cells.X.toarray())


def test_fractions_that_single_precision_would_round_to_whole_numbers(write: Callable[..., Path]) -> None:
    values = np.full((CELLS, FEATURES), 1e7) + np.linspace(0, 1.5, FEATURES)

    def change(adata: AnnData) -> None:
        adata.X = values
        adata.layers["sparse"] = csc_matrix(values)

    with open_cells(write(change)) as file:
        for layer in (None, "sparse"):
            found = file.values(layer, np.arange(CELLS), np.arange(FEATURES))
            np.testing.assert_array_equal(found.toarray(), values)


def test_text_of_a_fixed_length_and_forms_that_nobody_knows(write: Callable[..., Path]) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        names = file["obs"]["_index"].asstr()[:].astype("S8")
        attributes = dict(file["obs"]["_index"].attrs)
        del file["obs"]["_index"]
        file["obs"]["_index"] = names
        file["obs"]["_index"].attrs.update(attributes)
        file["obs"]["bare"] = names
        file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "bare", "later"]
        file["obs"]["later"] = np.zeros(CELLS)
        file["obs"]["later"].attrs.update({"encoding-type": "moment-array", "encoding-version": "0.1.0"})
        del file["obs"]["cell_type"]["codes"]
        file["layers"]["cube"] = np.zeros((CELLS, FEATURES, 2))
    with open_cells(path) as file:
        assert file.cell_names().tolist() == file.labels("bare").tolist() == names.astype(str).tolist()
        form = r"obs\['later'\] is in a form that cannot be read here \(No read method registered for .*moment-array"
        with pytest.raises(UserError, match=form):
            file.labels("later")
        with pytest.raises(UserError, match=r"obs\['cell_type'\] cannot be read \(.*codes.*is the file damaged\?"):
            file.labels("cell_type")
        with pytest.raises(
            UserError, match=r"layers\['cube'\] has the shape \(60, 40, 2\); a matrix of two dimensions"
        ):
            file.values("cube", np.arange(CELLS), np.arange(FEATURES))


def test_names_with_a_slash_and_underscores_as_anndata_writes_them(write: Callable[..., Path]) -> None:
    def change(adata: AnnData) -> None:
        adata.obs["a/b"], adata.obs["__t"] = adata.obs["batch"], adata.obs["plate"]
        adata.layers["l/m"], adata.obsm["X/pca"] = adata.layers["counts"], adata.obsm["X_pca"]

    rows = np.arange(CELLS)
    with pytest.warns(FutureWarning, match="slash"):
        path = write(change)
    with open_cells(path) as file:
        assert file.labels("a/b").tolist() == file.labels("batch").tolist()
        assert file.labels("__t").tolist() == file.labels("plate").tolist()
        assert file.layers == ["counts", "l/m"]
        columns = np.arange(FEATURES)
        assert (file.values("l/m", rows, columns) != file.values("counts", rows, columns)).nnz == 0
        np.testing.assert_array_equal(file.embedding("X/pca", rows), file.embedding("X_pca", rows))
        for name in ("a", "l"):
            with pytest.raises(UserError, match=rf"has no '{name}'"):
                (file.labels if name == "a" else lambda layer: file.values(layer, rows, columns))(name)


def spoiled(path: Path, spoil: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "r+") as file:
        spoil(file)
    return path


def shorten(file: h5py.File, name: str) -> None:
    values, attributes = file[name][:-1], dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


@pytest.mark.parametrize("read", [open_cells, open_headers])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: shorten(file, "obs/plate"), r"obs\['plate'\] .*59.* 60"),
        (lambda file: shorten(file, "obs/batch/codes"), r"obs\['batch'\] .*59.* 60"),
        (lambda file: file["obs/batch/codes"].write_direct(np.full(CELLS, 2, np.int8)), r"obs\['batch'\] .*codes"),
        (lambda file: file["obs/batch/codes"].write_direct(np.full(CELLS, -2, np.int8)), r"obs\['batch'\] .*codes"),
        (lambda file: shorten(file, "var/symbol"), r"var\['symbol'\] .*39.* 40"),
        (lambda file: file["obs"].pop("plate"), r"obs\['plate'\] cannot be read"),
    ],
)
def test_a_column_that_does_not_fit_its_table_is_damaged(
    write: Callable[..., Path], read: Callable, spoil: Callable, message: str
) -> None:
    with read(spoiled(write(), spoil)) as file, pytest.raises(UserError, match=rf"cells\.h5ad: {message}"):
        _ = file.labels("batch"), file.labels("plate"), file.features("symbol")


@pytest.mark.parametrize("read", [open_cells, open_headers])
@pytest.mark.parametrize("table", ["obs", "var"])
def test_a_table_without_its_index_is_damaged(write: Callable[..., Path], read: Callable, table: str) -> None:
    path = spoiled(write(), lambda file: file[table].pop("_index"))
    with pytest.raises(UserError, match=rf"cells\.h5ad: {table} has no index \('_index'\)"), read(path):
        pass


def test_what_is_not_there(write: Callable[..., Path]) -> None:
    everything = np.arange(CELLS), np.arange(FEATURES)
    with open_cells(write()) as file:
        with pytest.raises(
            UserError, match=r"cells\.h5ad: obs has no 'donor'\. .*There are: batch, cell_type, plate, name"
        ):
            file.labels("donor")
        with pytest.raises(UserError, match=r"cells\.h5ad: var has no 'symbols'\. .*There are: feature_types, symbol"):
            file.features("symbols")
        with pytest.raises(UserError, match=r"layers has no 'spliced'\. .*There are: counts"):
            file.values("spliced", *everything)
        with pytest.raises(UserError, match=r"obsm has no 'GEX_X_pca'\. .*There are: X_pca"):
            file.embedding("GEX_X_pca", everything[0])

    def without_values(adata: AnnData) -> None:
        adata.X = None

    with open_cells(write(without_values)) as file, pytest.raises(UserError, match=r"has no X; name a layer.*counts"):
        file.values(None, *everything)


def test_an_embedding_that_is_none(write: Callable[..., Path]) -> None:
    def change(adata: AnnData) -> None:
        adata.obsm["hole"] = np.where(np.arange(2 * CELLS).reshape(CELLS, 2) == 7, np.nan, 1.0)

    with open_cells(write(change)) as file:
        assert file.embedding("hole", np.array([0, 1])).shape == (2, 2)
        with pytest.raises(UserError, match=r"obsm\['hole'\] holds values that are NaN or infinite"):
            file.embedding("hole", np.array([0, 3]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], r"cells\.h5ad is cut short or no h5ad file \(.*truncated"),
        (lambda data: data[:3000], r"cells\.h5ad is cut short or no h5ad file"),
        (lambda data: b"", r"cells\.h5ad is cut short or no h5ad file"),
        (lambda data: b"cell,gene,count\n", r"cells\.h5ad is cut short or no h5ad file"),
    ],
)
def test_a_file_that_is_cut_short_or_none(
    write: Callable[..., Path], spoil: Callable[[bytes], bytes], message: str
) -> None:
    path = write()
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=message), open_cells(path):
        pass


def test_a_file_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.h5ad is missing"), open_cells(tmp_path / "nothing.h5ad"):
        pass
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["obs"] = np.zeros(3)
    with pytest.raises(UserError, match="an HDF5 file without 'var'"), open_cells(tmp_path / "other.h5ad"):
        pass
    with h5py.File(tmp_path / "other.h5ad", "a") as file:
        file["var"] = np.zeros(3)
    with pytest.raises(UserError, match=r"before anndata 0\.7"), open_cells(tmp_path / "other.h5ad"):
        pass


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_a_damaged_matrix(write: Callable[..., Path]) -> None:
    everything = np.arange(CELLS), np.arange(FEATURES)

    def spoil(part: str, values: Callable[[np.ndarray], np.ndarray]) -> Path:
        path = write()
        with h5py.File(path, "r+") as file:
            found = values(file["X"][part][:])
            del file["X"][part]
            file["X"][part] = found
        return path

    for part, values, message in (
        ("indices", lambda found: np.where(found == 3, FEATURES, found), "a value lies outside of the matrix"),
        ("indices", lambda found: found - 1, "a value lies outside of the matrix"),
        ("indptr", lambda found: found[::-1], "its parts do not fit each other"),
        ("indptr", lambda found: found[:-5], "its parts do not fit each other"),
        ("data", lambda found: found[:-5], "its parts do not fit each other"),
        ("data", lambda found: found.astype("S3"), r"X holds \|S3, no numbers"),
    ):
        with open_cells(spoil(part, values)) as file, pytest.raises(UserError, match=message):
            file.values(None, *everything)
    path = write()
    with h5py.File(path, "r+") as file:
        file["X"].attrs["shape"] = (CELLS - 1, FEATURES)
    with open_cells(path) as file, pytest.raises(UserError, match=r"X has the shape \(59, 40\), expected \(60, 40\)"):
        file.values(None, *everything)
    with h5py.File(path, "r+") as file:
        del file["X"]["indptr"]
    with open_cells(path) as file, pytest.raises(UserError, match="X is neither a dense matrix nor a sparse one"):
        file.values(None, *everything)


def test_bytes_that_do_not_unpack(cells: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "packed.h5ad"
    with h5py.File(path, "w") as file:
        write_elem(file, "obs", cells.obs)
        write_elem(file, "var", cells.var)
        values = np.random.default_rng(0).random(cells.shape)
        file.create_dataset("X", data=values, chunks=(10, FEATURES), compression="gzip")
        place = file["X"].id.get_chunk_info(2)
    with path.open("r+b") as stream:
        stream.seek(place.byte_offset)
        stream.write(b"\0" * place.size)
    with open_cells(path) as file:
        first = file.values(None, np.arange(10), np.arange(FEATURES))
        np.testing.assert_array_equal(first.toarray(), values[:10].astype(np.float32))
        with pytest.raises(UserError, match=r"packed\.h5ad: X cannot be read \(.*\); is the file damaged\?"):
            file.values(None, np.arange(CELLS), np.arange(FEATURES))
