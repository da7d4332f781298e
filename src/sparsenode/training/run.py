"""What a training run is made of: what stays the same, and what an iteration changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsenode.dynamics import network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble import PRUNING_THRESHOLD
from sparsenode.methods import Method, get_method
from sparsenode.model import initialize, make_field
from sparsenode.settings import MethodSettings, ModelSettings
from sparsenode.starts import GivenStarts
from sparsenode.training import stopping
from sparsenode.training.stopping import Plateau

if TYPE_CHECKING:
    from sparsenode.dynamics.fields import VectorField


@dataclass(frozen=True)
class Task:
    """What stays the same during a run: `grid` holds the (strength, seed) of every member.

    `given` are the starts that learned ones begin from.
    """

    settings: ModelSettings
    method: Method
    options: dict[str, Any]
    field: VectorField
    grid: tuple[tuple[float, int], ...]
    device: torch.device
    given: GivenStarts | None = None

    def strengths(self, members: Sequence[int]) -> Tensor:
        """Strengths (member,) of some members of the grid."""
        return torch.tensor([self.grid[member][0] for member in members], device=self.device)

    def seeds(self, members: Sequence[int]) -> list[int]:
        """Seeds of some members of the grid."""
        return [self.grid[member][1] for member in members]


@dataclass
class Run:
    """What training changes; the first axis of every tensor is the members still in training, `active` in the grid.

    `snapshot` are the parameters of the last check at which a member was sound, `penalty_scale` the terms of the
    penalty at initialization. Random numbers are keyed by seed and iteration, so there is no state of them.
    """

    active: list[int]
    parameters: Parameters
    optimizer: torch.optim.Adam
    snapshot: Parameters
    penalty_scale: list[Tensor]
    plateau: Plateau | None


def make_task(
    features: int,
    settings: ModelSettings,
    method_settings: MethodSettings,
    seeds: Sequence[int],
    device: torch.device,
    given: GivenStarts | None = None,
) -> Task:
    """Lay out the grid, strength by strength and seed by seed."""
    return Task(
        settings,
        get_method(method_settings.regularizer),
        dict(method_settings.options),
        make_field(settings, features),
        tuple((strength, seed) for strength in method_settings.strengths for seed in seeds),
        device,
        given,
    )


def start(task: Task, members: Sequence[int]) -> Run:
    """A run of some members of the grid at initialization."""
    fresh = initialize(
        task.settings, task.field.features, task.seeds(members), gated=task.method.gated, given=task.given
    )
    parameters = _leaves(fresh.map(lambda tensor: tensor.to(task.device)))
    scale = []
    if task.settings.normalization == "relative":
        with torch.no_grad():
            scale = [term for _, term in penalty_terms(parameters, task)]
    plateau = stopping.start(len(members), task.device) if task.settings.stop else None
    optimizer = _make_optimizer(parameters, task.settings)
    return Run(list(members), parameters, optimizer, _copy(parameters), scale, plateau)


def start_refit(task: Task, members: Sequence[int], trained: Sequence[Parameters]) -> Run:
    """A run that refits trained members: what is closed is masked, the rest starts where it stands."""
    joined = network.join(trained).map(lambda tensor: tensor.to(task.device))
    with torch.no_grad():
        pruned = network.prune_closed(joined, task.settings.activation, PRUNING_THRESHOLD)
    parameters = _leaves(pruned)
    optimizer = _make_optimizer(parameters, task.settings)
    return Run(list(members), parameters, optimizer, _copy(pruned), [], None)


def keep_members(run: Run, rows: Sequence[int]) -> None:
    """Let the other members leave the batch: their rows of all tensors go."""
    old = run.parameters
    run.parameters = _leaves(network.select(old, rows))
    replaced = dict(zip(old.named().values(), run.parameters.named().values(), strict=True))
    for group in run.optimizer.param_groups:
        group["params"] = [replaced[tensor] for tensor in group["params"]]
    for before, after in replaced.items():
        if before in run.optimizer.state:
            moments = run.optimizer.state.pop(before)
            run.optimizer.state[after] = {
                key: value[list(rows)] if value.dim() else value for key, value in moments.items()
            }
    run.snapshot = network.select(run.snapshot, rows)
    run.penalty_scale = [scale[list(rows)] for scale in run.penalty_scale]
    if run.plateau is not None:
        run.plateau = run.plateau.select(rows)
    run.active = [run.active[row] for row in rows]


def take_snapshot(run: Run, sound: Tensor) -> None:
    """Remember the parameters of the members that are sound (member,)."""
    for kept, current in zip(run.snapshot.named().values(), run.parameters.named().values(), strict=True):
        kept[sound] = current.detach()[sound]


def penalty_terms(parameters: Parameters, task: Task) -> list[tuple[float, Tensor]]:
    """Coefficients and terms (member,) of the method's penalty, or the value that its proximal step stands for."""
    per_entry = task.settings.normalization == "study"
    if task.method.size is not None:
        return [(1.0, task.method.size(parameters.weights, per_entry=per_entry, **task.options))]
    if task.method.penalty is None:
        return []
    probabilities = network.open_probabilities(parameters)
    return list(task.method.penalty(parameters.weights, probabilities, per_entry=per_entry, **task.options))


def pack(run: Run) -> dict[str, Tensor]:
    """All tensors of a run by name; `unpack` is the inverse."""
    packed = {f"parameters.{name}": tensor.detach() for name, tensor in run.parameters.named().items()}
    packed |= {f"snapshot.{name}": tensor for name, tensor in run.snapshot.named().items()}
    packed |= {f"penalty_scale.{index}": scale for index, scale in enumerate(run.penalty_scale)}
    for index, moments in run.optimizer.state_dict()["state"].items():
        packed |= {f"moments.{index}.{key}": value for key, value in moments.items()}
    if run.plateau is not None:
        packed |= {f"plateau.{name}": tensor for name, tensor in vars(run.plateau).items()}
    return packed


def unpack(task: Task, members: Sequence[int], packed: Mapping[str, Tensor]) -> Run:
    """A run as it was when it was packed."""
    placed = {name: tensor.to(task.device) for name, tensor in packed.items()}
    parameters = _leaves(network.from_named(below(placed, "parameters.")))
    optimizer = _make_optimizer(parameters, task.settings)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in below(placed, "moments.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    scale = below(placed, "penalty_scale.")
    plateau = below(placed, "plateau.")
    return Run(
        list(members),
        parameters,
        optimizer,
        network.from_named(below(placed, "snapshot.")),
        [scale[str(index)] for index in range(len(scale))],
        Plateau(**plateau) if plateau else None,
    )


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _copy(parameters: Parameters) -> Parameters:
    return parameters.map(lambda tensor: tensor.detach().clone())


def _leaves(parameters: Parameters) -> Parameters:
    """Copies that collect gradients, but for what is not trained."""
    leaves = _copy(parameters)
    for name, tensor in leaves.named().items():
        tensor.requires_grad_(not name.startswith(network.NOT_TRAINED))
    return leaves


def _make_optimizer(parameters: Parameters, settings: ModelSettings) -> torch.optim.Adam:
    """Adam with a group for the gates; `peak` of a group is what the schedule starts from, in each iteration anew."""
    learning_rate = settings.refit.learning_rate if settings.refit and parameters.masks else settings.learning_rate
    plain = [*parameters.weights, *parameters.biases, *parameters.velocity_weights, *parameters.velocity_biases]
    plain.extend((*parameters.decay, *parameters.starts))
    groups: list[dict[str, Any]] = [{"params": plain, "lr": learning_rate, "peak": learning_rate}]
    if parameters.log_alpha and not parameters.masks:
        rate = settings.gates_learning_rate
        groups.append({"params": list(parameters.log_alpha), "lr": rate, "peak": rate})
    return torch.optim.Adam(groups, fused=True)
