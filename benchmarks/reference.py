"""One model at a time, the way the published study trains: the loop that the ensemble is compared with.

The same work as the study's loop, in code of our own: the trajectories in turn, torchdiffeq's dopri5 with
rtol = atol = 1e-3 to every cell's time, the mean squared error over all cells, one hard-concrete gate on each input
unit, the path penalty from the full path matrix, Adam. The study draws the gates anew at each evaluation of the right-hand
side; `draw="solve"` draws them once for a solve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from sparsenode.dynamics import gates

TOLERANCE = 1e-3


class GatedNetwork(nn.Module):
    """A perceptron with a gate on each input unit of each layer; counts its evaluations."""

    def __init__(self, widths: Sequence[int], draw: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(widths))
        self.log_alpha = nn.ParameterList(torch.full((below,), gates.INITIAL_LOG_ALPHA) for below in widths[:-1])
        self.draw = draw
        self.drawn: list[Tensor] = []
        self.evaluations = 0

    def draw_gates(self) -> None:
        self.drawn = [gates.sample(log_alpha, torch.rand_like(log_alpha)) for log_alpha in self.log_alpha]

    def forward(self, _time: Tensor, state: Tensor) -> Tensor:
        self.evaluations += 1
        if self.draw == "evaluation":
            self.draw_gates()
        for index, layer in enumerate(self.layers):
            state = layer(state * self.drawn[index])
            if index < len(self.layers) - 1:
                state = nn.functional.elu(state)
        return state

    def penalty(self, kappa: float) -> Tensor:
        weights = [layer.weight.t().abs() for layer in self.layers]
        open_probability = [
            gates.open_probability(log_alpha)[:, None].expand_as(weight)
            for log_alpha, weight in zip(self.log_alpha, weights, strict=True)
        ]
        return torch.linalg.multi_dot(weights).mean() + kappa * torch.linalg.multi_dot(open_probability).mean()


@dataclass(frozen=True)
class Trajectory:
    """`start` (feature,), `times` (cell,) increasing from 0, `observed` (cell, feature)."""

    start: Tensor
    times: Tensor
    observed: Tensor


class ReferenceLoop:
    """`iterate` is one iteration over all trajectories; returns the loss."""

    def __init__(self, trajectories: Sequence[Trajectory], hidden: Sequence[int], draw: str, seed: int = 0) -> None:
        torch.manual_seed(seed)
        features = trajectories[0].observed.shape[1]
        self.trajectories = trajectories
        self.network = GatedNetwork([features, *hidden, features], draw)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.strength = 0.01

    def iterate(self) -> float:
        self.optimizer.zero_grad()
        loss = torch.zeros(())
        for one in self.trajectories:
            self.network.draw_gates()
            path = odeint(self.network, one.start, one.times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
            loss = loss + nn.functional.mse_loss(path, one.observed)
        total = loss + self.strength * self.network.penalty(0.1)
        total.backward()
        self.optimizer.step()
        return float(loss.detach())
