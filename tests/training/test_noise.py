"""Random numbers of training: keyed by seed and iteration alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn_noise import draw_logistic, draw_normal
from sparsenode.training import noise as noises
from sparsenode.training import sfc64
from sparsenode.training.noise import Needs, Stage, draw_rows

CPU = torch.device("cpu")


def test_members_of_one_seed_get_the_same_numbers_whoever_stands_beside_them():
    for draw in (lambda seeds: draw_logistic(seeds, 3, 10, CPU), lambda seeds: draw_normal(seeds, 3, (2, 5), CPU)):
        together = draw([7, 2, 7, 5])
        assert torch.equal(together[0], together[2])
        for member, seed in enumerate([7, 2, 7, 5]):
            assert torch.equal(together[member], draw([seed])[0])


def test_other_iterations_and_seeds_give_other_numbers():
    first = draw_logistic([0, 1], 0, 1000, CPU)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, draw_logistic([0, 1], 1, 1000, CPU))
    both = torch.stack((first[0], draw_logistic([0], 1, 1000, CPU)[0], first[1]))
    assert (torch.corrcoef(both) - torch.eye(3)).abs().max() < 0.12


def test_gates_get_logistic_noise():
    noise = draw_logistic([1], 0, 400_001, CPU)[0]
    assert torch.isfinite(noise).all()
    uniform = torch.sigmoid(noise.double()).sort().values
    even = (torch.arange(len(uniform), dtype=torch.float64) + 0.5) / len(uniform)
    # Kolmogorov and Smirnov: the largest distance is above 1.63 / sqrt(n) in one of a hundred draws.
    assert (uniform - even).abs().max() < 1.63 / len(uniform) ** 0.5


def test_starts_get_normal_noise():
    noise = draw_normal([1], 0, (1000, 100), CPU).double()
    assert noise.shape == (1, 1000, 100)
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.var()) - 1) < 0.02
    assert abs(float((noise**4).mean()) - 3) < 0.1


def test_the_noise_of_slopes_leaves_that_of_positions_as_it_is():
    positions = draw_normal([3, 1], 5, (1, 4, 2), CPU)
    assert torch.equal(draw_normal([3, 1], 5, (2, 4, 2), CPU)[:, :1], positions)
    assert torch.equal(draw_normal([3, 1], 5, (4, 2), CPU), positions[:, 0])


@pytest.mark.slow(reason="draws many examples")
@given(st.integers(0, 10_000), st.integers(1, 60), st.data())
def test_rows_are_drawn_without_repetition_and_from_the_iteration_alone(iteration, rows, data):
    count = data.draw(st.integers(1, rows))
    drawn = draw_rows(iteration, rows, count)
    assert drawn.shape == (count,)
    assert len(set(drawn.tolist())) == count
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < rows
    assert torch.equal(drawn, draw_rows(iteration, rows, count))


def test_rows_of_other_iterations_are_others():
    draws = {tuple(draw_rows(iteration, 50, 10).tolist()) for iteration in range(100)}
    assert len(draws) == 100


def test_every_row_is_drawn_as_often_as_any_other():
    counts = torch.zeros(20)
    for iteration in range(2000):
        counts[draw_rows(iteration, 20, 5)] += 1
    # Binomial of mean 500 and deviation 19: none of 20 is further off than 4 deviations.
    assert (counts - 500).abs().max() < 78


@pytest.mark.parametrize("count", [1, 4, 731])
def test_the_generator_of_a_gpu_gives_the_bits_of_numpys(count):
    seeds, iterations = [0, 1, 77, 2**32 - 1], range(65_535, 65_538)
    drawn = sfc64.draw_bits(1, seeds, iterations, count, CPU)
    steps = -(-count // 4)
    expected = [
        [np.random.SFC64([1, seed, iteration]).random_raw(steps).view(np.int16)[:count] for seed in seeds]
        for iteration in iterations
    ]
    assert drawn.numpy().tolist() == np.array(expected).tolist()


class _Ahead:
    """As torch's CPU, but by another name, for which numbers are made ahead."""

    type = "elsewhere"


def test_numbers_that_are_made_ahead_are_those_made_one_by_one(monkeypatch):
    """Also where staging ends in the middle, members leave, and a seed is too large for the generator of a GPU."""
    needs = Needs(gates=9, starts=(2, 3, 2), rows=(40, 7))
    draw = noises.draw_many
    made = []

    def on_cpu(needs, seeds, iterations, device):
        made.append(len(iterations))
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "to", lambda tensor, _device: tensor)
            patch.setattr(sfc64, "draw_bits", lambda *given: bits(*given[:4], CPU))
            return draw(needs, seeds, iterations, device)

    bits = sfc64.draw_bits
    monkeypatch.setattr(noises, "draw_many", on_cpu)
    monkeypatch.setattr(noises, "_STAGED_BYTES", 4 * needs.bytes(2))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, _device: tensor)
    stage = Stage(_Ahead())
    for seeds, iterations in (([3, 5, 3], range(6)), ([5], range(6, 11)), ([2**33, 1], range(11, 13))):
        for iteration in iterations:
            ahead = stage.at(needs, seeds, iteration, 12)
            alone = Stage(CPU).at(needs, seeds, iteration, 12)
            assert torch.equal(ahead.logistic(), alone.logistic())
            assert torch.equal(ahead.normal(), alone.normal())
            assert ahead.rows.tolist() == alone.rows.tolist()
    assert [count for count in made if count > 1] == [4, 4, 6, 2]
