"""Cells of several lineages are fitted as if they had been duplicated by hand, and held out of all lineages at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sparsenode.data.contract import read_trajectories
from sparsenode.data.preprocess import assemble, preprocess_dataset
from sparsenode.data.readers.arrays import read_arrays
from sparsenode.data.readers.lineages import read_lineages
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.tl import fit_dynamics

WHERE = ("the weights", "the times")


def branching(count: int = 40) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Cells (cell, variable) in a random order, their pseudotimes, and the weights of two lineages from a trunk."""
    generator = np.random.default_rng(1)
    times = generator.permutation(np.linspace(0.0, 4.0, count))
    side = np.where(generator.random(count) < 0.5, -1.0, 1.0)
    after = np.maximum(times - 1.5, 0.0)
    values = np.stack((np.exp(-0.3 * times), side * after / (1 + after)), axis=1)
    trunk = times < 1.5
    weights = pd.DataFrame({"up": np.where(trunk, 0.5, side > 0), "down": np.where(trunk, 0.5, side < 0)}, dtype=float)
    return values, times, weights


def by_hand(values: np.ndarray, times: np.ndarray, weights: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times and values of each lineage, its cells duplicated."""
    rows = {name: np.flatnonzero(weights[name] > 0) for name in weights}
    rows = {name: cells[np.argsort(times[cells])] for name, cells in rows.items()}
    return {name: (times[cells], values[cells]) for name, cells in rows.items()}


def check_courses(raw: RawTrajectories, expected: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    assert [trajectory.name for trajectory in raw.trajectories] == list(expected)
    assert [trajectory.group for trajectory in raw.trajectories] == list(expected)
    assert len({trajectory.subject for trajectory in raw.trajectories}) == 1
    for trajectory, (times, values) in zip(raw.trajectories, expected.values(), strict=True):
        np.testing.assert_array_equal(trajectory.times, times)
        np.testing.assert_allclose(trajectory.values, values, rtol=1e-6)
        np.testing.assert_array_equal(trajectory.weights, np.where(times < 1.5, 0.5, 1.0))


def cells_of(values: np.ndarray, times: np.ndarray, weights: pd.DataFrame) -> anndata.AnnData:
    """The cells as an AnnData, with all that tells their lineages."""
    names = [f"cell{number}" for number in range(len(times))]
    per_lineage = {f"time_{name}": np.where(weights[name] > 0, times, np.nan) for name in weights}
    obs = pd.DataFrame({"pseudotime": times, "donor": "d1", **per_lineage}, index=names)
    adata = anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=["a", "b"]))
    adata.obsm["fates"] = weights.set_index(pd.Index(names))
    adata.obsm["mask"] = (weights > 0).to_numpy()
    return adata


def test_lineages_are_the_cells_duplicated_by_hand(tmp_path: Path) -> None:
    values, times, weights = branching()
    expected = by_hand(values, times, weights)
    check_courses(read_arrays(values, times, None, weights), expected)
    adata = cells_of(values, times, weights)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    source = make_source(
        "anndata", {"path": str(tmp_path / "cells.h5ad"), "time": "pseudotime", "lineage_weights": "fates"}
    )
    assert source.check() == []
    check_courses(source.load({}), expected)
    outline = source.outline()
    assert (outline.groups, outline.trajectories) == (("up", "down"), 2)
    assert outline.observations == max(len(course[0]) for course in expected.values())
    assert outline.duration == max(np.ptp(course[0]) for course in expected.values())


@pytest.mark.parametrize("form", ["columns of obs", "array of times", "table of times", "mask", "sparse", "donors"])
def test_every_form_of_lineages_has_the_same_cells(form: str) -> None:
    values, times, weights = branching()
    adata = cells_of(values, times, weights)
    columns = ["time_up", "time_down"]
    if form == "columns of obs":
        options = {"path": "x", "lineage_times": columns}
        from sparsenode.data.sources import make_source
        from sparsenode.data.sources.anndata import read_trajectories_of

        raw = read_trajectories_of(adata, make_source("anndata", options), "x", {})
        assert [trajectory.name for trajectory in raw.trajectories] == columns
    elif form == "array of times":
        raw = read_arrays(values, adata.obs[columns].to_numpy())
    elif form == "table of times":
        raw = read_arrays(pd.DataFrame(values).assign(**adata.obs[columns].reset_index(drop=True)), columns)
    elif form == "donors":
        raw = read_arrays(values, times, ["d1"] * len(times), weights)
        assert [trajectory.name for trajectory in raw.trajectories] == ["d1 up", "d1 down"]
    else:
        mask = adata.obsm["mask"]
        raw = read_arrays(values, times, None, csr_matrix(mask.astype(float)) if form == "sparse" else mask)
    for trajectory, (when, rows) in zip(raw.trajectories, by_hand(values, times, weights).values(), strict=True):
        np.testing.assert_array_equal(trajectory.times, when)
        np.testing.assert_array_equal(trajectory.values, rows)


def test_a_cell_of_little_weight_is_not_of_a_lineage() -> None:
    probabilities = np.array([[0.5, 0.5, 0.0], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]])
    lineages = read_lineages(probabilities, np.arange(5), 5, where=WHERE)
    assert [course.cells.tolist() for course in lineages.courses(np.arange(5))] == [[0, 1, 2], [0, 2, 3, 4], [2, 4]]
    assert lineages.weights[1].tolist() == [0.9, 0.0, 0.0]
    every = read_lineages(probabilities, np.arange(5), 5, where=WHERE, cutoff=0.0)
    assert (every.weights == probabilities).all()


@pytest.mark.parametrize(
    ("weights", "times", "message"),
    [
        (np.ones((4, 2)), np.arange(5), r"the weights has the shape \(4, 2\) for 5 cells; give \(cell, lineage\)"),
        (np.ones((5, 2)), np.ones((5, 3)), "the weights has 2 lineages, and the times 3"),
        (-np.ones((5, 2)), np.arange(5), "the weights holds -1.0 for cell 0; give weights of at least 0"),
        (np.full((5, 2), np.nan), np.arange(5), "the weights holds nan for cell 0"),
        (np.ones((5, 2)), np.array([0, 1, np.inf, 3, 4]), "the times is inf for cell 2, of the lineage 'lineage 1'"),
        (np.eye(5)[:, :2], np.arange(5), "the weights: 1 cells are of the lineage 'lineage 1'; it takes at least 2"),
        (None, np.full((5, 2), np.nan), "the times: 0 cells are of the lineage"),
        (pd.DataFrame(np.ones((5, 2)), columns=["a", "a"]), np.arange(5), "has the lineage 'a' more than once"),
        (np.full((5, 2), "x"), np.arange(5), "the weights holds what is no number"),
    ],
)
def test_lineages_that_cannot_be_used_are_named(weights: Any, times: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_lineages(weights, times, 5, where=WHERE)


@pytest.mark.parametrize("by", ["inner_blocks", "time_blocks", "observation"])
@pytest.mark.parametrize("seed", range(5))
def test_a_cell_is_held_out_of_all_its_lineages_or_of_none(by: str, seed: int) -> None:
    raw = read_arrays(*branching(120)[:2], None, branching(120)[2])
    adata = assemble("data", raw, {"validation": {"by": by, "share": 0.2, "seed": seed}}, {})
    numbers = np.concatenate([trajectory.cells for trajectory in raw.trajectories])
    table = pd.DataFrame({"cell": numbers, "split": adata.obs["split"].astype(str).to_numpy()})
    assert (table.groupby("cell")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "validation"}
    assert (adata.obs.groupby("trajectory", observed=True)["split"].first() == "train").all()


def test_lineages_cannot_be_held_out_whole() -> None:
    raw = read_arrays(*branching(120)[:2], None, branching(120)[2].rename(columns={"up": "x", "down": "y"}))
    same_group = [trajectory.__class__(**{**vars(trajectory), "group": "all"}) for trajectory in raw.trajectories]
    data = raw.__class__(**{**vars(raw), "trajectories": tuple(same_group)})
    with pytest.raises(UserError, match="the trajectories have cells in common"):
        assemble("data", data, {"validation": {"by": "trajectory", "share": 0.5}}, {})


@pytest.mark.slow(reason="fits models")
def test_weights_of_cells_are_weights_of_the_loss(tiny: dict[str, Any]) -> None:
    values, times, weights = branching()
    adata = cells_of(values, times, weights)
    model = fit_dynamics(adata, time_key="pseudotime", lineage_key="fates", **tiny)
    assert model.adata_.obs["weight"].tolist() == np.where(model.adata_.obs["time"] < 1.5, 0.5, 1.0).tolist()
    assert model.adata_.obs["group"].cat.categories.tolist() == ["up", "down"]
    arrays = SparseNODE(**tiny).fit(pd.DataFrame(values, columns=["a", "b"]), times, lineage_weights=weights)
    assert arrays.network().equals(model.network())
    masked = SparseNODE(**tiny).fit(adata, time_key="pseudotime", lineage_key="mask")
    assert not np.array_equal(masked.history_["loss"], model.history_["loss"])
    by_columns = SparseNODE(**tiny).fit(adata, time_key=["time_up", "time_down"])
    assert np.array_equal(masked.history_["loss"], by_columns.history_["loss"])


@pytest.mark.slow(reason="fits models")
def test_the_workflow_writes_the_trajectories_that_the_estimator_fits(tmp_path: Path, tiny: dict[str, Any]) -> None:
    adata = cells_of(*branching())
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    model = SparseNODE(**tiny).fit(adata, time_key="pseudotime", lineage_key="fates")
    options = {"path": str(path), "time": "pseudotime", "lineage_weights": "fates"}
    validation = {"by": "inner_blocks", "share": 0.15, "seed": 0}
    settings = {"source": "anndata", "options": options, "validation": validation}
    preprocess_dataset("cells", settings, tmp_path, tmp_path / "data.h5ad")
    written = read_trajectories(tmp_path / "data.h5ad")
    pd.testing.assert_frame_equal(written.obs, model.adata_.obs)
    np.testing.assert_array_equal(written.X, model.adata_.X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lineage_weights": "fate"}, "lineage_weights: found 'fate'; allowed: an entry of `obsm`"),
        ({"lineage_times": ["time_up", "time"]}, "lineage_times: found 'time'; allowed: a column of `obs`"),
        ({"lineage_times": ["time_up", "donor"]}, "lineage_times: the column 'donor' of `obs` .* holds 'd1'"),
        ({"lineage_weights": "fates", "lineage_times": ["time_up"]}, "has 2 lineages, and .*time_up of `obs` 1"),
    ],
)
def test_what_a_file_lacks_of_its_lineages_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    cells_of(*branching()).write_h5ad(path)
    source = make_source("anndata", {"path": str(path), "time": "pseudotime", **changes})
    (problem,) = source.check()
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem)
    with pytest.raises(UserError):
        source.load({})


def test_fates_of_lineages_have_intervals_and_are_the_same_again(tiny: dict[str, Any]) -> None:
    values, times, weights = branching()
    model = SparseNODE(**{**tiny, "seeds": 3}).fit(values, times, lineage_weights=weights)
    table = model.fates({"held": {"x2": 0.0}, "high": {"x1": "high"}})
    assert list(dict.fromkeys(table["intervention"])) == ["held", "high"]
    for _, rows in table.groupby("intervention"):
        assert set(rows["fate"]) == {"up", "down", "none"}
        assert rows[["share", "without"]].sum().tolist() == pytest.approx([1.0, 1.0])
        assert rows["change"].sum() == pytest.approx(0.0)
        assert (rows["lower"] <= rows["change"]).all()
        assert (rows["change"] <= rows["upper"]).all()
    told = table["verdict"].map({"up": 1, "down": -1, "cannot be told": 0})
    expected = np.where(table["lower"] > 0, 1, np.where(table["upper"] < 0, -1, 0))
    assert told.tolist() == expected.tolist()
    assert model.fates({"held": {"x2": 0.0}, "high": {"x1": "high"}}).equals(table)
    with pytest.raises(UserError, match="no variable is named 'x9'"):
        model.fates({"held": {"x9": 0.0}})
