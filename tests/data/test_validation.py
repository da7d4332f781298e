import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.trajectories import Trajectory
from sparsenode.data.validation import set_validation_aside
from sparsenode.errors import UserError


def trajectory(name: str, group: str = "all", split: str = "train", fit: int = 20, later: int = 0) -> Trajectory:
    count = fit + later
    return Trajectory(
        name=name,
        group=group,
        subject=name,
        times=np.arange(count, dtype=float),
        values=np.zeros((count, 1)),
        splits=np.full(count, split),
        phases=np.repeat(["fit", "extrapolation"], [fit, later]),
    )


@given(
    by=st.sampled_from(["trajectory", "time_blocks", "inner_blocks", "observation"]),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 100),
    lengths=st.lists(st.integers(12, 40), min_size=4, max_size=8),
    later=st.integers(0, 5),
)
def test_whatever_is_held_out_comes_from_training_and_leaves_some(
    by: str, share: float, seed: int, lengths: list[int], later: int
) -> None:
    parts = [trajectory(f"t{i}", f"g{i % 2}", fit=length, later=later) for i, length in enumerate(lengths)]
    parts.append(trajectory("test", split="test"))
    splits = set_validation_aside(parts, {"by": by, "share": share, "seed": seed}, keep_first=3)
    assert (splits[-1] == "test").all()
    held_out = [split == "validation" for split in splits]
    assert any(chosen.any() for chosen in held_out)
    for group in ("g0", "g1"):
        assert any((split == "train").any() for part, split in zip(parts, splits, strict=True) if part.group == group)
    if by == "trajectory":
        assert all(chosen.all() or not chosen.any() for chosen in held_out)
        return
    for part, chosen in zip(parts[:-1], held_out[:-1], strict=True):
        fit = int((part.phases == "fit").sum())
        assert chosen.sum() == max(1, round(share * fit))
        assert not chosen[fit:].any()
        assert not chosen[:3].any()
        if by == "time_blocks":
            assert chosen[fit - chosen.sum() : fit].all()
        elif by == "inner_blocks":
            assert np.ptp(np.flatnonzero(chosen)) == chosen.sum() - 1
        elif not later:
            assert not chosen[-1]


def test_whole_trajectories_are_as_many_as_the_share_says() -> None:
    parts = [trajectory(f"t{index}") for index in range(24)]
    splits = set_validation_aside(parts, {"by": "trajectory", "share": 1 / 6, "seed": 0})
    assert sum((split == "validation").all() for split in splits) == 4


@pytest.mark.parametrize("by", ["trajectory", "inner_blocks", "observation"])
def test_the_seed_decides(by: str) -> None:
    parts = [trajectory(f"t{index}") for index in range(24)]
    one, again, other = (
        np.concatenate(set_validation_aside(parts, {"by": by, "share": 0.2, "seed": seed})) for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_the_input_is_left_as_it_was() -> None:
    part = trajectory("t")
    set_validation_aside([part], {"by": "observation", "share": 0.5, "seed": 0})
    assert (part.splits == "train").all()


def test_the_splits_of_the_source_stay() -> None:
    part = trajectory("t", split="validation")
    splits = set_validation_aside([part, trajectory("u")], {"by": "none-in-source", "share": 0.5})
    assert (splits[0] == "validation").all()
    assert (splits[1] == "train").all()
    with pytest.raises(UserError, match="the source names validation data; choose 'none-in-source'"):
        set_validation_aside([part, trajectory("u")], {"by": "trajectory", "share": 0.5})


@pytest.mark.parametrize(
    ("parts", "validation", "message"),
    [
        ([trajectory("a", "g"), trajectory("b", "h")], {"by": "trajectory", "share": 0.5}, "leave a group without any"),
        ([trajectory("short", fit=3)], {"by": "time_blocks", "share": 0.5}, "too little of trajectory 'short'"),
        ([trajectory("short", fit=4)], {"by": "observation", "share": 0.5}, "too little of trajectory 'short'"),
        ([trajectory("a", split="test")], {"by": "none-in-source"}, "no observation is training data"),
        ([trajectory("a")], {"by": "cells", "share": 0.5}, "validation.by is 'cells'; allowed: trajectory"),
    ],
)
def test_validation_that_leaves_nothing(parts: list[Trajectory], validation: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        set_validation_aside(parts, validation)
