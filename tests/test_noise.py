"""Random numbers of training: keyed by seed and iteration alone."""

import torch

from sparsenode.noise import draw_logistic, draw_normal

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
