"""How much each edge matters: exact cases of each measure, and what ranks a fit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from rotations import rotation
from sparsenode.automatic.record import Choice
from sparsenode.data.observations import read_observations
from sparsenode.estimator.importance import NO_PENALTY, cost_importance, derivative_shares, match_members, mean_ranks
from sparsenode.estimator.model import SparseNODE
from sparsenode.inference import EdgeTest


def fit(tiny: dict[str, Any], scale: Any = 1.0, **changes: Any) -> SparseNODE:
    """A fit to rotations without damping, in other units."""
    times = np.linspace(0.0, 6.0, 40)
    angles = np.arange(3)[:, None] + times
    values = np.stack((np.cos(angles), np.sin(angles)), axis=-1) * scale
    return SparseNODE(**{**tiny, **changes}).fit(values, times)


@pytest.mark.slow(reason="matches 1,000 iterations")
def test_derivatives_of_a_rotation_are_those_of_its_matrix(tiny: dict[str, Any]) -> None:
    """Each coordinate's rate is the other one: deviations are alike, and the size of the derivative is 1."""
    model = fit(tiny, hidden=(8,))
    matched = match_members(model.adata_, model.settings_, range(2), iterations=1000, method=NO_PENALTY)
    derivatives = derivative_shares(matched, read_observations(model.adata_))
    np.testing.assert_allclose(derivatives, 1.0 - np.eye(2), atol=0.2)


@pytest.mark.slow(reason="fits two models")
def test_derivatives_are_the_same_in_any_units(tiny: dict[str, Any]) -> None:
    tables = [fit(tiny, scale, ranking="derivatives").importances_.ranked for scale in (1.0, np.array([1e3, 1e-2]))]
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-2)


def make_test(effect: list[float], screened: list[float]) -> EdgeTest:
    """A test of three variables: effects of the pairs and no effect on itself but of the first."""
    names = ["a", "b", "c"]
    pairs = [(source, target) for source in names for target in names if source != target]
    table = pd.DataFrame(pairs, columns=["source", "target"]).assign(effect=effect, screened=screened, sign=1)
    itself = pd.DataFrame({"source": names, "target": names, "effect": [0.5, 0.0, 0.0]})
    return cast(EdgeTest, SimpleNamespace(table=table, self_effects=itself, reason=""))


def test_costs_are_those_of_the_test_and_none_where_nothing_was_left_out() -> None:
    test = make_test([1.0, 2.0, 3.0, -4.0, 5.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.2, 0.0])
    costs = cost_importance(test, ["a", "b", "c"])
    np.testing.assert_array_equal(costs, [[0.5, 1.0, 2.0], [3.0, 0.0, -4.0], [5.0, np.nan, 0.0]])


def test_a_mean_rank_takes_what_is_missing_as_least() -> None:
    first = np.array([[1.0, 2.0], [3.0, 4.0]])
    second = np.array([[-1.0, np.nan], [0.0, 5.0]])
    np.testing.assert_allclose(mean_ranks([first, second]), np.array([[1.5, 1.5], [3.0, 4.0]]) / 4)


@pytest.mark.slow(reason="fits a model")
@pytest.mark.parametrize("ranking", ["fitted", "paths", "derivatives", "ranks", "costs"])
def test_the_network_is_in_the_order_of_what_ranks(
    tiny: dict[str, Any], ranking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, times = rotation()
    values = np.concatenate((values, values[..., :1] * values[..., 1:] + 0.3 * values[..., :1]), axis=-1)
    model = SparseNODE(**{**tiny, "ranking": ranking}).fit(values, times)
    test = make_test([1.0, -2.0, 3.0, -4.0, 5.0, 0.0], [1.0] * 5 + [0.0])
    for table in (test.table, test.self_effects):
        table[["source", "target"]] = table[["source", "target"]].replace({"a": "x1", "b": "x2", "c": "x3"})
    monkeypatch.setattr(model, "test_edges", lambda: test)
    assert model.importances_.ranking == Choice("ranking", ranking, "set by hand")
    everything = model.importance()
    assert len(everything) == 6
    assert everything["importance"].dropna().is_monotonic_decreasing
    if ranking == "costs":
        assert everything["importance"].tolist()[:5] == [5.0, 3.0, 1.0, -2.0, -4.0]
        assert np.isnan(everything["importance"].iloc[5])  # of the pair that no screen let in
    network = model.network()
    both = network.merge(everything, on=["source", "target"])
    assert both["rank_x"].tolist() == list(range(1, len(network) + 1))
    assert both["rank_y"].is_monotonic_increasing
    np.testing.assert_allclose(both["effect"].abs(), both["importance"].clip(lower=0).fillna(0))
    more = {"derivatives": {"derivatives"}, "ranks": {"derivatives", "costs"}, "costs": {"costs"}}
    assert set(everything.columns[4:]) == {"fitted", "paths"} | more.get(ranking, set())
    assert len(model.importance(self_loops=True)) == 9
    assert f"ranked by {ranking}: set by hand" in model.summary()


@pytest.mark.slow(reason="fits a model")
def test_what_cannot_be_had_gives_way_to_the_next(tiny: dict[str, Any]) -> None:
    values, times = rotation(count=12, observations=4)
    model = SparseNODE(**{**tiny, "ranking": "ranks"}).fit(values, times)
    ranking = model.importances_.ranking
    assert ranking.value == "fitted"
    assert ranking.reason.startswith("no derivatives: matching takes 5 training observations")


@pytest.mark.slow(reason="fits two models")
def test_a_fit_ranks_by_what_was_chosen_from_the_data(tiny: dict[str, Any]) -> None:
    model = fit(tiny, ranking="auto")
    (chosen,) = [choice for choice in model.settings_["automatic"]["choices"] if choice[0] == "ranking"]
    assert tuple(chosen[1:]) == model.importances_.ranking[1:]
    assert f"ranked by {chosen[1]}: {chosen[2]}" in model.summary()
    assert fit(tiny, ranking="auto", model="default", hidden=(4,)).importances_.ranking.value == "paths"
