import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.contract import prior_networks, read_trajectories, write_trajectories
from sparsenode.data.preprocess import assemble
from sparsenode.data.priors import add_priors, corrupt
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def random_network(seed: int, size: int = 30) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((size, size)) * (generator.random((size, size)) < 0.1)


@given(network=st.integers(0, 50), seed=st.integers(0, 50), share=st.floats(0, 1))
def test_exactly_a_share_of_the_edges_is_wrong(network: int, seed: int, share: float) -> None:
    before = random_network(network)
    after = corrupt(before, share, seed)
    edges, moved = int((before != 0).sum()), round(share * (before != 0).sum())
    assert (after != 0).sum() == edges
    kept = (before != 0) & (after != 0)
    assert kept.sum() == edges - moved
    np.testing.assert_array_equal(after[kept], before[kept])
    np.testing.assert_array_equal(np.sort(after, axis=None), np.sort(before, axis=None))
    assert not ((after != 0) & (before == 0)).diagonal().any()


def test_without_corruption_it_is_the_network_whatever_the_seed() -> None:
    before = random_network(3)
    for seed in (0, 7):
        after = corrupt(before, 0.0, seed)
        np.testing.assert_array_equal(after, before)
        assert not np.shares_memory(after, before)


def test_seeds_repeat_and_differ_and_the_input_stays() -> None:
    before = random_network(4)
    copy = before.copy()
    one, again, other = (corrupt(before, 0.4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(before, copy)
    np.testing.assert_array_equal(one, again)
    assert ((one != 0) != (other != 0)).any()


def test_a_larger_share_moves_what_a_smaller_one_does_to_the_same_places() -> None:
    before = random_network(5)
    some, more = (corrupt(before, share, 3) for share in (0.2, 0.4))
    wrong = (some != 0) & (before == 0)
    np.testing.assert_array_equal(more[wrong], some[wrong])
    assert not more[(before != 0) & (some == 0)].any()


def test_pairs_of_which_nothing_is_told_are_left_as_they_are() -> None:
    before = random_network(6)
    told = (np.random.default_rng(0).random(before.shape) < 0.3) | np.eye(len(before), dtype=bool)
    after = corrupt(before, 0.5, 1, told=told)
    np.testing.assert_array_equal(after[~told], before[~told])
    edges = int(((before != 0) & told).sum())
    assert ((before != 0) & (after == 0)).sum() == round(0.5 * edges)
    assert ((before == 0) & (after != 0)).sum() == round(0.5 * edges)
    np.testing.assert_array_equal(corrupt(before, 0.5, 1, told=np.ones_like(told)), corrupt(before, 0.5, 1))
    with pytest.raises(UserError, match="only 0 known pairs have no edge"):
        corrupt(before, 0.5, 1, told=before != 0)


def test_edges_go_to_every_empty_pair_alike() -> None:
    before = np.zeros((4, 4))
    before[0, 1] = before[1, 1] = 1.0
    places = np.zeros((4, 4))
    repeats = 2200
    for seed in range(repeats):
        places += (corrupt(before, 0.5, seed) != 0) & (before == 0)
    assert places.sum() == repeats
    empty = (before == 0) & ~np.eye(4, dtype=bool)
    assert not places[~empty].any()
    assert np.abs(places[empty] - repeats / empty.sum()).max() < 5 * np.sqrt(repeats / empty.sum())


def test_too_few_empty_pairs() -> None:
    with pytest.raises(UserError, match=r"dataset d, priors\.p: 6 of 6 edges are to be moved, but only 0 known pairs"):
        corrupt(1.0 - np.eye(3), 1.0, 0, where="dataset d, priors.p")
    np.testing.assert_array_equal(corrupt(1.0 - np.eye(3), 0.0, 0), 1.0 - np.eye(3))


def test_priors_are_made_of_the_truth_and_of_priors_of_the_source(raw: RawTrajectories) -> None:
    known = np.array([[True, True, False], [False] * 3, [False, True, False]])
    raw = dataclasses.replace(raw, priors_known={"guess": known})
    wanted = {
        "perfect": {"of": "truth"},
        "half": {"of": "truth", "corruption": 0.5, "seed": 4},
        "worse": {"of": "guess", "corruption": 0.34, "seed": 1},
    }
    found = add_priors("data", raw, wanted)
    assert list(found.priors) == ["guess", "perfect", "half", "worse"]
    assert raw.truth is not None
    np.testing.assert_array_equal(found.priors["perfect"], raw.truth)
    np.testing.assert_array_equal(found.priors["half"], corrupt(raw.truth, 0.5, 4))
    np.testing.assert_array_equal(found.priors_known["perfect"], raw.truth_known | (raw.truth != 0))
    moved = (found.priors["worse"] != 0) & (raw.priors["guess"] == 0)
    assert moved.sum() == 1
    np.testing.assert_array_equal(found.priors_known["worse"], known | (found.priors["worse"] != 0))
    for names in (["worse"], ["half", "worse", "perfect"]):
        others = add_priors("data", raw, {name: wanted[name] for name in names})
        np.testing.assert_array_equal(others.priors["worse"], found.priors["worse"])


def test_the_whole_way(raw: RawTrajectories, tmp_path: Path) -> None:
    settings = {"priors": {"half": {"of": "truth", "corruption": 0.5, "seed": 4}}}
    write_trajectories(assemble("data", raw, settings, {}), tmp_path / "data.h5ad")
    found = read_trajectories(tmp_path / "data.h5ad")
    assert raw.truth is not None
    np.testing.assert_array_equal(found.varp["prior_half"].toarray(), corrupt(raw.truth, 0.5, 4))
    np.testing.assert_array_equal(found.varp["prior_guess"].toarray(), raw.priors["guess"])
    assert sorted(prior_networks(found)) == ["guess", "half"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"p": {"of": "motif"}},
            r"priors\.p\.of: found 'motif', which is no prior .*; allowed: truth, guess",
        ),
        ({"guess": {"of": "truth"}}, r"priors\.guess: the source has a prior of that name"),
    ],
)
def test_what_no_prior_can_be_made_of(raw: RawTrajectories, wanted: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        add_priors("data", raw, wanted)


def test_without_a_truth(raw: RawTrajectories) -> None:
    raw = dataclasses.replace(raw, truth=None, truth_known=None)
    with pytest.raises(UserError, match=r"dataset data, priors\.p\.of: found truth, but .*allowed: guess$"):
        add_priors("data", raw, {"p": {"of": "truth"}})
    raw = dataclasses.replace(raw, priors={})
    with pytest.raises(UserError, match=r"allowed: none, the source has no prior"):
        add_priors("data", raw, {"p": {"of": "guess"}})
