from pathlib import Path

import numpy as np
import pytest
import scanpy
from anndata import AnnData
from scipy.sparse import csr_matrix

from sparsenode.data.single_cell.expression import find_kind, highly_variable, normalize
from sparsenode.errors import UserError

CELLS, GENES = 300, 120


@pytest.fixture(scope="module")
def counts() -> csr_matrix:
    """Counts of cells along a line, some genes rising with it, with size factors."""
    generator = np.random.default_rng(0)
    slopes = np.where(np.arange(GENES) < 20, 3.0, 0.0)
    rates = np.exp(generator.normal(-1.0, 1.0, GENES) + np.linspace(-0.5, 0.5, CELLS)[:, None] * slopes)
    depth = generator.lognormal(0.0, 0.5, (CELLS, 1))
    return csr_matrix(generator.poisson(rates * depth).astype(np.float32))


def single(values: np.ndarray) -> csr_matrix:
    return csr_matrix(values.astype(np.float32))


def over_factors(counts: csr_matrix, factors: np.ndarray | float) -> np.ndarray:
    return counts.toarray() / np.broadcast_to(factors, CELLS)[:, None]


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    return np.random.default_rng(1).lognormal(0.0, 1.0, CELLS)


def test_counts(counts: csr_matrix) -> None:
    kind, evidence = find_kind(counts, "X")
    assert kind == "counts"
    assert evidence == f"all {counts.nnz} positive values are whole numbers"


@pytest.mark.parametrize("total", [1.0, 1e4, 1e6])
def test_normalized_counts_and_their_logs_in_single_precision(counts: csr_matrix, total: float) -> None:
    totals = counts.toarray().sum(axis=1)
    values = over_factors(counts, totals / total)
    assert find_kind(single(values), "X").kind == "normalized counts"
    assert find_kind(single(np.log1p(values)), "X").kind == "logs"


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_published_cells_are_normalized_counts(mirror: Path) -> None:
    tables = sorted(mirror.glob("raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories/*_norm.csv"))
    assert tables
    for table in tables:
        values = np.loadtxt(table, delimiter="\t", skiprows=1)[:, 1:]
        assert find_kind(single(values), table.name).kind == "normalized counts"
        assert find_kind(single(np.log1p(values)), table.name).kind == "logs"


def test_factors_of_any_kind(counts: csr_matrix, factors: np.ndarray) -> None:
    values = over_factors(counts, factors)
    found = find_kind(single(values), "X")
    assert found.kind == "normalized counts"
    assert found.evidence == "100.00% of the values are multiples of the smallest of their cell"
    assert find_kind(single(np.log1p(values)), "X").kind == "logs"


def test_large_counts_in_single_precision(factors: np.ndarray) -> None:
    counts = np.random.default_rng(3).integers(0, 20_000, (CELLS, GENES))
    counts[:, 0] = 1
    values = counts / factors[:, None]
    assert find_kind(single(values), "X").kind == "normalized counts"
    assert find_kind(single(np.log1p(values)), "X").kind == "logs"


def test_some_cells_whose_smallest_value_is_two_counts(counts: csr_matrix, factors: np.ndarray) -> None:
    few = counts.toarray()
    few[:2][few[:2] == 1] = 0
    assert find_kind(single(few / factors[:, None]), "X").kind == "normalized counts"


def test_the_same_cell_empty_among_others(counts: csr_matrix, factors: np.ndarray) -> None:
    values = over_factors(counts, factors)
    values[[0, 7, CELLS - 1]] = 0
    assert find_kind(single(values), "X").kind == "normalized counts"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x - x.mean(0)) / (x.std(0) + 1), r"here: \d+ values are negative \(down to -.*scaled or centered"),
        (lambda x: np.where(x == 3, np.nan, x), r"here: \d+ values are NaN or infinite"),
        (lambda x: np.where(x == 3, np.inf, x), r"here: \d+ values are NaN or infinite"),
        (lambda x: np.log2(1 + x), r"values up to .* are neither counts .*, nor normalized counts .*, nor natural log"),
        (lambda x: x * np.linspace(0.5, 3, GENES), r"are neither counts"),  # as of transcripts over their length
        (np.sqrt, r"are neither counts"),
        (lambda x: np.log1p(np.log1p(x)), r"are neither counts"),
        (lambda x: (x > 0) * 0.5, r"are neither counts"),
        (lambda x: 0 * x, r"here: all values are zero"),
    ],
)
def test_what_is_none_of_them(counts: csr_matrix, factors: np.ndarray, change: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        find_kind(single(change(counts.toarray())), "here")
    if "zero" not in message:
        assert str(caught.value).endswith(
            "name a matrix with counts, normalized counts or their logarithms by `values`"
        )


def test_counts_are_brought_to_the_median_total(counts: csr_matrix) -> None:
    totals = counts.toarray().sum(axis=1)
    found = normalize(counts.copy(), "counts", None, "X").toarray()
    np.testing.assert_allclose(found, counts.toarray() * (np.median(totals) / totals)[:, None], rtol=1e-6)


def test_what_is_normalized_stays_unless_a_total_is_asked_for(counts: csr_matrix, factors: np.ndarray) -> None:
    values = over_factors(counts, factors)
    for kind, given in (("normalized counts", values), ("logs", np.log1p(values))):
        np.testing.assert_allclose(normalize(single(given), kind, None, "X").toarray(), values, rtol=2e-6)
        brought = normalize(single(given), kind, 1000.0, "X").toarray()
        np.testing.assert_allclose(brought.sum(axis=1), 1000, rtol=1e-5)
        np.testing.assert_allclose(brought, normalize(counts.copy(), "counts", 1000.0, "X").toarray(), rtol=1e-5)


def test_a_cell_without_counts(counts: csr_matrix) -> None:
    values = counts.toarray()
    values[5] = 0
    with pytest.raises(UserError, match="donor s1d2: 1 cells have no counts at all"):
        normalize(single(values), "counts", None, "donor s1d2")


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_highly_variable_genes_are_those_of_scanpy(counts: csr_matrix) -> None:
    normalized = normalize(counts.copy(), "counts", None, "X")
    adata = AnnData(counts.copy())
    scanpy.pp.normalize_total(adata)
    scanpy.pp.log1p(adata)
    scanpy.pp.highly_variable_genes(adata, n_top_genes=25)
    found = highly_variable(normalized, 25)
    assert found.tolist() == np.flatnonzero(adata.var["highly_variable"]).tolist()
    # Not all of them rise: dispersions are compared among genes of like means.
    assert len(set(found) & set(range(20))) >= 6  # of 25 drawn at random, 4


def test_more_variable_genes_than_are_expressed(counts: csr_matrix) -> None:
    normalized = normalize(counts.copy(), "counts", None, "X").toarray()
    normalized[:, 50:] = 0
    found = highly_variable(single(normalized), 200)
    assert set(found) <= set(range(50))
    assert len(found) >= 45
