import numpy as np
import pytest

from sparsenode.peers.derivatives import Samples
from sparsenode.peers.extra_trees import ExtraTrees


@pytest.mark.parametrize("tried", ["sqrt", "third", "all"])
def test_the_only_driver_is_found_where_no_line_tells_it(tried):
    states = np.random.default_rng(0).uniform(-1, 1, size=(200, 4))
    rates = np.zeros((200, 4))
    rates[:, 0] = states[:, 2] ** 2
    samples = Samples(states, states, None, rates, np.zeros(200, int))
    scores, signs = ExtraTrees(of="derivatives", decay=True, trees=30, tried=tried, last=None).infer(samples)
    assert scores[2, 0] > 3 * scores[[0, 1, 3], 0].max()
    assert scores[:, 0].sum() == pytest.approx(1, abs=1e-6)  # full trees explain all of the variance
    assert not scores[:, 1:].any()
    assert not signs.any()


def test_a_decay_is_explained_by_the_target_itself():
    states = np.random.default_rng(0).normal(size=(150, 3))
    samples = Samples(states, states, None, -states, np.zeros(150, int))
    own = ExtraTrees(of="derivatives", decay=True, trees=20, tried="all", last=None).infer(samples)[0]
    others = ExtraTrees(of="derivatives", decay=False, trees=20, tried="all", last=None).infer(samples)[0]
    off = ~np.eye(3, dtype=bool)
    assert own[off].max() < 0.1
    assert not np.diag(others).any()
    assert others[off].min() > 0.3


def test_genie3_itself_explains_observed_states_by_the_others():
    observed = np.random.default_rng(0).normal(size=(150, 3))
    observed[:, 1] = np.abs(observed[:, 0])
    nothing = np.zeros_like(observed)
    samples = Samples(observed, nothing, None, nothing, np.zeros(150, int))
    scores = ExtraTrees(of="states", decay=True, trees=30, tried="all", last=None).infer(samples)[0]
    assert scores[0, 1] > 5 * scores[2, 1]
    assert not np.diag(scores).any()


def test_at_second_order_position_and_velocity_are_added():
    states, velocities = np.random.default_rng(0).uniform(-1, 1, size=(2, 300, 3))
    rates = np.zeros_like(states)
    rates[:, 0] = states[:, 1] + velocities[:, 1]
    samples = Samples(states, states, velocities, rates, np.zeros(300, int))
    scores = ExtraTrees(of="derivatives", decay=True, trees=30, tried="all", last=None).infer(samples)[0]
    assert scores[1, 0] > 0.8
    assert scores[:, 0].sum() == pytest.approx(1, abs=1e-6)
