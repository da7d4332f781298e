"""DASH's scores, against the published formulas written out, and at both ends of the strength."""

import numpy as np
import pytest
import torch

from sparsenode.methods import get_method
from sparsenode.methods.dash import PriorPruning
from sparsenode.pruning import ScheduledPruner, keep_largest

DASH = PriorPruning(prior="known")

Layers = list[torch.Tensor]


def drawn(*shapes: tuple[int, ...], seed: int = 0, positive: bool = False) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [one.abs() for one in values] if positive else values


def shares(values: np.ndarray) -> np.ndarray:
    return np.abs(values) / np.abs(values).sum()


def test_two_layers_as_published() -> None:
    """With S (unit, source) and the prior T (source, target): (S S^T)^-1 S T T^T, and then (S T)^T (S S^T)^-1."""
    first, second = drawn((7, 3), (3, 6))
    before = drawn((7, 3), (3, 6), seed=1, positive=True)
    (prior,) = drawn((7, 6), seed=2)
    strength = 0.3
    known = prior.abs().numpy()
    earlier = before[0].numpy().T
    inner = np.linalg.inv(earlier @ earlier.T) @ earlier @ known @ known.T
    one = strength * shares(inner.T) + (1 - strength) * shares(first.numpy())
    reached = one.T
    outer = (reached @ known).T @ np.linalg.inv(reached @ reached.T)
    two = strength * shares(outer.T) + (1 - strength) * shares(second.numpy())
    found = DASH.scores([first, second], before, prior, strength)
    np.testing.assert_allclose(found[0].numpy(), one, rtol=1e-9)
    np.testing.assert_allclose(found[1].numpy(), two, rtol=1e-9)


def test_three_layers_by_least_squares() -> None:
    """What is expected of a layer is the least-squares solution of its equation, column by column."""
    weights = drawn((8, 5), (5, 4), (4, 6))
    before = drawn((8, 5), (5, 4), (4, 6), seed=1, positive=True)
    (prior,) = drawn((8, 6), seed=2)
    known = prior.abs().numpy()
    found = [one.numpy() for one in DASH.scores(weights, before, prior, 0.6)]

    def solved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(left, right, rcond=None)[0]

    shared = known @ known.T
    to_first = before[0].numpy()
    expected = [solved(to_first, shared).T]
    to_second = found[0] @ before[1].numpy()
    expected.append(solved(found[0], solved(to_second, shared).T))
    expected.append(solved(found[0] @ found[1], known))
    for layer, (part, weight, score) in enumerate(zip(expected, weights, found, strict=True)):
        np.testing.assert_allclose(
            score, 0.6 * shares(part) + 0.4 * shares(weight.numpy()), rtol=1e-7, err_msg=str(layer)
        )


def test_one_layer_is_the_prior_itself() -> None:
    (weight,), (prior,) = drawn((5, 5)), drawn((5, 5), seed=1)
    (found,) = DASH.scores([weight], [weight.abs()], prior, 1.0)
    torch.testing.assert_close(found, prior.abs() / prior.abs().sum())
    assert torch.equal(found.flatten().argsort(), prior.abs().flatten().argsort())


def test_strength_zero_ranks_by_size_alone() -> None:
    weights, before = drawn((6, 4), (4, 6)), drawn((6, 4), (4, 6), seed=1, positive=True)
    (prior,) = drawn((6, 6), seed=2)
    for weight, found in zip(weights, DASH.scores(weights, before, prior, 0.0), strict=True):
        torch.testing.assert_close(found, weight.abs() / weight.abs().sum())


def test_networks_of_single_targets_each_have_their_column_of_the_prior() -> None:
    """One of them is as a joint network with one target; shares are over all of them."""
    weights = drawn((3, 5, 2), (3, 2, 1))
    before = drawn((3, 5, 2), (3, 2, 1), seed=1, positive=True)
    (prior,) = drawn((5, 3), seed=2)
    found = DASH.scores(weights, before, prior.T.unsqueeze(-1), 1.0)
    firsts = []
    for target in range(3):
        own = prior[:, [target]].abs().numpy()
        earlier = before[0][target].numpy()
        firsts.append(np.abs(own @ own.T @ np.linalg.pinv(earlier.T)))
    np.testing.assert_allclose(found[0].numpy(), shares(np.stack(firsts)), rtol=1e-9)
    seconds = [
        np.linalg.pinv(found[0][target].numpy(), rcond=1e-5) @ prior[:, [target]].abs().numpy() for target in range(3)
    ]
    np.testing.assert_allclose(found[1].numpy(), shares(np.stack(seconds)), rtol=1e-7)
    # The mean over units of what leads from a source is in proportion to the prior's entry.
    for target in range(3):
        ratio = found[0][target].sum(1) / prior[:, target].abs()
        torch.testing.assert_close(ratio, ratio[:1].expand(5))


def test_units_that_follow_the_prior_keep_it() -> None:
    """Two groups of sources that share their targets: of 24 weights the 12 that lead along the prior stay."""
    prior = torch.zeros(6, 6, dtype=torch.float64)
    prior[:3, :3], prior[3:, 3:] = 1.0, -1.0
    weights = [one * 1e-3 for one in drawn((6, 2), (2, 6))]
    before = [torch.full((6, 2), 0.4, dtype=torch.float64), torch.ones(2, 6, dtype=torch.float64)]
    before[0][:3, 0] = before[0][3:, 1] = 0.6
    kept = [
        keep_largest(score, weight, torch.ones_like(weight), 6)
        for score, weight in zip(DASH.scores(weights, before, prior, 0.9), weights, strict=True)
    ]
    assert torch.equal(kept[0] @ kept[1], prior.abs())


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_empty_priors_dead_units_and_pruned_layers_are_no_error(strength: float) -> None:
    weights, before = drawn((6, 4), (4, 6)), drawn((6, 4), (4, 6), seed=1, positive=True)
    weights[0][:, 1] = before[0][:, 1] = 0.0
    weights[1].zero_()
    for prior in (torch.zeros(6, 6), torch.eye(6), drawn((6, 6), seed=2)[0]):
        for found, weight in zip(DASH.scores(weights, before, prior, strength), weights, strict=True):
            assert found.shape == weight.shape
            assert found.isfinite().all()
            assert (found >= 0).all()


def test_wide_networks_and_single_precision() -> None:
    weights = [one.float() for one in drawn((4, 9), (9, 4))]
    (prior,) = drawn((4, 4), seed=2)
    found = DASH.scores(weights, [one.abs() for one in weights], prior.float(), 0.5)
    assert {one.dtype for one in found} == {torch.float32}
    exact = DASH.scores([one.double() for one in weights], [one.abs().double() for one in weights], prior.float(), 0.5)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=0)


def test_a_strength_is_no_share_that_is_pruned() -> None:
    for strength in (0.0, 0.4, 1.0):
        assert DASH.weights_left(50, strength, 400) == DASH.left_by_schedule(50, 1.0, 400)
        assert min(PriorPruning(prior="known", most=0.8).weights_left(50, strength, 400).values()) == 10


def test_dash_takes_a_prior() -> None:
    method = get_method("dash")
    assert (method(prior="motif").prior_name(), method.largest_strength) == ("motif", 1.0)
    assert method.model_fields.keys() == {"prior", "most", *ScheduledPruner.model_fields}
