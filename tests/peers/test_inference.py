import numpy as np
import pandas as pd
import pytest

from sparsenode.data.contract import write_trajectories
from sparsenode.errors import UserError
from sparsenode.peers import Peer
from sparsenode.peers.inference import infer_peer, score_pairs

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
    pairs = [(source, target) for source in FEATURES for target in FEATURES if source != target]
    assert list(zip(table["source"], table["target"], strict=True)) == pairs
    assert set(table["seed"]) == {0}  # asked once: it is not random
    off = ~np.eye(3, dtype=bool)
    found = np.zeros((3, 3))
    found[off] = table["score"] * table["sign"]
    assert np.sign(found[np.abs(system) * off > 0]).tolist() == np.sign(system[np.abs(system) * off > 0]).tolist()
    edges = (np.abs(system) > 0)[off]
    assert table["score"][edges].min() > 5 * table["score"][~edges].max()


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_a_random_peer_is_asked_with_each_seed(data, tmp_path):
    for seeds in (1, 2):
        infer_peer(data, "extra_trees", {"trees": 3}, seeds, 1, tmp_path / f"{seeds}.parquet")
    one, two = (pd.read_parquet(tmp_path / f"{seeds}.parquet") for seeds in (1, 2))
    assert two["seed"].value_counts().to_dict() == {0: 6, 1: 6}
    pd.testing.assert_frame_equal(two[two["seed"] == 0], one)
    assert not np.array_equal(two["score"][:6], two["score"][6:])


def test_bad_input_is_refused(data, tmp_path):
    output = tmp_path / "out.parquet"
    with pytest.raises(UserError, match=r"peer: found \"genie\"; allowed: correlation, extra_trees"):
        infer_peer(data, "genie", {}, 1, 1, output)
    with pytest.raises(UserError, match=r"^options of sindy\.library: found \"cubic\"; allowed: auto, quadr"):
        infer_peer(data, "sindy", {"library": "cubic"}, 1, 1, output)
    with pytest.raises(UserError, match=r"^options of correlation: unknown key: found \"off\" .*; allowed: of"):
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
        score_pairs(Broken(), exact, FEATURES, 1)
