from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.contract import read_trajectories, trajectory_slices
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.single_cell.cells import (
    CellOptions,
    Cells,
    average_cells,
    equal_groups,
    order_cells,
    scale_cells,
    similar_groups,
)
from sparsenode.errors import UserError
from sparsenode.typed import read_settings

GENES = ("a", "b", "c")


def options(**changes: Any) -> CellOptions:
    return read_settings(CellOptions, {"drop_first": 0, "drop_last": 0, **changes}, "options")


def averaging(by: str = "pseudotime", **changes: Any) -> dict[str, Any]:
    return {"average": {"by": by, "cells": 5, **changes}}


def some_cells(count: int = 43, seed: int = 0, *, repeated: int = 0, split: str = "train") -> Cells:
    generator = np.random.default_rng(seed)
    times = generator.permutation(count) / count
    times[:repeated] = times[repeated : 2 * repeated]
    return Cells(
        donor="d",
        lineage="l",
        split=split,
        times=times,
        values=generator.gamma(1.0, 1.0, (count, len(GENES))),
        embedding=generator.standard_normal((count, 2)),
        cell_types=generator.choice(["stem", "blast", "mature"], count),
    )


def same(one: Cells, other: Cells) -> None:
    for field in fields(Cells):
        if field.name != "singles":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


@pytest.mark.slow(reason="draws many examples")
@given(seed=st.integers(0, 1000))
def test_coordinates_and_cell_types_go_with_their_cells(seed: int) -> None:
    cells = some_cells(seed=seed)
    ordered = order_cells(options(drop_first=2, drop_last=3), cells)
    place = np.argsort(cells.times)[2:-3]
    np.testing.assert_array_equal(ordered.times, cells.times[place])
    np.testing.assert_array_equal(ordered.values, cells.values[place])
    np.testing.assert_array_equal(ordered.embedding, cells.embedding[place])
    np.testing.assert_array_equal(ordered.cell_types, cells.cell_types[place])


def test_of_cells_with_one_pseudotime() -> None:
    cells = some_cells(9, repeated=1)
    first, second = np.flatnonzero(cells.times == cells.times[0])
    kept, mean = (order_cells(options(repeated_pseudotimes=how), cells) for how in ("first", "mean"))
    row = int(np.flatnonzero(kept.times == cells.times[0])[0])
    np.testing.assert_array_equal(kept.embedding[row], cells.embedding[first])
    np.testing.assert_allclose(mean.embedding[row], (cells.embedding[first] + cells.embedding[second]) / 2)
    assert kept.cell_types[row] == mean.cell_types[row] == cells.cell_types[first]
    assert mean.weights.tolist() == [1.0] * row + [2.0] + [1.0] * (len(mean.times) - row - 1)


@pytest.mark.slow(reason="draws many examples")
@pytest.mark.parametrize("by", ["pseudotime", "metacell"])
@given(seed=st.integers(0, 1000), repeated=st.integers(0, 5), size=st.integers(2, 12))
def test_a_constant_fits_averages_as_it_fits_the_cells(by: str, seed: int, repeated: int, size: int) -> None:
    cells = some_cells(seed=seed, repeated=repeated)
    settings = options(**averaging(by, cells=size), repeated_pseudotimes="mean")
    averages = order_cells(settings, cells)
    assert averages.weights.sum() == pytest.approx(43)
    fit = np.average(averages.values, axis=0, weights=averages.weights)
    np.testing.assert_allclose(fit, cells.values.mean(axis=0))
    np.testing.assert_allclose(np.average(averages.times, weights=averages.weights), cells.times.mean())
    np.testing.assert_allclose(
        np.average(averages.embedding, axis=0, weights=averages.weights), cells.embedding.mean(axis=0)
    )
    assert (np.diff(averages.times) >= 0).all()
    assert averages.times[0] == cells.times.min()
    same(averages.singles, order_cells(options(repeated_pseudotimes="mean"), cells))


@given(cells=st.integers(2, 300), size=st.integers(1, 40))
def test_equal_groups_are_consecutive_and_equal(cells: int, size: int) -> None:
    count = max(1, round(cells / size))
    if count > cells:
        return
    groups = equal_groups(cells, count)
    sizes = np.bincount(groups)
    assert len(groups) == cells
    assert sorted(groups) == groups.tolist()
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    if cells >= size:
        assert size / 2 <= sizes.min()
        assert sizes.max() <= 1.5 * size + 1


def test_averages_in_pseudotime_by_hand() -> None:
    cells = some_cells(11)
    averages = order_cells(options(**averaging(cells=5)), cells)
    order = np.argsort(cells.times)
    for row, part in enumerate((order[:1], order[1:6], order[6:])):
        assert averages.times[row] == pytest.approx(cells.times[part].mean())
        np.testing.assert_allclose(averages.values[row], cells.values[part].mean(axis=0))
        np.testing.assert_allclose(averages.embedding[row], cells.embedding[part].mean(axis=0))
        names, counts = np.unique(cells.cell_types[part], return_counts=True)
        assert averages.cell_types[row] == names[counts.argmax()]
    assert averages.weights.tolist() == [1, 5, 5]


def test_averages_of_logarithms_are_not_logarithms_of_averages() -> None:
    cells = some_cells(11)
    logs = order_cells(options(transform="log1p", **averaging()), cells)
    expected = order_cells(options(**averaging()), replace(cells, values=np.log1p(cells.values)))
    np.testing.assert_array_equal(logs.values, expected.values)


def test_metacells_find_cells_that_are_alike() -> None:
    generator = np.random.default_rng(2)
    kinds = generator.permutation(np.repeat(np.arange(4), 6))
    logs = 5.0 * generator.standard_normal((4, 30))[kinds] + 0.1 * generator.standard_normal((24, 30))
    groups = similar_groups(logs, 4, seed=0)
    assert (np.equal.outer(groups, groups) == np.equal.outer(kinds, kinds)).all()
    np.testing.assert_array_equal(groups, similar_groups(logs, 4, seed=0))


def test_metacells_depend_on_their_seed() -> None:
    cells = some_cells(60)
    one, again, other = (order_cells(options(**averaging("metacell", seed=seed)), cells) for seed in (0, 0, 1))
    same(one, again)
    assert len(one.times) == len(other.times) == 1 + round(59 / 5)
    assert not np.array_equal(one.values, other.values)


def test_only_the_named_splits_are_averaged() -> None:
    train, test = some_cells(), some_cells(split="test")
    default, other, both = (
        options(**averaging(**splits)) for splits in ({}, {"splits": ["test"]}, {"splits": ["train", "test"]})
    )
    plain = order_cells(options(), test)
    same(order_cells(default, test), plain)
    same(order_cells(other, test), replace(order_cells(default, train), split="test"))
    same(order_cells(both, test), order_cells(other, test))
    same(order_cells(both, train), order_cells(default, train))


def test_cells_are_dropped_before_they_are_averaged() -> None:
    cells = some_cells()
    order = np.argsort(cells.times)[3:-4]
    dropped = {field: getattr(cells, field)[order] for field in ("times", "values", "embedding", "cell_types")}
    one = order_cells(options(drop_first=3, drop_last=4, **averaging()), cells)
    same(one, order_cells(options(**averaging()), replace(cells, **dropped)))


@pytest.mark.parametrize("by", ["pseudotime", "metacell"])
def test_too_few_cells_for_averages(by: str) -> None:
    order_cells(options(**averaging(by, cells=6)), some_cells(11))
    message = r"d l: its 11 cells are too few for averages of 7, of which it takes 2 .* a smaller `average\.cells`"
    with pytest.raises(UserError, match=message):
        order_cells(options(**averaging(by, cells=7)), some_cells(11))


def test_metacells_of_negative_expression() -> None:
    cells = some_cells()
    negative = replace(cells, values=cells.values - 1)
    with pytest.raises(UserError, match=r"d l: negative expression, which `average\.by: metacell` does not allow"):
        order_cells(options(**averaging("metacell")), negative)
    order_cells(options(**averaging("pseudotime")), negative)


@pytest.mark.parametrize("by", ["pseudotime", "metacell"])
@pytest.mark.parametrize("scaling", ["training_range", "per_trajectory"])
@pytest.mark.parametrize("time_scaling", ["unit", "none"])
def test_units_are_those_of_single_cells(by: str, scaling: str, time_scaling: str) -> None:
    cells = [some_cells(), some_cells(30, seed=1, split="test"), some_cells(200, seed=2)]
    settings = options(scaling=scaling, time_scaling=time_scaling)
    plain, kept = scale_cells(settings, [order_cells(settings, part) for part in cells], GENES)
    settings = options(scaling=scaling, time_scaling=time_scaling, **averaging(by))
    averaged, also_kept = scale_cells(settings, [order_cells(settings, part) for part in cells], GENES)
    np.testing.assert_array_equal(kept, also_kept)
    for one, other in zip(plain, averaged, strict=True):
        np.testing.assert_array_equal(one.offset, other.offset)
        np.testing.assert_array_equal(one.scale, other.scale)
        assert (one.time_offset, one.time_scale) == (other.time_offset, other.time_scale)
        assert one.times[0] == other.times[0]
        assert one.times[-1] >= other.times[-1]
        np.testing.assert_allclose(np.average(other.values, axis=0, weights=other.weights), one.values.mean(axis=0))
        np.testing.assert_array_equal(one.values[0], other.values[0])
    np.testing.assert_array_equal(averaged[0].first_values, plain[0].values)
    np.testing.assert_array_equal(averaged[2].first_values, plain[2].values[:100])
    assert averaged[1].first_values is None
    np.testing.assert_array_equal(averaged[1].values, plain[1].values)


def test_what_a_trajectory_is_told() -> None:
    settings = options()
    (part,), _ = scale_cells(settings, [order_cells(settings, some_cells())], GENES)
    assert list(part.embeddings) == ["diffmap"]
    assert set(part.observation_labels["cell_type"]) == {"stem", "blast", "mature"}
    bare = replace(some_cells(), embedding=None, cell_types=None)
    (part,), _ = scale_cells(settings, [order_cells(settings, bare)], GENES)
    assert not part.embeddings
    assert not part.observation_labels


def test_genes_that_are_constant_everywhere() -> None:
    settings = options(constant_genes="drop")
    flat = replace(some_cells(), values=np.ones((43, 3)))
    with pytest.raises(UserError, match="`constant_genes: drop` leaves no gene"):
        scale_cells(settings, [order_cells(settings, flat)], GENES)


@pytest.mark.slow(reason="draws many examples")
@given(seed=st.integers(0, 100))
def test_averages_of_averages_are_averages(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cells = order_cells(options(), some_cells(seed=seed))
    fine = generator.integers(0, 12, 43)
    coarse = generator.integers(0, 3, 12)
    step = average_cells(cells, fine)
    # Averages come in the order of time, so that their groups are found by that order.
    numbers = np.unique(fine)
    means = [cells.times[fine == number].mean() for number in numbers]
    twice = average_cells(step, coarse[numbers[np.argsort(means, kind="stable")]])
    once = average_cells(cells, coarse[fine])
    for name in ("times", "values", "weights", "embedding"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name))


DATASET = {
    "source": "hematopoiesis",
    "validation": {"by": "observation", "share": 0.2, "seed": 0},
    "initial_state": {"mean_of_first": 5},
    "feature_weight": "uniform",
}


def published(mirror: Path, folder: Path, average: dict[str, Any] | None) -> AnnData:
    """Cells of two donors, or averages of them."""
    options = {
        "donors": {"train": ["s1d2"], "test": ["s3d6"]},
        "transform": "log1p",
        "scaling": "training_range",
        "networks": {},
        "embedding": "none",
        "average": average,
    }
    preprocess_dataset("cells", {**DATASET, "options": options}, mirror, folder / "cells.h5ad")
    return read_trajectories(folder / "cells.h5ad")


@pytest.fixture(scope="module")
def cells(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> AnnData:
    """The published cells of two donors."""
    return published(mirror, tmp_path_factory.mktemp("cells"), None)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("by", ["pseudotime", "metacell"])
def test_averages_of_published_cells_compare_with_the_cells(
    cells: AnnData, mirror: Path, tmp_path: Path, by: str
) -> None:
    averages = published(mirror, tmp_path, {"by": by, "cells": 10})
    of_test = (averages.obs["split"] == "test").to_numpy()
    np.testing.assert_array_equal(averages.X[of_test], cells.X[(cells.obs["split"] == "test").to_numpy()])
    before, after = cells.uns["sparsenode"], averages.uns["sparsenode"]
    np.testing.assert_array_equal(before["scale"], after["scale"])
    np.testing.assert_allclose(before["initial_states"], after["initial_states"], rtol=0, atol=1e-12)
    assert set(averages.obs["split"]) == {"train", "validation", "test"}
    single, mean = trajectory_slices(cells), trajectory_slices(averages)
    for lineage in ("erythroid", "monocyte", "B"):
        rows, count = mean[f"s1d2 {lineage}"], single[f"s1d2 {lineage}"].stop - single[f"s1d2 {lineage}"].start
        weights = averages.obs["weight"].iloc[rows].to_numpy()
        assert weights.sum() == count
        assert len(weights) == 1 + round((count - 1) / 10)
        np.testing.assert_allclose(
            np.average(averages.X[rows], axis=0, weights=weights),
            cells.X[single[f"s1d2 {lineage}"]].mean(axis=0),
            atol=1e-6,
        )
