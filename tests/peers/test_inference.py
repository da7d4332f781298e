import time

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.contract import write_trajectories
from sparsenode.errors import UserError
from sparsenode.peers import Peer, make_peer
from sparsenode.peers.derivatives import Samples
from sparsenode.peers.inference import infer_peer, score_pairs, unfinished_reason

FEATURES = ["x0", "x1", "x2"]


@pytest.fixture
def data(linear, tmp_path):
    """The file of the linear system."""
    write_trajectories(linear, tmp_path / "toy.h5ad")
    return tmp_path / "toy.h5ad"


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_a_file_of_scores_of_all_pairs(data, system, tmp_path):
    output = tmp_path / "peers" / "sindy.parquet"
    infer_peer(data, "sindy", {"library": "linear"}, 3, 1, output)
    table = pd.read_parquet(output)
    assert list(table.columns) == ["seed", "source", "target", "score", "sign"]
    assert [str(table[name].dtype) for name in ("seed", "score", "sign")] == ["int64", "float64", "int64"]
    pairs = [(source, target) for source in FEATURES for target in FEATURES]  # each with itself too
    assert list(zip(table["source"], table["target"], strict=True)) == pairs
    assert set(table["seed"]) == {0}  # asked once: it is not random
    found = (table["score"] * table["sign"]).to_numpy().reshape(3, 3)
    edges = system != 0
    assert np.sign(found[edges]).tolist() == np.sign(system[edges]).tolist()
    assert np.abs(found[edges]).min() > 5 * np.abs(found[~edges]).max()
    assert unfinished_reason(output) == ""


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_a_random_peer_is_asked_with_each_seed(data, tmp_path):
    for seeds in (1, 2):
        infer_peer(data, "extra_trees", {"trees": 3, "time_limit": None}, seeds, 1, tmp_path / f"{seeds}.parquet")
    one, two = (pd.read_parquet(tmp_path / f"{seeds}.parquet") for seeds in (1, 2))
    assert two["seed"].value_counts().to_dict() == {0: 9, 1: 9}
    pd.testing.assert_frame_equal(two[two["seed"] == 0], one)
    assert not np.array_equal(two["score"][:9], two["score"][9:])


def test_bad_input_is_refused(data, tmp_path):
    output = tmp_path / "out.parquet"
    with pytest.raises(UserError, match=r"peer: found \"genie\".*; allowed: correlation, dyngenie3, extra_trees"):
        infer_peer(data, "genie", {}, 1, 1, output)
    with pytest.raises(UserError, match=r"^options of sindy\.library: found \"quartic\"; allowed: auto, cubic, quadr"):
        infer_peer(data, "sindy", {"library": "quartic"}, 1, 1, output)
    with pytest.raises(UserError, match=r"^options of correlation: unknown key: found \"off\" .*; allowed: .*of"):
        infer_peer(data, "correlation", {"off": "states"}, 1, 1, output)
    with pytest.raises(UserError, match="is missing"):
        infer_peer(tmp_path / "none.h5ad", "sindy", {}, 1, 1, tmp_path / "out.parquet")
    assert not output.exists()


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_scores_that_are_none_are_named(exact, bad):
    scores = np.ones((3, 3))
    scores[0, 0], scores[2, 1] = np.nan, bad  # the diagonal is not looked at

    class Broken(Peer):
        def infer(self, samples):  # noqa: ARG002
            return scores, np.zeros((3, 3))

    with pytest.raises(UserError, match=rf"test_inference gives 1 scores .* the first {bad} for x2 -> x1 \(seed 0\)"):
        score_pairs(Broken(time_limit=None), exact, FEATURES, 1)


def test_the_diagonal_is_scored_where_the_peer_has_self_effects(exact):
    states = score_pairs(make_peer("lasso", {"of": "states", "time_limit": None}), exact, FEATURES, 1)
    rates = score_pairs(make_peer("lasso", {"time_limit": None}), exact, FEATURES, 1)
    assert (states["source"] != states["target"]).all()
    own = rates[rates["source"] == rates["target"]]
    assert own["target"].tolist() == FEATURES
    assert (own["score"] > 0.1).all()
    assert (own["sign"] == -1).all()


@pytest.mark.slow(reason="starts processes of peers")
def test_one_variable_is_scored_by_peers_with_self_effects_only(caplog):
    states = np.random.default_rng(0).normal(size=(40, 1))
    samples = Samples(states, states, None, -states, np.zeros(40, int))
    table = score_pairs(make_peer("sindy", {"time_limit": None}), samples, ["x"], 1)
    assert table[["source", "target", "sign"]].to_numpy().tolist() == [["x", "x", -1]]
    assert not caplog.records
    assert not len(score_pairs(make_peer("correlation", {}), samples, ["x"], 1))
    assert "one variable makes no pair" in caplog.text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (np.linalg.LinAlgError("SVD did not converge"), "LinAlgError: SVD did not converge"),
        (RuntimeError(), "RuntimeError: no reason is said"),
    ],
)
def test_an_error_inside_a_package_is_one_message(exact, error, message):
    class Failing(Peer):
        def infer(self, samples):  # noqa: ARG002
            raise error

    with pytest.raises(UserError, match=rf"^the peer test_inference ended with an error of its package: {message} \("):
        score_pairs(Failing(time_limit=None), exact, FEATURES, 1)


def test_a_peer_that_takes_too_long_leaves_a_file_that_says_so(data, tmp_path, caplog):
    output = tmp_path / "lassonet.parquet"
    started = time.perf_counter()
    infer_peer(data, "lassonet", {"time_limit": 0.25, "iterations": 10**9}, 1, 1, output)
    assert time.perf_counter() - started < 20
    assert "lassonet: not finished within 0.25 s" in caplog.text
    assert unfinished_reason(output) == "not finished within 0.25 s"
    assert list(pd.read_parquet(output).columns) == ["seed", "source", "target", "score", "sign"]
    assert not len(pd.read_parquet(output))
