"""Learned starts: where the trajectories of a group begin, learned with the vector field from all their observations.

The first few observations of a trajectory are a noisy start, which a forecast carries along, and by nothing else can a
vector field tell the groups (lineages, branches) of its trajectories apart. A learned start is a parameter of each
group, and the field is solved from it: x = y + d, dy/dt = f(y), dd/dt = -decay d. The deviation d begins at the part of
what the given start differs by that is beyond the noise (James and Stein 1961: one share for all variables, zero where
the difference is noise), and is forgotten at the rates of decay that the field has learned. It does not pass through
the network, which has seen no such deviation where each group has one trajectory to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.contract import observation_counts, read_metadata, training_mask, trajectory_slices
from sparsenode.data.windows import observation_noise

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GivenStarts:
    """What is known of each group's start before training, from the training trajectories.

    `means` (group, feature) of the starts that are given, and `errors` (group, feature): the standard error of the
    difference between a further trajectory's given start and that mean, were both groups of cells alike.
    """

    groups: tuple[str, ...]
    means: np.ndarray
    errors: np.ndarray

    def rows_of(self, groups: Sequence[str], states: np.ndarray) -> np.ndarray:
        """Number (row,) of each group; of one that is not among these, the nearest to its state (row, feature)."""
        number = {name: index for index, name in enumerate(self.groups)}
        if all(name in number for name in groups):
            return np.array([number[name] for name in groups], dtype=np.int64)
        references = [torch.as_tensor(reference)[None] for reference in (self.means, self.errors)]
        nearest = nearest_groups(references, torch.as_tensor(states, dtype=references[0].dtype)).tolist()
        return np.array([number.get(name, near) for name, near in zip(groups, nearest, strict=True)], dtype=np.int64)


def given_starts(adata: AnnData) -> GivenStarts:
    """Mean and error of the given starts of each group that has training observations, in the order of the file."""
    metadata = read_metadata(adata)
    fitted = training_mask(adata.obs["split"], adata.obs["phase"])
    values = np.asarray(adata.X, dtype=np.float64)
    counts = observation_counts(adata)
    group_of = adata.obs["group"].astype(str).to_numpy()
    starts: dict[str, list[np.ndarray]] = {}
    noise: dict[str, list[np.ndarray]] = {}
    for name, rows in trajectory_slices(adata).items():
        fitted_rows = np.arange(rows.start, rows.stop)[fitted[rows]]
        if len(fitted_rows):
            group = group_of[fitted_rows[0]]
            starts.setdefault(group, []).append(metadata.initial_states.loc[name].to_numpy(dtype=np.float64))
            noise.setdefault(group, []).append(observation_noise(values[fitted_rows], counts[fitted_rows]))
    averaged = metadata.initial_state_count
    errors = [
        np.sqrt(np.square(group_noise).mean(0) / averaged * (1.0 + 1.0 / len(group_noise)))
        for group_noise in (np.array(estimates) for estimates in noise.values())
    ]
    return GivenStarts(
        tuple(starts), np.array([np.mean(group_starts, axis=0) for group_starts in starts.values()]), np.array(errors)
    )


def shrinkage(differences: Tensor, errors: Tensor) -> Tensor:
    """Share (..., 1) of differences (..., feature) that is beyond noise of the standard errors (..., feature).

    The positive part of 1 - (p - 2) / sum of squared z over the p features with an error (James & Stein 1961; Efron &
    Morris 1973, equation 1.5): 0 where the differences are as large as noise by itself is, and nearly 1 where they
    are many times larger. With fewer than three features nothing is shrunk.
    """
    noisy = errors > 0
    squares = torch.where(noisy, differences / errors.clamp(min=torch.finfo(errors.dtype).tiny), 0.0).square().sum(-1)
    count = noisy.sum(-1).to(differences.dtype)
    # A difference of exactly nothing has no share: its own trajectory is the group's only one.
    share = (1.0 - (count - 2.0).clamp(min=0.0) / squares.clamp(min=1e-30)).clamp(0.0, 1.0)
    return share.unsqueeze(-1)


def deviations(references: Sequence[Tensor], states: Tensor, groups: Tensor, levels: Tensor | None = None) -> Tensor:
    """What given starts tell beyond noise of how they differ from their groups', (member, row, feature).

    Args:
        references: the means and the errors (member, group, feature) of the starts that were given in training.
        states: the starts (row, feature).
        groups: (row,) numbers of the rows' groups.
        levels: (row,) levels of the rows; 1 where it is None.
    """
    means, errors = (reference[:, groups] for reference in references)
    differences = states - (means if levels is None else means * levels[:, None])
    return shrinkage(differences, errors) * differences


def deviation_nodes(deviation: Tensor, decay: Tensor, step: Tensor, nodes: range) -> Tensor:
    """Node values (member, row, 2 x nodes, feature) of deviations that decay.

    In the form of `solve_nodes`, to whose nodes they are added.

    Args:
        deviation: (member, row, feature) at the start.
        decay: (member, 1, feature) rates of decay, below zero taken as zero.
        step: (row, 1) step of the grid.
        nodes: numbers of the nodes of the grid.
    """
    rate = decay.clamp(min=0.0).unsqueeze(2)
    step = step.unsqueeze(-1)
    times = torch.arange(nodes.start, nodes.stop, dtype=step.dtype, device=step.device)[:, None] * step
    states = torch.exp(-rate * times) * deviation.unsqueeze(2)
    return torch.cat((states, -rate * step * states), dim=2)


def nearest_groups(references: Sequence[Tensor], states: Tensor) -> Tensor:
    """Group (row,) whose given start is the least standard errors away from each state (row, feature)."""
    means, errors = (reference[0] for reference in references)
    scaled = torch.where(errors > 0, 1.0 / errors.clamp(min=torch.finfo(errors.dtype).tiny), 0.0)
    distances = ((states.unsqueeze(1) - means) * scaled).square().sum(-1)
    return distances.argmin(-1)
