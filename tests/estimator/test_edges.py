"""Edges of a fit: the test of all edges on its training observations."""

from __future__ import annotations

import copy

import pytest
from sklearn.exceptions import NotFittedError

from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.inference import EdgeTestSettings


@pytest.mark.slow(reason="fits two folds")
def test_a_test_of_edges_is_made_once_and_stands_beside_the_network(fitted: SparseNODE) -> None:
    model = copy.copy(fitted)
    assert "q" not in model.network()
    test = model.test_edges(folds=2, units=2, draws=1, rounds=2)
    assert test.settings == EdgeTestSettings(folds=2, units=2, draws=1, rounds=2)
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
