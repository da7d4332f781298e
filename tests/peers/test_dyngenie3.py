import math

import numpy as np
import pytest

from sparsenode.peers.derivatives import Samples
from sparsenode.peers.dyngenie3 import DynGenie3, estimate_decay


def solved(rate, start, times):
    """A course whose differences are exactly those of its rate at the time before."""
    values = [np.asarray(start, float)]
    for step in np.diff(times):
        values.append(values[-1] + step * rate(values[-1]))
    return np.array(values)


def samples_of(courses, times, velocities=None):
    values = np.concatenate(courses)
    stretch = np.repeat(np.arange(len(courses)), len(times))
    return Samples(values, values, velocities, values, stretch, np.tile(times, len(courses)))


def test_decay_is_estimated_as_published():
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.uniform(0.5, 2.0, size=12))
    courses = [generator.normal([3.0, 5.0, 4.0], 1.0, size=(12, 3)) for _ in range(3)]
    courses[1][:, 2] = 4.0  # a variable that does not move in a trajectory
    floor = min(course.min() for course in courses)
    expected = []
    for variable in range(3):
        rates = []
        for course in courses:
            column = course[:, variable].tolist()
            high, low = column.index(max(column)), column.index(min(column))
            if high == low:
                continue
            above = [max(column[place] - floor, 1e-6) for place in (high, low)]
            rates.append((math.log(above[0]) - math.log(above[1])) / abs(times[high] - times[low]))
        expected.append(max(rates))
    np.testing.assert_allclose(estimate_decay(samples_of(courses, times)), expected)


def test_an_exponential_fall_has_its_own_rate():
    times = np.linspace(0.0, 3.0, 31)
    floor = np.zeros(31)
    floor[:2] = 1e-3
    courses = [np.column_stack([np.exp(-0.7 * times), floor])]
    np.testing.assert_allclose(estimate_decay(samples_of(courses, times))[0], 0.7)


def test_at_second_order_nothing_decays():
    times, courses = np.arange(5.0), [np.random.default_rng(0).normal(size=(5, 2))]
    assert not estimate_decay(samples_of(courses, times, velocities=courses[0])).any()


@pytest.mark.parametrize("forest", ["random_forest", "extra_trees"])
def test_the_driver_has_the_largest_share_and_the_others_sum_to_one(forest):
    generator = np.random.default_rng(0)
    times = np.array([0.0, 0.5, 1.5, 2.0, 3.0, 3.5, 4.5, 5.0])

    def rate(values):
        return np.array([2 * np.tanh(3 * values[2]) - 0.5 * values[0], -values[1], 0.0, 0.0])

    courses = [solved(rate, generator.normal(size=4), times) for _ in range(30)]
    peer = DynGenie3(forest=forest, trees=40, tried="all", decay=0.5)
    scores, signs = peer.infer(samples_of(courses, times))
    assert scores[2, 0] > 0.8
    np.testing.assert_allclose(scores.sum(0) - np.diag(scores), [1.0, 1.0, 0.0, 0.0])
    assert not scores[:, 2:].any()  # what does not change has no source
    assert scores[1, 1] > 5 > scores[0, 0]  # decay of .5 explains the first but only half of the second
    assert not signs.any()


def test_what_moves_only_by_itself_in_a_network_of_one_has_a_share_of_one():
    times = np.arange(20.0)
    course = solved(lambda values: -0.3 * values, [1.0], times)
    scores, _ = DynGenie3(trees=5).infer(samples_of([course], times))
    assert scores.tolist() == [[1.0]]


def test_at_second_order_differences_of_velocities_are_explained():
    generator = np.random.default_rng(0)
    states, velocities = generator.normal(size=(2, 300, 2))
    times = np.arange(300.0)
    velocities[:, 0] = np.concatenate([[0.0], np.cumsum(3 * velocities[:-1, 1])])
    samples = Samples(states, states, velocities, states, np.zeros(300, int), times)
    scores, _ = DynGenie3(trees=40, tried="all").infer(samples)
    assert scores[1, 0] == pytest.approx(1.0)
    assert scores[0, 0] < 0.05
