"""Early stopping, member by member."""

import math

import pytest
import torch

from sparsenode.settings import StopSettings
from sparsenode.training import stopping

STOP = StopSettings(tolerance=0.01, patience=10, cooldown=20)
CPU = torch.device("cpu")


def follow(objectives, iterations, last=1000, stop=STOP, every=5):
    """Plateau and who is done after `iterations`, with a check every few; `objectives` gives one for each member."""
    plateau = stopping.start(len(objectives), CPU)
    finished = {}
    for iteration in range(iterations + 1):
        plateau = stopping.observe(plateau, torch.tensor([one(iteration) for one in objectives]))
        if iteration % every == 0:
            plateau = stopping.compare(plateau, stop, iteration, last)
            for member in torch.nonzero(stopping.done(plateau, stop, iteration)).flatten().tolist():
                finished.setdefault(member, iteration)
    return plateau, finished


def test_who_no_longer_improves_cools_and_leaves_and_the_others_go_on():
    falling = lambda iteration: math.exp(-0.01 * iteration)  # noqa: E731
    flat_later = lambda iteration: max(0.5, 1 - 0.01 * iteration)  # noqa: E731
    plateau, finished = follow([falling, flat_later, lambda _: 1.0], 200)
    assert finished.keys() == {1, 2}
    # Two windows of at least 10 iterations have to be compared; then 20 iterations of cooling.
    assert finished[2] == int(plateau.cooling_since[2]) + 20 <= 45
    assert 50 < int(plateau.cooling_since[1]) <= 80
    assert int(plateau.cooling_since[0]) == -1


def test_an_objective_below_zero_that_falls_is_an_improvement():
    _, finished = follow([lambda iteration: -1.0 - iteration, lambda iteration: -1.0 + iteration], 100)
    assert finished.keys() == {1}


def test_all_cool_in_time_for_the_last_iteration():
    plateau, finished = follow([lambda iteration: -float(iteration)], 100, last=100)
    assert int(plateau.cooling_since[0]) == 80
    assert finished == {0: 100}


def test_noise_is_averaged_over_the_patience():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1001, generator=generator).mul(0.1).tolist()
    falling = lambda iteration: 2.0 - iteration / 500 + noise[iteration]  # noqa: E731
    patient = StopSettings(tolerance=0.0, patience=200, cooldown=20)
    _, finished = follow([falling], 1000, last=2000, stop=patient)
    assert finished == {}
    _, finished = follow([falling], 1000, last=2000, stop=StopSettings(tolerance=0.0, patience=5, cooldown=20))
    assert finished.keys() == {0}


def test_learning_rate_falls_along_a_cosine():
    plateau = stopping.start(3, CPU)
    assert stopping.learning_rate_share(plateau, STOP, 5, 0.1) is None
    cooling = stopping.Plateau(plateau.total, plateau.count, plateau.previous, torch.tensor([-1, 100, 110]))
    share = stopping.learning_rate_share(cooling, STOP, 110, 0.1)
    assert share.tolist() == pytest.approx([1.0, 0.55, 1.0])
    assert stopping.learning_rate_share(cooling, STOP, 500, 0.1).tolist() == pytest.approx([1.0, 0.1, 0.1])
    assert stopping.done(cooling, STOP, 120).tolist() == [False, True, False]


def test_members_are_compared_apart():
    both, _ = follow([lambda _: 1.0, lambda iteration: -float(iteration)], 60)
    alone, _ = follow([lambda iteration: -float(iteration)], 60)
    for name, tensor in vars(both.select([1])).items():
        assert torch.equal(tensor, vars(alone)[name]), name
