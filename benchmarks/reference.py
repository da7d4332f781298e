"""One model at a time, the way the published study trains: the loop that the ensemble is compared with.

The same work as the study's loop (theislab/PathReg, the single-cell notebook), in code of our own: the trajectories in
turn, torchdiffeq's dopri5 with rtol = atol = 1e-3 to every cell's time, the mean squared error over all cells, one
hard-concrete gate on each input unit, multiplied into the weights, the path penalty from the full path matrix, Adam.
Weights, gates and activations start and stand as in the study. It draws the gates anew at each evaluation of the
right-hand side; `draw="solve"` draws them once for a solve. Left out is what only its notebook adds: copying the
solution cell by cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from sparsenode.dynamics import gates

TOLERANCE = 1e-3
DROP_RATES = (0.2, 0.5, 0.5)
"""Of the gates of each layer, at the start."""


class GatedNetwork(nn.Module):
    """A perceptron with a gate on each input unit of each layer; counts its evaluations."""

    def __init__(self, widths: Sequence[int], draw: str) -> None:
        super().__init__()
        shapes = list(pairwise(widths))
        # Kaiming's normal start by the study's reading of "fan out", which is the number of inputs here.
        self.weights = nn.ParameterList(torch.randn(below, above) * math.sqrt(2 / below) for below, above in shapes)
        self.biases = nn.ParameterList(torch.zeros(above) for _, above in shapes)
        self.log_alpha = nn.ParameterList(
            torch.normal(math.log(1 - rate) - math.log(rate), 0.01, (below,))
            for rate, (below, _) in zip(DROP_RATES, shapes, strict=True)
        )
        self.draw = draw
        self.gated: list[Tensor] = []
        self.evaluations = 0

    def draw_gates(self) -> None:
        """Multiply a new draw of the gates into the weights."""
        self.gated = [
            weight * gates.sample(log_alpha, torch.rand_like(log_alpha).logit(1e-6))[:, None]
            for weight, log_alpha in zip(self.weights, self.log_alpha, strict=True)
        ]

    def forward(self, _time: Tensor, state: Tensor) -> Tensor:
        """Rate of change of a state (1, feature)."""
        self.evaluations += 1
        if self.draw == "evaluation":
            self.draw_gates()
        for index, (weight, bias) in enumerate(zip(self.gated, self.biases, strict=True)):
            state = state @ weight + bias
            if index == 0:  # the study's second hidden layer is linear
                state = nn.functional.elu(state)
        return state

    def penalty(self, kappa: float) -> Tensor:
        """Mean over the entries of the path matrix, and of that of a draw of the gates."""
        weights = [weight.abs() for weight in self.weights]
        ones = [
            gates.sample(log_alpha, torch.rand_like(log_alpha).logit(1e-6))[:, None] * torch.ones_like(weight)
            for weight, log_alpha in zip(self.weights, self.log_alpha, strict=True)
        ]
        return torch.linalg.multi_dot(weights).mean() + kappa * torch.linalg.multi_dot(ones).mean()


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
        """One iteration over all trajectories."""
        self.optimizer.zero_grad()
        loss = torch.zeros(())
        for one in self.trajectories:
            self.network.draw_gates()
            start = one.start[None]
            path = odeint(self.network, start, one.times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
            loss = loss + nn.functional.mse_loss(path[:, 0], one.observed)
        total = loss + self.strength * self.network.penalty(0.1)
        total.backward()
        self.optimizer.step()
        return float(loss.detach())
