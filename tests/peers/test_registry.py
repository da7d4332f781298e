import inspect
import subprocess
import sys

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.peers import RandomPeer, get_peer, make_peer, peer_names
from sparsenode.peers.derivatives import Samples

NAMES = (
    "correlation", "dyngenie3", "extra_trees", "granger", "lasso", "lassonet", "pcmci", "quadratic_lasso", "sindy"
)  # fmt: skip
ON_OBSERVED = ("dyngenie3", "granger", "pcmci")  # which take their own differences or lags
QUICK = {
    "dyngenie3": {"trees": 5},
    "extra_trees": {"trees": 5},
    "lassonet": {"hidden": 3, "iterations": 20, "path_iterations": 10},
}


def quick(name, **options):
    """A peer with its default options, quick ones where it is slow."""
    return make_peer(name, QUICK.get(name, {}) | options)


def test_all_peers_are_found_by_name():
    assert set(NAMES) <= set(peer_names())
    assert list(peer_names()) == sorted(peer_names())


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UserError, match=r"peer: found \"genie\".*; allowed: .*extra_trees"):
        get_peer("genie")


@pytest.mark.parametrize("name", peer_names())
def test_a_peer_is_complete(name):
    peer = get_peer(name)
    assert peer.name == name
    assert peer.summary
    assert peer().model_dump().keys() == peer.model_fields.keys()
    assert all(field.description for field in peer.model_fields.values())
    names = ["self", "samples", "seed"] if issubclass(peer, RandomPeer) else ["self", "samples"]
    assert list(inspect.signature(peer.infer).parameters) == names


@pytest.mark.slow(reason="starts a process that reads all peers")
def test_peers_can_be_read_without_their_packages():
    heavy = "{'torch', 'pysindy', 'lassonet', 'sklearn', 'pandas', 'scipy', 'anndata', 'tigramite', 'statsmodels'}"
    code = (
        "import sys; from sparsenode.peers import get_peer, peer_names; [get_peer(name) for name in peer_names()]; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow(reason="runs the package of a method's authors")
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", peer_names())
def test_every_peer_scores_every_pair_and_a_seed_says_it_all(name, order):
    generator = np.random.default_rng(0)
    states, velocities, rates = generator.normal(size=(3, 40, 3))
    states[:, 1], velocities[:, 1] = 2.0, 0.0  # a constant tells nothing
    samples = Samples(states, states, velocities if order == 2 else None, rates, np.repeat([0, 1], 20))
    peer = quick(name)
    seed = (1,) if isinstance(peer, RandomPeer) else ()
    scores, signs = peer.infer(samples, *seed)
    again, _ = peer.infer(samples, *seed)
    assert scores.shape == signs.shape == (3, 3)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert not np.delete(scores[1], 1).any()
    assert set(np.unique(signs)) <= {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(again, scores)
    if isinstance(peer, RandomPeer):
        assert not np.array_equal(peer.infer(samples, 2)[0], scores)


@pytest.mark.slow(reason="runs the package of a method's authors")
@pytest.mark.parametrize("name", peer_names())
def test_what_does_not_change_has_no_sources(name):
    states = np.random.default_rng(0).normal(size=(30, 2))
    rates = np.column_stack([np.zeros(30), states[:, 0]])
    if name in ON_OBSERVED:
        states[:, 0] = 2.0
    samples = Samples(states, states, None, rates, np.zeros(30, int))
    peer = quick(name, **({"of": "derivatives"} if name == "correlation" else {}))
    assert not peer.infer(samples)[0][:, 0].any()


@pytest.mark.slow(reason="runs the package of a method's authors")
@pytest.mark.parametrize("name", [name for name in peer_names() if name != "lassonet"])
def test_units_do_not_matter(name, exact):
    factors = np.array([100.0, 1.0, 0.01])
    changed = Samples(exact.observed * factors, exact.states * factors, None, exact.rates * factors, exact.stretch)
    options = {"decay": 0.0} if name == "dyngenie3" else {}  # its rates of decay take all variables for one unit
    one, other = (quick(name, **options).infer(samples)[0] for samples in (exact, changed))
    np.testing.assert_allclose(other, one, rtol=0.05, atol=1e-6)


@pytest.mark.slow(reason="runs several peers or processes")
@pytest.mark.parametrize("name", [name for name in peer_names() if not issubclass(get_peer(name), RandomPeer)])
def test_the_order_of_variables_does_not_matter(name, exact):
    order = np.array([2, 0, 1])
    changed = Samples(
        exact.observed[:, order], exact.states[:, order], None, exact.rates[:, order], exact.stretch, exact.time
    )
    for one, other in zip(quick(name).infer(exact), quick(name).infer(changed), strict=True):
        np.testing.assert_allclose(other, one[np.ix_(order, order)], rtol=1e-3, atol=1e-6)


@pytest.mark.slow(reason="runs several peers or processes")
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", peer_names())
def test_one_variable_is_no_error(name, order):
    states, velocities = np.random.default_rng(0).normal(size=(2, 40, 1))
    samples = Samples(states, states, velocities if order == 2 else None, -states, np.repeat([0, 1], 20))
    peer = quick(name)
    if peer.has_self_effects:
        scores, _ = peer.infer(samples)
        assert scores.shape == (1, 1)
        assert scores[0, 0] >= 0
    else:
        assert name == "correlation"
