"""Estimates of memory."""

import re

import pytest

from sparsenode.dynamics import network
from sparsenode.dynamics.network import effective_layers
from sparsenode.ensemble.memory import (
    BASE_BYTES,
    count_steps,
    describe_steps,
    member_bytes,
    member_size,
    most_members,
)
from sparsenode.ensemble.model import initialize
from sparsenode.errors import UserError
from sparsenode.settings import ModelSettings


@pytest.mark.parametrize("gates", ["weight", "unit", None])
@pytest.mark.parametrize("order", [1, 2])
def test_the_size_of_a_member_is_that_of_its_parameters(order: int, gates: str | None) -> None:
    settings = ModelSettings(order=order, hidden=(6, 5), velocity_hidden=(4,), gates=gates or "weight")
    made = initialize(settings, 7, [0], gated=gates is not None)
    size = member_size(features=7, order=order, hidden=(6, 5), velocity_hidden=(4,), gates=gates)
    weights = (*made.weights, *made.velocity_weights)
    assert size.weights == sum(one.numel() for one in weights)
    assert size.gates == sum(one.numel() for one in made.log_alpha)
    assert size.trained == size.weights + size.gates
    assert size.widths == order * 7 + 6 + 5 + 7


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_networks_of_single_targets_multiply_what_stands_side_by_side(
    hidden: tuple[int, ...], order: int, skip: bool
) -> None:
    settings = ModelSettings(order=order, network="per_target", hidden=hidden, velocity_hidden=(4,))
    made = initialize(settings, 7, [0], gated=True, skip=skip)
    size = member_size(
        features=7, order=order, network="per_target", hidden=hidden, velocity_hidden=(4,), gates="weight", skip=skip
    )
    assert size.weights == sum(one.numel() for one in (*made.prunable, *made.velocity_weights))
    assert size.gates == sum(one.numel() for one in made.log_alpha)
    layers = effective_layers(made, (), "elu")
    side_by_side = (*layers.weights, *(() if layers.skip is None else (layers.skip,)))
    assert size.products == sum(one.numel() for one in side_by_side)
    assert size.widths == order * 7 + sum(bias.numel() for bias in layers.biases)


@pytest.mark.parametrize("gates", ["weight", "unit", None])
def test_a_biological_network_has_the_units_of_two_branches(gates: str | None) -> None:
    settings = ModelSettings(network="biological", hidden=(6,), gates=gates or "weight")
    made = initialize(settings, 7, [0], gated=gates is not None)
    size = member_size(features=7, order=1, network="biological", hidden=(6,), velocity_hidden=(), gates=gates)
    assert size.weights == sum(one.numel() for one in made.weights)
    assert size.gates == sum(one.numel() for one in made.log_alpha)
    assert size.products == sum(one.numel() for one in effective_layers(made, (), "elu").weights)
    assert size.widths == 7 + 2 * 6 + 7


def test_memory_grows_with_rows_evaluations_and_gates() -> None:
    plain, gated = (
        member_size(features=500, order=1, hidden=(100,), velocity_hidden=(), gates=gates) for gates in (None, "weight")
    )
    base = member_bytes(plain, rows=3, evaluations=21)
    assert base > 4 * 5 * plain.weights  # value, gradient, two moments, snapshot
    assert member_bytes(plain, rows=30, evaluations=21) > base
    assert member_bytes(plain, rows=3, evaluations=210) > base
    assert member_bytes(gated, rows=3, evaluations=21) > 1.5 * base


def test_masks_take_memory() -> None:
    plain, masked = (
        member_size(features=50, order=2, hidden=(10,), velocity_hidden=(5,), gates=None, masked=masked)
        for masked in (False, True)
    )
    made = network.mask_nothing(
        initialize(ModelSettings(order=2, hidden=(10,), velocity_hidden=(5,)), 50, [0], gated=False)
    )
    assert (plain.masks, masked.masks) == (0, sum(mask.numel() for mask in made.masks))
    assert masked.trained == plain.trained
    # The mask, that of the snapshot and the scores, all in single precision.
    more = member_bytes(masked, rows=3, evaluations=21) - member_bytes(plain, rows=3, evaluations=21)
    assert more >= 4 * 3 * masked.masks


def test_members_that_fit() -> None:
    assert most_members(BASE_BYTES + 10 * 10**6, 10**6) == 10
    assert most_members(BASE_BYTES + 10**6 - 1, 10**6) == 1
    assert most_members(0, 10**6) == 1


@pytest.mark.parametrize(
    ("intervals", "windows", "advice"),
    [
        (40, True, "40 steps of 0.5 .* set `solver.step` of the model to 3 or more, .* train on shorter `windows`$"),
        (40, False, "train on short `windows`$"),
        (1, True, "1 step of 0.5 .* here: set `windows.batch` of the model to so few rows .* fewer units; a larger"),
        (1, False, "train on `windows` and set `windows.batch` of the model"),
    ],
)
def test_a_larger_step_is_advised_only_where_it_helps(intervals: int, windows: bool, advice: str) -> None:
    assert re.search(advice, describe_steps(intervals, 0.5, 4e9, 1e9, windows=windows))


@pytest.mark.parametrize(("duration", "step", "count"), [(0.0, 0.5, 1), (2.0, 0.5, 4), (2.1, 0.5, 5), (1e-320, 1.0, 1)])
def test_steps_are_counted(duration: float, step: float, count: int) -> None:
    assert count_steps(duration, step) == count


@pytest.mark.parametrize("step", [5e-324, 1e-300, 1e-16])
def test_steps_that_no_machine_could_take_are_refused_in_a_short_message(step: float) -> None:
    with pytest.raises(UserError, match=f"solver.step: found {step:g}, .* such as 0.02$") as refusal:
        count_steps(2.0, step)
    assert len(str(refusal.value)) < 200
