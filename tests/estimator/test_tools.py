"""What `tl.fit_dynamics` writes into an AnnData is what it documents, and is there again after a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import sparsenode as sn
from rotations import rotation
from sparsenode.errors import UserError


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> anndata.AnnData:
    """Rotations with a third variable as cells, with what was learned, after a file."""
    values, times = rotation()
    values = np.concatenate((values, values[..., :1] ** 2), axis=-1).reshape(-1, 3)
    obs = pd.DataFrame({"hour": np.tile(times, 3), "line": np.repeat(["a", "b", "c"], len(times))})
    obs.index = [f"cell{number}" for number in range(len(obs))]
    adata = anndata.AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=["u", "v", "w"]))
    settings: dict[str, Any] = {"hidden": (4,), "iterations": 4, "strengths": (0.01, 0.1), "seeds": 2, "verbose": 0}
    model = sn.tl.fit_dynamics(adata, time_key="hour", trajectory_key="line", windows=None, **settings)
    adata.uns["model object"] = model.settings_["method"]
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    adata.write_h5ad(path)
    read = anndata.read_h5ad(path)
    read.uns["network"] = model.network()
    return read


@pytest.mark.slow(reason="fits models")
def test_the_network_is_in_varp_and_var(cells: anndata.AnnData) -> None:
    table = cells.uns["network"]
    for key, column in (("dynamics_effect", "effect"), ("dynamics_frequency", "selection_frequency")):
        matrix = cells.varp[key].toarray()
        expected = np.zeros((3, 3))
        source, target = (cells.var_names.get_indexer(table[name]) for name in ("source", "target"))
        expected[source, target] = table[column]
        np.testing.assert_array_equal(matrix, expected)
    frequent = cells.varp["dynamics_frequency"].toarray() >= 0.5
    assert cells.var["dynamics_targets"].tolist() == frequent.sum(axis=1).tolist()
    assert cells.var["dynamics_regulators"].tolist() == frequent.sum(axis=0).tolist()


def test_every_key_is_documented(cells: anndata.AnnData) -> None:
    documented = sn.tl.fit_dynamics.__doc__ or ""
    for name in cells.varp:
        assert f'varp["{name}"]' in documented
    for name in cells.var:
        assert f'var["{name}"]' in documented
    entries = set(re.findall(r"`(\w+)`", documented.partition('uns["dynamics"]')[2].partition("All of it")[0]))
    assert set(cells.uns["dynamics"]) <= entries
    assert json.loads(cells.uns["dynamics"]["settings"])["model"] == "fit"


def test_the_estimator_is_read_from_the_data(cells: anndata.AnnData) -> None:
    model = sn.tl.read_dynamics(cells)
    pd.testing.assert_frame_equal(model.network(), cells.uns["network"])
    assert model.strength_ == cells.uns["dynamics"]["strength"]
    assert model.path()["edges"].tolist() == cells.uns["dynamics"]["edges"].tolist()


@pytest.mark.slow(reason="fits models")
@pytest.mark.parametrize("name", ["trajectories", "network", "graph", "path"])
def test_figures_are_drawn_from_the_data(cells: anndata.AnnData, name: str) -> None:
    assert isinstance(getattr(sn.pl, name)(cells), Figure)


def test_the_network_is_written_as_a_page(cells: anndata.AnnData, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    sn.pl.network_page(cells, tmp_path / "network.html")
    text = (tmp_path / "network.html").read_text(encoding="utf-8")
    network = sn.tl.read_dynamics(cells).network()
    assert f"{len(network)} of {len(network)} edges are shown" in text


def test_what_was_not_fitted_is_named(cells: anndata.AnnData) -> None:
    with pytest.raises(UserError, match=r"no fit in uns\['velocity'\]: call .* There are: dynamics"):
        sn.pl.network(cells, key="velocity")


def test_the_key_of_trajectories_is_not_taken(cells: anndata.AnnData) -> None:
    with pytest.raises(UserError, match="key_added: found 'sparsenode'"):
        sn.tl.fit_dynamics(cells, time_key="hour", key_added="sparsenode")


@pytest.mark.slow(reason="fits two folds")
def test_tested_edges_are_written_beside_the_fit(cells: anndata.AnnData) -> None:
    adata = cells.copy()
    before = set(adata.varp)
    test = sn.tl.test_edges(adata, folds=2, units=1, draws=1, rounds=1)
    documented = sn.tl.test_edges.__doc__ or ""
    added = set(adata.varp) - before
    assert added == {f"dynamics_edges_{name}" for name in ("effect", "q", "sign", "selected")}
    assert all(f'varp["{name}"]' in documented for name in added)
    assert "conditional on the pseudotime" in adata.uns["dynamics_edges"]["summary"]
    rows = test.table.set_index(["source", "target"])["effect"]
    np.testing.assert_array_equal(adata.varp["dynamics_edges_effect"][0, 1], rows[("u", "v")])
    with pytest.raises(UserError, match="has no fit in uns"):
        sn.tl.test_edges(anndata.AnnData(np.zeros((2, 2))))
