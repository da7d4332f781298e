import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr

from sparsenode.data.ranks import rank_correlation
from sparsenode.data.readers.tables import read_numeric_table
from sparsenode.data.single_cell.pseudotime import (
    PseudotimeSettings,
    compare_roots,
    diffuse,
    diffusion_embedding,
    merge_lineages,
    order_lineages,
)
from sparsenode.data.sources.hematopoiesis import DONORS, LINEAGES
from sparsenode.errors import UserError
from sparsenode.typed import read_settings

SMALL = PseudotimeSettings(neighbors=10, pca_components=5)


def line(count: int, seed: int = 0, genes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Cells in any order along a line in the space of genes, and where they lie, (cell,) in [0, 1]."""
    generator = np.random.default_rng(seed)
    place = generator.permutation((np.arange(count) + 0.5) / count)
    return 5 + np.outer(place, np.linspace(1, 2, genes)) + 0.003 * generator.standard_normal((count, genes)), place


def tree(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of a stem that forks in two, their distance from its start, and their branch: 0 the stem, 1, 2."""
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.standard_normal((8, 3)))[0].T
    branch = generator.permutation(np.repeat([0, 1, 2], [80, 100, 120]))
    place = generator.random(len(branch))
    start = np.where(branch[:, None] > 0, directions[0], 0)
    cells = start + place[:, None] * directions[branch] + 0.01 * generator.standard_normal((len(branch), 8))
    return cells, place + (branch > 0), branch


# The order of cells.


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
@pytest.mark.parametrize("count", [60, 200, 1000])
def test_a_straight_line_gets_its_order_back(count: int) -> None:
    cells, place = line(count)
    result = diffuse(cells, place < 0.1, SMALL, kind="logged")
    assert spearmanr(result.pseudotime, place)[0] > 0.995
    assert place[result.root] < 0.05
    assert result.pseudotime[result.root] == result.pseudotime.min() == 0
    assert result.pseudotime.max() == 1
    assert result.components.shape == (count, 19)
    assert result.eigenvalues.shape == (19,)
    assert result.separation > 0.99
    assert result.root_component == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_the_root_may_lie_at_either_end(reverse: bool) -> None:
    cells, place = line(200)
    place = 1 - place if reverse else place
    result = diffuse(cells, place < 0.1, SMALL, kind="logged")
    assert spearmanr(result.pseudotime, place)[0] > 0.995


@pytest.mark.parametrize("map_of", ["donor", "lineage"])
def test_a_tree_gets_both_branches(map_of: str) -> None:
    cells, place, branch = tree()
    lineages = {"one": branch != 2, "two": branch != 1}
    orders = order_lineages(cells, place < 0.2, lineages, SMALL.changed(map=map_of), kind="logged")
    for name, members in lineages.items():
        order = orders[name]
        assert order.pseudotime.shape == (members.sum(),)
        assert order.components.shape == (members.sum(), 19)
        assert spearmanr(order.pseudotime, place[members])[0] > 0.98
        assert place[order.root] < 0.1


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_what_a_map_of_one_lineage_and_one_of_the_donor_share() -> None:
    cells, place, branch = tree()
    lineages = {"one": branch != 2, "two": branch != 1}
    is_root = place < 0.2
    joint = order_lineages(cells, is_root, lineages, SMALL, kind="logged")
    whole = diffuse(cells, is_root, SMALL, kind="logged")
    for name, members in lineages.items():  # one clock for all
        np.testing.assert_array_equal(joint[name].pseudotime, whole.pseudotime[members])
        assert joint[name].root == whole.root
    own = order_lineages(cells, is_root, lineages, SMALL.changed(map="lineage"), kind="logged")
    for name, members in lineages.items():  # as if there were nothing else
        alone = diffuse(cells[members], is_root[members], SMALL, kind="logged")
        np.testing.assert_array_equal(own[name].pseudotime, alone.pseudotime)
        assert own[name].root == np.flatnonzero(members)[alone.root]


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_scanpy_agrees_on_a_short_lineage_and_loses_a_long_one() -> None:
    """The distance is that of `scanpy.tl.dpt` where no eigenvalue is at its bound, .9994."""
    import scanpy
    from anndata import AnnData

    for count, used, alike in ((100, 10, True), (100, 3, True), (1000, 10, False)):
        cells, place = line(count)
        adata = AnnData(np.zeros((count, 1), dtype=np.float32))
        adata.obsm["X_pca"] = cells
        scanpy.pp.neighbors(adata, n_neighbors=30, use_rep="X_pca", transformer="sklearn")
        with np.printoptions():
            scanpy.tl.diffmap(adata, n_comps=20)
        result = diffuse(cells, place < 0.1, PseudotimeSettings(dpt_components=used), kind="embedding")
        adata.uns["iroot"] = result.root
        scanpy.tl.dpt(adata, n_dcs=used)
        theirs = adata.obs["dpt_pseudotime"].to_numpy()
        assert (result.eigenvalues[0] < 0.9994) == alike
        np.testing.assert_allclose(result.eigenvalues, adata.uns["diffmap_evals"][1:])
        if alike:
            np.testing.assert_allclose(result.pseudotime, theirs, atol=1e-3)
        else:
            assert spearmanr(theirs, place)[0] < 0.5
            assert spearmanr(result.pseudotime, place)[0] > 0.995


def test_smoothing_averages_over_neighbors() -> None:
    cells, place = line(200)
    rough = diffuse(cells, place < 0.1, SMALL, kind="logged")
    smooth = diffuse(cells, place < 0.1, SMALL.changed(smoothing=3), kind="logged")
    assert smooth.pseudotime.min() > 0
    assert smooth.pseudotime.max() < 1
    assert smooth.root == rough.root
    assert spearmanr(smooth.pseudotime, place)[0] > 0.995
    np.testing.assert_array_equal(smooth.components, rough.components)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_smoothing_helps_where_single_cells_are_noisy() -> None:
    cells, place = line(300)
    generator = np.random.default_rng(3)
    noisy = np.column_stack([cells, 0.15 * generator.standard_normal((300, 15))])
    plain, smooth = (
        diffuse(noisy, place < 0.1, PseudotimeSettings(smoothing=count), kind="logged").pseudotime for count in (0, 3)
    )
    assert spearmanr(smooth, place)[0] > spearmanr(plain, place)[0] > 0.8


# What cells are given by.


def test_logarithms_are_taken_unless_taken() -> None:
    cells, place = line(100)
    expression = np.expm1(cells)
    given = diffuse(expression, place < 0.1, SMALL)
    logged = diffuse(np.log1p(expression), place < 0.1, SMALL, kind="logged")
    np.testing.assert_array_equal(given.pseudotime, logged.pseudotime)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("kind", ["normalized", "logged"])
def test_sparse_expression_is_as_good_as_dense(kind: str) -> None:
    cells, place = line(100)
    cells[:, 0] = np.maximum(cells[:, 0] - 5.3, 0)
    dense, sparse = (diffuse(values, place < 0.1, SMALL, kind=kind) for values in (cells, csr_matrix(cells)))
    np.testing.assert_allclose(sparse.pseudotime, dense.pseudotime, atol=1e-4)
    by_lineage = order_lineages(
        csr_matrix(cells), place < 0.1, {"all": place < 0.9}, SMALL.changed(map="lineage"), kind=kind
    )
    assert by_lineage["all"].pseudotime.shape == ((place < 0.9).sum(),)


def test_of_an_embedding_the_first_components_are_used_as_they_are() -> None:
    cells, place = line(100)
    is_root = place < 0.1
    first = SMALL.changed(pca_components=2)
    noise = np.random.default_rng(1).standard_normal((100, 4))
    widened = np.column_stack([cells[:, :2], noise])
    result = diffuse(widened, is_root, first, kind="embedding")
    np.testing.assert_array_equal(result.pseudotime, diffuse(cells[:, :2], is_root, first, kind="embedding").pseudotime)
    assert spearmanr(result.pseudotime, place)[0] > 0.99


@pytest.mark.parametrize("genes", [1, 2, 60])
def test_fewer_genes_or_cells_than_principal_components(genes: int) -> None:
    cells, place = line(40, genes=genes)
    result = diffuse(cells, place < 0.1, PseudotimeSettings(neighbors=8), kind="logged")
    assert spearmanr(result.pseudotime, place)[0] > 0.95


def test_fewer_cells_than_diffusion_components() -> None:
    cells, place = line(14)
    result = diffuse(cells, place < 0.2, PseudotimeSettings(neighbors=5, dpt_components=20), kind="logged")
    assert result.components.shape[0] == 14
    assert result.components.shape[1] < 14
    assert np.isfinite(result.pseudotime).all()


# The root.


def test_the_first_root_is_the_first_cell_of_its_type_in_the_file() -> None:
    cells, place = line(200)
    is_root = place < 0.2
    result = diffuse(cells, is_root, SMALL.changed(root="first"), kind="logged")
    assert result.root == np.flatnonzero(is_root)[0]
    assert result.pseudotime[result.root] == 0


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("seed", range(3))
def test_the_extreme_root_is_the_end_of_the_stem(seed: int) -> None:
    cells, place, _ = tree(seed)
    is_root = place < 0.4
    result = diffuse(cells, is_root, SMALL, kind="logged")
    along = result.components[is_root, result.root_component]
    assert result.components[result.root, result.root_component] == along.min()
    assert place[result.root] < 0.05
    medoid = diffuse(cells, is_root, SMALL.changed(root="medoid"), kind="logged").root
    assert medoid != result.root
    assert place[medoid] < 0.15


def test_the_component_of_the_root_separates_its_type_best() -> None:
    cells, place, _ = tree()
    is_root = place < 0.4
    result = diffuse(cells, is_root, SMALL, kind="logged")
    shares = [
        np.mean(np.less.outer(component[is_root], component[~is_root])) for component in result.components[:, :9].T
    ]
    assert result.root_component == np.argmax(shares)
    assert result.separation == pytest.approx(max(shares))
    assert (result.components[is_root].mean(axis=0) <= result.components[~is_root].mean(axis=0)).all()


def test_the_root_is_told_from_the_lineages_not_from_bystanders() -> None:
    cells, place = line(300)
    lineages = {"right": place > 0.45}
    is_root = (place > 0.45) & (place < 0.6)  # in the middle of all cells: the left half belongs to no lineage
    root = order_lineages(cells, is_root, lineages, SMALL, kind="logged")["right"].root
    assert place[root] < 0.48


def test_the_medoid_is_the_most_central_of_the_farthest_fifth() -> None:
    cells, place, _ = tree()
    is_root = place < 0.6
    result = diffuse(cells, is_root, SMALL.changed(root="medoid"), kind="logged")
    weights = result.eigenvalues[:9] / (1 - result.eigenvalues[:9])
    coordinates = result.components[:, :9] * weights
    outward = sorted(np.flatnonzero(is_root), key=lambda cell: result.components[cell, result.root_component])
    farthest = outward[: round(len(outward) / 5)]
    away = {
        cell: sum(np.linalg.norm(coordinates[cell] - coordinates[other]) for other in farthest) for cell in farthest
    }
    assert result.root == min(away, key=away.__getitem__)
    assert len(farthest) > 5


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_roots_are_compared_by_lineage() -> None:
    cells, place, branch = tree()
    lineages = {"one": branch != 2, "two": branch != 1}
    is_root = place < 0.5
    for map_of in ("donor", "lineage"):
        own = SMALL.changed(map=map_of)
        found = compare_roots(cells, is_root, lineages, own, kind="logged")
        assert list(found) == ["one", "two"]
        first, extreme = (
            order_lineages(cells, is_root, lineages, own.changed(root=root), kind="logged")
            for root in ("first", "extreme")
        )
        for name, (one, other, correlation) in found.items():
            assert (one, other) == (first[name].root, extreme[name].root)
            assert correlation == pytest.approx(spearmanr(first[name].pseudotime, extreme[name].pseudotime)[0])
            assert correlation < 1
    same = compare_roots(cells, is_root, lineages, SMALL, roots=("first", "first"), kind="logged")
    assert all(correlation == pytest.approx(1) for _, _, correlation in same.values())


@settings(max_examples=50)
@given(values=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=20))
def test_the_rank_correlation_is_that_of_spearman(values: list[tuple[int, int]]) -> None:
    one, other = np.array(values, dtype=float).T
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert rank_correlation(one, other, undefined=0.0) == 0
    else:
        assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other)[0], abs=1e-12)


# The same input, the same output.


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_same_cells_give_the_same_bits_and_leave_no_trace() -> None:
    cells, place, _ = tree()
    given = cells.copy()
    results = []
    for seed in (5, 6):  # of numpy's own state, which nothing may read or change
        np.random.seed(seed)  # noqa: NPY002
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        with np.printoptions(precision=4):
            results.append(diffuse(cells, place < 0.3, SMALL, kind="logged"))
            assert np.get_printoptions()["precision"] == 4
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    one, other = results
    np.testing.assert_array_equal(one.pseudotime, other.pseudotime)
    np.testing.assert_array_equal(one.components, other.components)
    np.testing.assert_array_equal(cells, given)


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_cells_in_the_file_does_not_matter(seed: int) -> None:
    cells, place, branch = tree()
    order = np.random.default_rng(seed).permutation(len(cells))
    for map_of in ("donor", "lineage"):
        one, other = (
            order_lineages(
                cells[rows],
                (place < 0.3)[rows],
                {"one": (branch != 2)[rows]},
                SMALL.changed(map=map_of, smoothing=1),
                kind="logged",
            )["one"]
            for rows in (np.arange(len(cells)), order)
        )
        assert order[other.root] == one.root
        unshuffled = np.empty(len(cells))
        unshuffled[order[(branch != 2)[order]]] = other.pseudotime
        np.testing.assert_allclose(unshuffled[branch != 2], one.pseudotime, atol=1e-3)


def test_another_seed_changes_rounding_alone() -> None:
    cells, place, _ = tree()
    one, other = (diffuse(cells, place < 0.3, SMALL.changed(seed=seed), kind="logged") for seed in (0, 1))
    assert one.root == other.root
    np.testing.assert_allclose(one.pseudotime, other.pseudotime, atol=1e-3)


def test_the_embedding_is_the_first_two_components() -> None:
    cells, place, branch = tree()
    result = diffuse(cells, place < 0.2, SMALL, kind="logged")
    shown = diffusion_embedding(result)
    assert shown.shape == (len(cells), 2)
    np.testing.assert_array_equal(shown, result.components[:, :2])
    tips = [shown[(branch == one) & (place > 1.5)] for one in (1, 2)]  # the two ends lie apart
    spread = max(tip.std(axis=0).max() for tip in tips)
    assert np.linalg.norm(tips[0].mean(axis=0) - tips[1].mean(axis=0)) > 4 * spread


# Cells that several lineages share.


def test_each_cell_stands_once_with_its_lineages() -> None:
    stem, one, two = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[4.0, 5.0]]), np.array([[6.0, 7.0], [0.0, 2.0]])
    cells, flags = merge_lineages({"one": np.vstack([stem, one]), "two": np.vstack([two, stem[::-1]])})
    assert cells.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2]]
    assert flags["one"].tolist() == [True, True, True, False, False]
    assert flags["two"].tolist() == [True, True, False, True, True]


def test_the_sign_of_zero_makes_no_other_cell() -> None:
    cells, flags = merge_lineages({"one": np.array([[0.0, 1.0]]), "two": np.array([[-0.0, 1.0]])})
    assert cells.shape == (1, 2)
    assert flags["one"].tolist() == flags["two"].tolist() == [True]


def test_no_cells_to_merge() -> None:
    with pytest.raises(UserError, match="no cell in any lineage"):
        merge_lineages({"one": np.empty((0, 3))})


# Bad input.


def test_no_cell_of_the_root_type() -> None:
    cells, place = line(60)
    with pytest.raises(UserError, match=r"^s1d2: no cell of the root type; name a root type"):
        diffuse(cells, np.zeros(60, dtype=bool), SMALL, kind="logged", where="s1d2")
    lineages = {"whole": place >= 0, "late": place > 0.5}
    with pytest.raises(UserError, match=r"^s1d2 late: no cell of the root type"):
        order_lineages(cells, place < 0.1, lineages, SMALL.changed(map="lineage"), kind="logged", where="s1d2")


def test_nothing_but_cells_of_the_root_type() -> None:
    cells, _ = line(60)
    with pytest.raises(UserError, match=r"^cells: no cell of a lineage but those of the root type"):
        diffuse(cells, np.ones(60, dtype=bool), SMALL, kind="logged")


@pytest.mark.parametrize("map_of", ["donor", "lineage"])
def test_a_lineage_of_few_cells(map_of: str) -> None:
    cells, place = line(60)
    few = np.arange(60) < 19
    with pytest.raises(UserError, match=r"^s1d2: the lineage 'B' has 19 cells, fewer than 20; correct its cell types"):
        order_lineages(
            cells, place < 0.5, {"A": ~few, "B": few}, SMALL.changed(map=map_of), kind="logged", where="s1d2"
        )


@pytest.mark.parametrize("cells_left", [10, 9])
def test_no_more_cells_than_neighbors(cells_left: int) -> None:
    cells, place = line(cells_left)
    with pytest.raises(UserError, match=rf"^s1d2: {cells_left} cells, no more than the 10 of `neighbors`; lower it"):
        diffuse(cells, place < 0.5, SMALL, kind="logged", where="s1d2")


def test_flags_of_other_cells() -> None:
    cells, place = line(60)
    with pytest.raises(UserError, match="60 cells, but 59 and 59 flags"):
        diffuse(cells, place[1:] < 0.5, SMALL, kind="logged")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, csr_matrix])
@pytest.mark.parametrize("kind", ["normalized", "logged", "embedding"])
def test_values_that_are_not_finite(value: float, make: type, kind: str) -> None:
    cells, place = line(60)
    cells[[3, 7], 1] = value
    if kind == "embedding" and make is csr_matrix:
        make = np.asarray
    with pytest.raises(UserError, match=r"^s1d2: 2 values are NaN or infinite; remove"):
        diffuse(make(cells), place < 0.5, SMALL, kind=kind, where="s1d2")


@pytest.mark.parametrize("make", [np.asarray, csr_matrix])
def test_negative_values_have_no_logarithm(make: type) -> None:
    cells, place = line(60)
    cells[3, 1] = -0.5
    with pytest.raises(UserError, match=r"^s1d2: negative values, .* say `logged` if they"):
        diffuse(make(cells), place < 0.5, SMALL, where="s1d2")
    diffuse(make(cells), place < 0.5, SMALL, kind="logged")


@pytest.mark.parametrize("make", [np.asarray, csr_matrix])
def test_cells_that_are_all_equal(make: type) -> None:
    with pytest.raises(UserError, match=r"^s1d2: all cells are equal; there is nothing to order"):
        diffuse(make(np.ones((60, 4))), np.arange(60) < 5, SMALL, where="s1d2")


def test_cells_that_are_equal_in_part_lie_at_one_place() -> None:
    cells, place = line(100)
    twins = np.repeat(np.argsort(place)[::2], 2)[:100]  # each cell twice
    result = diffuse(cells[twins], (place < 0.1)[twins], SMALL, kind="logged")
    assert spearmanr(result.pseudotime, place[twins])[0] > 0.99


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_a_graph_that_falls_apart_names_its_parts() -> None:
    cells, place = line(100)
    away = place > 0.7
    cells[away] += 3
    types = np.where(place < 0.1, "HSC", np.where(away, "B", "Lymph prog"))
    message = (
        r"^s1d2: the graph of 10 nearest neighbors falls into 2 parts .*: 70 cells \(Lymph prog 60, HSC 10\), "
        r"30 cells \(B 30\); pseudotime would be infinite .*\. Raise `neighbors`"
    )
    with pytest.raises(UserError, match=message):
        diffuse(cells, place < 0.1, SMALL, kind="logged", cell_types=types, where="s1d2")
    lineages = {"near": ~away, "both": place >= 0}
    with pytest.raises(UserError, match=r"^s1d2 both: .*30 cells \(B 30\)"):
        order_lineages(
            cells,
            place < 0.1,
            lineages,
            SMALL.changed(map="lineage"),
            kind="logged",
            cell_types=types,
            where="s1d2",
        )
    with pytest.raises(UserError, match=r"parts without a way between them: 70 cells, 30 cells; pseudotime"):
        diffuse(cells, place < 0.1, SMALL, kind="logged")
    # What the message advises works.
    result = diffuse(cells, place < 0.1, SMALL.changed(neighbors=80), kind="logged")
    assert np.isfinite(result.pseudotime).all()


def test_of_many_parts_the_largest_are_named() -> None:
    cells, place = line(160)
    cells += 100 * np.floor(place * 8)[:, None]
    types = [f"type {number % 7}" for number in range(160)]
    with pytest.raises(UserError, match=r"falls into 8 parts .*type \d \d+, \.\.\.\), .*\), \.\.\.; pseudotime"):
        diffuse(cells, place < 0.1, SMALL, kind="logged", cell_types=types)


# Settings.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbors": 1}, r"pseudotime\.neighbors: found the number 1; allowed: an integer at least 2"),
        ({"neighbors": 3.5}, r"pseudotime\.neighbors: found the number 3\.5"),
        ({"smoothing": True}, r"pseudotime\.smoothing: found true"),
        ({"root": "last"}, r"pseudotime\.root: found \"last\"; allowed: first, extreme, medoid"),
        ({"map": "all"}, r"pseudotime\.map: found \"all\"; allowed: donor, lineage"),
        ({"components": 8}, r"pseudotime\.dpt_components: found 10, with components: 8; allowed: at most 8"),
        ({"neighbours": 30}, r"pseudotime: unknown key: found \"neighbours\" .*; allowed: neighbors, components"),
    ],
)
def test_settings_that_are_not_allowed(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_settings(PseudotimeSettings, options, "pseudotime")


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_module_is_light() -> None:
    code = (
        "import sys, sparsenode.data.single_cell.pseudotime; "
        "assert not {'scanpy', 'anndata', 'scipy', 'pandas', 'sklearn', 'umap'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Real cells: those published, ordered anew.

FOLDER = Path("raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories")
OURS = PseudotimeSettings(pca_components=20, map="lineage", smoothing=1)
# Cells, those of the root type, and the least correlation with the published pseudotime: erythroid, monocyte, B. The
# published map saw all cells and genes of a donor. Of the later halves of monocytes and B cells, 529 genes know little.
PUBLISHED = {
    "s1d2": (1302, 30, (0.94, 0.49, 0.81)),
    "s2d1": (2516, 47, (0.93, 0.41, 0.69)),
    "s3d6": (549, 32, (0.96, 0.78, 0.79)),
    "s1d1": (2693, 37, (0.85, 0.59, 0.69)),
}


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("donor", list(PUBLISHED))
def test_published_cells_get_their_order_back(mirror: Path, donor: str) -> None:
    count, stem, least = PUBLISHED[donor]
    cells, lineages = merge_lineages(
        {
            lineage: read_numeric_table(mirror / FOLDER / f"{name}_{DONORS[donor]}_norm.csv", "\t")[1]
            for lineage, name in LINEAGES.items()
        }
    )
    published, expression = cells[:, 0], cells[:, 1:]
    is_root = np.all(list(lineages.values()), axis=0)
    assert (len(cells), is_root.sum()) == (count, stem)
    assert published[is_root][0] == published.min() == 0  # the study's root is the first cell of its type
    orders = order_lineages(expression, is_root, lineages, OURS, where=donor)
    found = [spearmanr(orders[name].pseudotime, published[members])[0] for name, members in lineages.items()]
    assert (np.array(found) >= least).all(), found
    for name, members in lineages.items():  # the stem comes first, the tail does not reach back into it
        early = is_root[members]
        assert np.median(orders[name].pseudotime[early]) < np.quantile(orders[name].pseudotime[~early], 0.2)
