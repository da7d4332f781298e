"""Edges of a fit: the test of all edges on its training observations."""

from __future__ import annotations

import copy
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from edge_tests import edge_test
from rotations import rotation
from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.inference import EdgeTestSettings


@pytest.mark.slow(reason="fits two folds")
def test_a_test_of_edges_is_made_once_and_stands_beside_the_network(fitted: SparseNODE) -> None:
    model = copy.copy(fitted)
    assert "q" not in model.network()
    test = model.test_edges(folds=2, units=2, draws=1, rounds=2)
    window = test.settings.window
    assert window is not None  # chosen from the data
    assert test.settings == EdgeTestSettings(folds=2, units=2, draws=1, rounds=2, window=window)
    assert model.edges(0.2).equals(test.edges(0.2))
    assert model.edge_test_ is test
    network = model.network().set_index(["source", "target"])
    costs = test.table.set_index(["source", "target"])["effect"]
    assert network["cost"].equals(costs.reindex(network.index).rename("cost"))
    assert {"p", "q", "verdict"} <= set(network)
    with pytest.raises(UserError, match="fdr"):
        model.edges(0.0)


def test_a_test_of_edges_takes_a_fit() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        SparseNODE().edges()


@pytest.fixture
def tested(fitted: SparseNODE) -> SparseNODE:
    """A fit whose edges were tested, with one of both edges selected."""
    model = copy.copy(fitted)
    model.edge_test_ = edge_test(["x1", "x2"], [("x1", "x2")])
    return model


def test_a_sparse_model_has_the_selected_edges_and_no_influence_of_others(tested: SparseNODE) -> None:
    sparse = tested.refit_edges(iterations=8)
    states = np.array([[0.3, 0.5], [0.3, -2.0], [7.0, 0.5]])
    rates = sparse.rates(states)
    assert rates[0, 0] == rates[1, 0]  # x2 has no influence on x1, to the last bit
    assert rates[0, 1] != rates[2, 1]
    network = sparse.network()
    assert network[["source", "target"]].to_numpy().tolist() == [["x1", "x2"]]
    assert network["selected"].tolist() == [True]
    effect = sparse.knock_out("x2")
    assert effect["effect"].tolist() == [0.0]
    assert effect["verdict"].tolist() == ["cannot be told"]
    methods = set(sparse.rankings()["method"])
    assert {"masked", "dense"} <= methods  # the dense model is beside it
    assert sparse.dense_ is tested.dense_
    assert sparse.settings_["model_settings"]["iterations"] == 8
    assert "test of edges: 1 of 2 edges are needed" in sparse.summary()
    assert tested.settings_["method"] != "masked"


def test_masked_pairs_of_a_sparse_model_have_no_importance(tested: SparseNODE) -> None:
    """Members that are matched for a ranking have no mask: what ranked the fit does not rank the sparse model."""
    tested.ranking = "derivatives"
    sparse = tested.refit_edges(iterations=4, seeds=1)
    importance = sparse.importance().set_index(["source", "target"])["importance"]
    assert importance[("x2", "x1")] == 0.0
    assert importance[("x1", "x2")] > 0.0
    assert "of validation data, by which its edges were chosen, have an error" in sparse.summary()
    assert "were held out" not in sparse.summary()


def test_another_test_of_edges_ranks_again(fitted: SparseNODE, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.copy(fitted)
    model.ranking = "costs"
    tests = iter([edge_test(["x1", "x2"], [("x1", "x2")]), edge_test(["x1", "x2"], [("x2", "x1")])])
    monkeypatch.setattr("sparsenode.inference.test_edges", lambda *_, **__: next(tests), raising=False)
    for first, second in (("x1", "x2"), ("x2", "x1")):
        model.test_edges()
        assert model.importance()[["source", "target"]].to_numpy().tolist()[0] == [first, second]
        assert model.rankings().query("method == 'grouplasso'")["source"].iloc[0] == first


def test_a_sparse_model_is_kept_by_a_file(tested: SparseNODE, tmp_path: Path) -> None:
    sparse = tested.refit_edges([("x2", "x1")], iterations=4, seeds=1)
    sparse.save(tmp_path / "sparse.model")
    again = SparseNODE.load(tmp_path / "sparse.model")
    states = np.array([[0.3, 0.5], [-1.0, 0.5]])
    np.testing.assert_array_equal(again.rates(states), sparse.rates(states))
    assert again.network()[["source", "target"]].to_numpy().tolist() == [["x2", "x1"]]


@pytest.mark.parametrize(
    ("edges", "settings", "message"),
    [
        ([("x1", "x9")], {}, "refit_edges: there is no variable 'x9'"),
        (["x1"], {}, "refit_edges: found 'x1'; allowed: pairs"),
        (pd.DataFrame({"source": ["x1"]}), {}, "refit_edges: the table of edges has no column 'target'"),
        ([], {"hidden": (3,)}, "refit_edges: unknown setting.*hidden"),
    ],
)
def test_edges_that_cannot_be_refitted_are_refused(fitted: SparseNODE, edges, settings, message) -> None:
    with pytest.raises(UserError, match=message):
        fitted.refit_edges(edges, **settings)


def test_a_joint_network_cannot_be_refitted(tiny: dict) -> None:
    model = SparseNODE(**tiny, architecture="joint", regularizer="none", peers=()).fit(*rotation())
    with pytest.raises(UserError, match="has the architecture 'joint', in which no edge can be masked by itself"):
        model.refit_edges([("x1", "x2")])


def test_tested_edges_are_written_into_varp_and_files(tested: SparseNODE, tmp_path: Path) -> None:
    adata = anndata.AnnData(np.zeros((2, 3)), var=pd.DataFrame(index=["other", "x2", "x1"]))
    tested.annotate(adata)
    rows = tested.edge_test_.table.set_index(["source", "target"])
    for name in ("effect", "q", "sign"):
        assert adata.varp[f"edges_{name}"][2, 1] == rows.loc[("x1", "x2"), name]
    assert np.isnan(adata.varp["edges_q"][0]).all()
    selected = adata.varp["edges_selected"]
    assert np.argwhere(selected & ~np.eye(3, dtype=bool)).tolist() == [[2, 1]]
    assert "conditional on the pseudotime" in adata.uns["edges"]["summary"]
    adata.write_h5ad(tmp_path / "edges.h5ad")
    again = anndata.read_h5ad(tmp_path / "edges.h5ad")
    np.testing.assert_array_equal(again.varp["edges_effect"], adata.varp["edges_effect"])
    with pytest.raises(UserError, match="names the feature"):
        tested.annotate(anndata.AnnData(np.zeros((1, 1)), var=pd.DataFrame(index=["x1"])))
    tested.write_edges(tmp_path / "edges")
    assert len(pd.read_csv(tmp_path / "edges" / "network.csv")) == 2


def test_tested_edges_have_a_figure(tested: SparseNODE, fitted: SparseNODE) -> None:
    assert "1 of 2 edges are needed" in tested.plot.edges().get_suptitle()
    with pytest.raises(UserError, match="were not tested; call test_edges"):
        fitted.plot.edges()
