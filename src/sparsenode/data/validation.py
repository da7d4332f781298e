"""Validation data, set aside from training data before anything is trained."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.contract import training_mask
from sparsenode.data.trajectories import Trajectory
from sparsenode.errors import UserError

Splits = list[NDArray[np.str_]]
_FEWEST_LEFT = 2  # training observations of a trajectory


def set_validation_aside(
    trajectories: Sequence[Trajectory],
    validation: Mapping[str, Any],
    *,
    keep_first: int = 1,
) -> Splits:
    """Splits (observation,) of every trajectory, a `share` of the training data made validation data.

    `by` is `trajectory` (whole ones, never the last of a group), `time_blocks` (the last training
    observations of each trajectory within the fit phase), `inner_blocks` (as many in a row, at a random place of each
    trajectory after its first `keep_first`), `observation` (single ones at random, never the first
    `keep_first`, which make the initial state, nor the last) or `none-in-source` (the source's own splits stay
    as they are). A cell that several trajectories have is held out of all of them, unless one of them starts from it,
    or of none.

    Args:
        trajectories: those of the source, with its splits.
        validation: `by`, the `share` of the training data, and the `seed`.
        keep_first: how many first observations of each trajectory make its initial state.

    Raises:
        UserError: the source has validation data of its own, or nothing would be left for training or validation.
    """
    by, share, seed = (
        validation.get("by", "none-in-source"),
        validation.get("share", 0.0),
        validation.get("seed", 0),
    )
    splits = [trajectory.splits.astype("<U10") for trajectory in trajectories]
    if by != "none-in-source":
        if any((split == "validation").any() for split in splits):
            message = f"validation.by is {by!r}, but the source names validation data; choose 'none-in-source'"
            raise UserError(message)
        if share > 0:
            generator = np.random.default_rng(seed)
            if by == "trajectory":
                _whole_trajectories(trajectories, splits, share, generator)
            elif by == "time_blocks":
                _time_blocks(trajectories, splits, share)
            elif by == "inner_blocks":
                _inner_blocks(trajectories, splits, share, generator, keep_first)
            elif by == "observation":
                _observations(trajectories, splits, share, generator, keep_first)
            else:
                allowed = "trajectory, time_blocks, inner_blocks, observation, none-in-source"
                message = f"validation.by is {by!r}; allowed: {allowed}"
                raise UserError(message)
            _share_cells(trajectories, splits, by, keep_first)
    fitted = [training_mask(split, trajectory.phases) for trajectory, split in zip(trajectories, splits, strict=True)]
    if not any(chosen.any() for chosen in fitted):
        message = "no observation is training data"
        raise UserError(message)
    return splits


def _whole_trajectories(
    trajectories: Sequence[Trajectory], splits: Splits, share: float, generator: np.random.Generator
) -> None:
    training = [index for index, split in enumerate(splits) if (split == "train").any()]
    count = max(1, round(share * len(training)))
    left: dict[str, int] = {}
    for index in training:
        left[trajectories[index].group] = left.get(trajectories[index].group, 0) + 1
    chosen: list[int] = []
    for index in generator.permutation(training):
        group = trajectories[index].group
        if len(chosen) < count and left[group] > 1:
            left[group] -= 1
            chosen.append(index)
    if len(chosen) < count:
        message = (
            f"validation.by is 'trajectory' with share {share:g}: {count} of {len(training)} training "
            "trajectories "
            "would leave a group without any; choose a smaller share, or 'time_blocks' or 'observation'"
        )
        raise UserError(message)
    for index in chosen:
        splits[index][splits[index] == "train"] = "validation"


def _time_blocks(trajectories: Sequence[Trajectory], splits: Splits, share: float) -> None:
    for trajectory, split, training, count in _with_training(trajectories, splits, share):
        _check_left(trajectory, len(training), count, share)
        split[training[-count:]] = "validation"


def _inner_blocks(
    trajectories: Sequence[Trajectory],
    splits: Splits,
    share: float,
    generator: np.random.Generator,
    keep_first: int,
) -> None:
    for trajectory, split, training, count in _with_training(trajectories, splits, share):
        _check_left(trajectory, len(training), count, share)
        after = training[training >= keep_first]
        first = int(generator.integers(max(len(after) - count, 0), endpoint=True))
        split[after[first : first + count]] = "validation"


def _observations(
    trajectories: Sequence[Trajectory],
    splits: Splits,
    share: float,
    generator: np.random.Generator,
    keep_first: int,
) -> None:
    for trajectory, split, training, count in _with_training(trajectories, splits, share):
        candidates = training[(training >= keep_first) & (training < len(split) - 1)]
        _check_left(trajectory, len(candidates), count, share)
        split[generator.choice(candidates, size=count, replace=False)] = "validation"


def _share_cells(trajectories: Sequence[Trajectory], splits: Splits, by: str, keep_first: int) -> None:
    """Hold what one trajectory has in common with others out of all of them, or leave it to all."""
    shared = [
        (trajectory, split, trajectory.cells)
        for trajectory, split in zip(trajectories, splits, strict=True)
        if trajectory.cells is not None
    ]
    if not shared:
        return
    is_training = [training_mask(split, trajectory.phases) for trajectory, split, _ in shared]
    trained = np.concatenate([cells[rows] for (_, _, cells), rows in zip(shared, is_training, strict=True)])
    held_out = np.concatenate([cells[split == "validation"] for _, split, cells in shared])
    if by == "trajectory" and np.isin(held_out, trained).any():
        message = (
            "validation.by is 'trajectory', and the trajectories have cells in common, which would be trained on as "
            "well; choose 'inner_blocks' or 'time_blocks'"
        )
        raise UserError(message)
    starts = np.concatenate(
        [cells[:keep_first] for (_, _, cells), rows in zip(shared, is_training, strict=True) if rows.any()]
    )
    for (trajectory, split, cells), rows in zip(shared, is_training, strict=True):
        split[(split == "validation") & np.isin(cells, starts)] = "train"
        split[rows & np.isin(cells, held_out) & ~np.isin(cells, starts)] = "validation"
        left = int(training_mask(split, trajectory.phases).sum())
        if rows.any() and left < _FEWEST_LEFT:
            message = (
                f"validation leaves {left} of {int(rows.sum())} cells of trajectory {trajectory.name!r} for training, "
                "since it has the others in common with trajectories that they are held out of; choose a smaller share"
            )
            raise UserError(message)


def _with_training(
    trajectories: Sequence[Trajectory], splits: Splits, share: float
) -> Iterator[tuple[Trajectory, NDArray[np.str_], NDArray[np.intp], int]]:
    """Each trajectory with training observations: its splits, which these are, and how many make the share."""
    for trajectory, split in zip(trajectories, splits, strict=True):
        training = np.flatnonzero(training_mask(split, trajectory.phases))
        if len(training):
            yield trajectory, split, training, max(1, round(share * len(training)))


def _check_left(trajectory: Trajectory, available: int, count: int, share: float) -> None:
    if available - count < _FEWEST_LEFT:
        message = (
            f"validation.share {share:g} would leave too little of trajectory {trajectory.name!r} for training: "
            f"{count} of "
            f"{available} observations; choose a smaller share, or leave the trajectory out"
        )
        raise UserError(message)
