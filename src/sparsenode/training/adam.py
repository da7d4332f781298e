"""Adam (Kingma & Ba 2015, arXiv 1412.6980) by torch's fused kernel, without the module `torch.optim`.

That module imports torch's compiler at the first optimizer of a process, which takes seconds; and a step that is
recorded as a CUDA graph needs learning rates that are read on the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Groups of tensors, each with a learning rate, and their moments; bit for bit `torch.optim.Adam(fused=True)`.

    `state` holds for each tensor that has ever had a gradient its `step` (), `exp_avg` and `exp_avg_sq`, in its own
    shape and on its device.

    Args:
        groups: of each group its tensors `params` and `peak`, the learning rate that `set_share` takes shares of.
        on_device: whether learning rates are read from tensors on the device of the parameters.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], *, on_device: bool = False) -> None:
        self.param_groups: list[dict[str, Any]] = [
            {**group, "params": list(group["params"]), "lr": group["peak"], "betas": BETAS, "eps": EPSILON}
            for group in groups
        ]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._rates = [
            torch.tensor(group["peak"], dtype=torch.float32, device=group["params"][0].device) if on_device else None
            for group in self.param_groups
        ]

    def set_share(self, share: float) -> None:
        """Every group's learning rate as a share of its peak."""
        for group, rate in zip(self.param_groups, self._rates, strict=True):
            group["lr"] = group["peak"] * share
            if rate is not None:
                rate.fill_(group["lr"])

    def rate(self, group: int) -> float | Tensor:
        """The learning rate of a group, as a tensor () where it is read on the device."""
        rate = self._rates[group]
        return float(self.param_groups[group]["lr"]) if rate is None else rate

    def correction(self, tensor: Tensor, moment: int) -> float | Tensor:
        """1 - beta**step of the first (0) or second (1) moment of a tensor of the first group; on the device a tensor.

        A moment divided by it is the unbiased one.
        """
        count = self.state[tensor]["step"]
        beta = BETAS[moment]
        if self._rates[0] is None:
            return float(1.0 - beta ** float(count))
        return (1.0 - beta ** count.double()).float()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every tensor that has a gradient."""
        for index, group in enumerate(self.param_groups):
            moved = [tensor for tensor in group["params"] if tensor.grad is not None]
            if not moved:
                continue
            for tensor in moved:
                if tensor not in self.state:
                    self.state[tensor] = {
                        "step": torch.zeros((), dtype=torch.float32, device=tensor.device),
                        "exp_avg": torch.zeros_like(tensor, memory_format=torch.preserve_format),
                        "exp_avg_sq": torch.zeros_like(tensor, memory_format=torch.preserve_format),
                    }
            moments = [self.state[tensor] for tensor in moved]
            steps = [moment["step"] for moment in moments]
            torch._foreach_add_(steps, 1.0)
            torch._fused_adam_(
                moved,
                [tensor.grad for tensor in moved],
                [moment["exp_avg"] for moment in moments],
                [moment["exp_avg_sq"] for moment in moments],
                [],
                steps,
                lr=self.rate(index),
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def moments(self) -> dict[int, dict[str, Tensor]]:
        """The state by the number of the tensor, counted through all groups."""
        return {number: self.state[tensor] for number, tensor in enumerate(self._tensors()) if tensor in self.state}

    def load_moments(self, moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take over what `moments` has given."""
        tensors = self._tensors()
        self.state = {tensors[number]: dict(state) for number, state in moments.items()}

    def replace(self, tensors: Mapping[Tensor, Tensor], rows: Sequence[int]) -> None:
        """Go on with other tensors, and with the moments of some rows of the first axis."""
        for group in self.param_groups:
            group["params"] = [tensors[tensor] for tensor in group["params"]]
        self.state = {
            tensors[tensor]: {key: value[list(rows)] if value.dim() else value for key, value in state.items()}
            for tensor, state in self.state.items()
        }

    def _tensors(self) -> list[Tensor]:
        return [tensor for group in self.param_groups for tensor in group["params"]]
