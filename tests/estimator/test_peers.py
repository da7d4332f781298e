"""A fit is beside the dense model and other people's methods, with a true network and without one."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sparsenode
from rotations import rotation
from sparsenode.data.contract import write_trajectories
from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.estimator.peers import ask_peers, consensus, peer_options
from sparsenode.estimator.settings import FitSettings
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.evaluation.peers import read_peer
from sparsenode.evaluation.tables import NO_SEED
from sparsenode.peers.inference import infer_peer
from sparsenode.training.job import train_members
from sparsenode.typed import read_settings

QUICK = {"lasso": {"time_limit": None, "strengths": 5}, "extra_trees": {"time_limit": None, "trees": 10}}
METHODS = ["grouplasso", "dense", "peer:lasso", "peer:extra_trees", "consensus"]


def settings(**values: Any) -> FitSettings:
    return read_settings(FitSettings, values, "SparseNODE")


@pytest.fixture(scope="module")
def compared() -> SparseNODE:
    """Fitted to three variables that rotate and decay, with peers and their consensus."""
    values, times = rotation()
    values = np.concatenate((values, values[..., :1] * values[..., 1:] + 0.3 * values[..., :1]), axis=-1)
    quick = {"hidden": (4,), "iterations": 6, "strengths": (0.01, 0.1), "seeds": 2, "windows": None, "time_scale": 1.0}
    return SparseNODE(**quick, peers=QUICK, consensus=True, verbose=0).fit(values, times)


@pytest.mark.slow(reason="fits models")
def test_rankings_have_all_methods_with_the_columns_of_the_network(compared: SparseNODE) -> None:
    rankings = compared.rankings()
    assert rankings["method"].drop_duplicates().tolist() == METHODS
    mine = rankings[rankings["method"] == "grouplasso"].drop(columns="method").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, compared.network())
    for name in METHODS:
        table = compared.network(method=name)
        assert table["rank"].tolist() == list(range(1, len(table) + 1))
        assert (table["source"] != table["target"]).all()
        assert table["effect"].abs().is_monotonic_decreasing
    assert compared.network(method="lasso").equals(compared.network(method="peer:lasso"))


def test_peers_are_asked_as_by_the_workflow(compared: SparseNODE, tmp_path: Path) -> None:
    data = tmp_path / "data.h5ad"
    write_trajectories(compared.adata_, data)
    for name, options in QUICK.items():
        infer_peer(data, name, options, 1, 1, tmp_path / f"{name}.parquet")
        theirs = read_peer(tmp_path / f"{name}.parquet", list(compared.feature_names_in_))
        (ours,) = [peer for peer in compared.peers_.scores if peer.name == name]
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.signs, theirs.signs)


@pytest.mark.slow(reason="fits models")
def test_the_dense_model_is_the_one_that_the_workflow_trains(compared: SparseNODE, tmp_path: Path) -> None:
    assert compared.dense_ is not None
    data, frozen, output = (tmp_path / name for name in ("data.h5ad", "settings.json", "model.safetensors"))
    write_trajectories(compared.adata_, data)
    frozen.write_text(json.dumps(compared.dense_.settings))
    train_members(data, frozen, range(2), output, tmp_path / "history.parquet", device="cpu")
    tables = {name: tmp_path / f"{name}.parquet" for name in ("metrics", "forecasts")}
    folders = {name: tmp_path / name for name in ("networks", "selection")}
    evaluate_models(data=data, models=[output], settings=[frozen], **tables, **folders)
    measured = pd.read_parquet(tables["metrics"])
    assert compared.dense_evaluation_ is not None
    ours = compared.dense_evaluation_.metrics
    same = ~measured["metric"].isin(["seconds", "memory_bytes"])
    np.testing.assert_array_equal(measured.loc[same, "value"], ours["value"][same.to_numpy()])
    assert compared.dense_.settings["model_settings"] == compared.settings_["model_settings"]


def test_a_consensus_is_the_mean_rank() -> None:
    def table(*shares: tuple[str, str, float, int]) -> pd.DataFrame:
        columns = pd.DataFrame(shares, columns=["source", "target", "share", "sign"])
        return columns.assign(weight=columns["share"], selection_frequency=1.0)

    first = table(("a", "b", 0.9, 1), ("b", "a", 0.5, -1), ("a", "a", 3.0, 1))
    second = table(("b", "a", 0.8, -1), ("c", "a", 0.2, 1))
    scores = consensus([first, second], ["a", "b", "c"])
    # Of six pairs: in the first 1, 2 and four that share ranks 3 to 6; in the second likewise.
    ranks = {("a", "b"): (1 + 4.5) / 2, ("b", "a"): (2 + 1) / 2, ("c", "a"): (4.5 + 2) / 2, ("a", "c"): 4.5}
    for (source, target), rank in ranks.items():
        at = "abc".index(source), "abc".index(target)
        assert scores.scores[0][at] == pytest.approx(1 - (rank - 1) / 5)
    assert scores.signs[0].tolist() == [[1, 1, 0], [-1, 0, 0], [1, 0, 0]]


def test_a_consensus_is_over_the_fit_and_its_peers(compared: SparseNODE) -> None:
    table = compared.network(method="consensus")
    pairs = [(source, target) for source in ("x1", "x2", "x3") for target in ("x1", "x2", "x3") if source != target]
    ranks = []
    for name in ("grouplasso", "peer:lasso", "peer:extra_trees"):
        edges = compared.network(method=name).set_index(["source", "target"])["effect"].abs()
        ranks.append((-edges.reindex(pairs).fillna(0.0)).rank().to_numpy())
    expected = pd.Series(np.mean(ranks, axis=0), index=pd.MultiIndex.from_tuples(pairs))
    mean_ranks = 1 + 5 * (1 - table.set_index(["source", "target"])["weight"])
    pd.testing.assert_series_equal(mean_ranks, expected.reindex(mean_ranks.index), check_names=False)


def test_usual_peers_are_asked_of_few_variables_only() -> None:
    assert list(peer_options(settings(), 199)) == ["lasso", "extra_trees"]
    assert peer_options(settings(), 200) == {}
    assert peer_options(settings(peers=["sindy"]), 200) == {"sindy": {}}
    assert peer_options(settings(peers=[]), 3) == {}


@pytest.mark.parametrize(
    ("peers", "message"),
    [
        (["genie4"], 'peer: found "genie4"'),
        ({"lasso": {"fold": 3}}, "options of lasso.*fold"),
        ("lasso", "SparseNODE.peers"),
    ],
)
def test_peers_that_there_are_not_are_named_before_training(
    peers: Any, message: str, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsenode.estimator.model._train", None)
    with pytest.raises(UserError, match=message):
        SparseNODE(**tiny, peers=peers).fit(*rotation())


def test_a_method_that_there_is_not_is_named(compared: SparseNODE) -> None:
    with pytest.raises(UserError, match=r"no network by 'laso'.*peer:lasso.*`consensus=True`"):
        compared.network(method="laso")


@pytest.mark.slow(reason="fits models")
def test_peers_without_scores_are_told(tiny: dict[str, Any]) -> None:
    values, times = rotation(3, 5)
    model = SparseNODE(**tiny).fit(values, times)
    assert model.peers_.scores == ()
    assert "no network by lasso: derivatives take" in model.summary()
    with pytest.raises(UserError, match="Without scores are lasso: derivatives take"):
        model.network(method="lasso")
    with pytest.raises(UserError, match="derivatives take"):
        ask_peers(model.adata_, settings(peers=["lasso"]), 1, verbose=False)


def test_a_peer_that_takes_too_long_is_told(compared: SparseNODE) -> None:
    asked = settings(peers={"extra_trees": {"time_limit": 1e-3}})
    assert ask_peers(compared.adata_, asked, 1, verbose=False).reasons == {"extra_trees": "not finished within 0.001 s"}


def test_a_summary_is_beside_the_dense_model_and_peers(compared: SparseNODE) -> None:
    text = compared.summary()
    assert "; dense model " in text
    line = next(line for line in text.splitlines() if "strongest by others" in line)
    edges = {name: table[["source", "target"]].head(20) for name, table in compared.rankings().groupby("method")}
    count = len(edges["grouplasso"])
    mine = set(edges["grouplasso"].itertuples(index=False, name=None))
    for name in METHODS[1:]:
        theirs = set(edges[name].head(count).itertuples(index=False, name=None))
        assert f"{name} {len(mine & theirs)}" in line


@pytest.mark.slow(reason="fits models")
def test_networks_are_scored_beside_a_true_one(tiny: dict[str, Any], compared: SparseNODE) -> None:
    data = sparsenode.load_dataset("krumsiek11")
    model = SparseNODE(**{**tiny, "iterations": 1, "time_scale": 30.0}, peers={"lasso": QUICK["lasso"]}).fit(data)
    assert model.importances_.ranking.value == "paths"
    scores = model.scores().set_index("method")
    metrics = model.evaluation_.metrics
    rows = metrics[(metrics["metric"] == "auprc") & (metrics["seed"] == NO_SEED) & (metrics["estimator"] == "paths")]
    mine = rows.loc[rows["strength"] == model.strength_, "value"].item()
    assert scores.loc["grouplasso", "auprc"] == pytest.approx(mine)
    assert scores["density"].nunique() == 1
    assert "known" in model.rankings()
    with pytest.raises(UserError, match="no true network"):
        compared.scores()


@pytest.mark.slow(reason="fits models")
def test_all_is_there_again_after_a_file(compared: SparseNODE, tmp_path: Path) -> None:
    compared.save(tmp_path / "model.sparsenode")
    pd.testing.assert_frame_equal(sparsenode.load(tmp_path / "model.sparsenode").rankings(), compared.rankings())


@pytest.mark.slow(reason="fits models")
def test_a_model_without_a_regularizer_has_no_dense_one_beside_it(tiny: dict[str, Any]) -> None:
    del tiny["strengths"]
    model = SparseNODE(**tiny, regularizer="none", peers=()).fit(*rotation())
    assert model.dense_ is None
    assert model.rankings()["method"].unique().tolist() == ["none"]
    assert "by others" not in model.summary()


def test_ctrl_c_in_the_dense_model_leaves_the_fit(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def follow(title: str) -> Any:
        def report(state: Any) -> None:
            if "dense" in title and state.iteration == 0:
                signal.raise_signal(signal.SIGINT)

        yield report

    monkeypatch.setattr("sparsenode.progress.follow_training", follow)
    with pytest.warns(UserWarning, match="without the dense model beside it"):
        model = SparseNODE(**{**tiny, "verbose": 1}, peers=()).fit(*rotation())
    assert model.dense_ is None
    assert {member.status for member in model.ensemble_.members} == {"finished"}
