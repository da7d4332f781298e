"""What a training run is made of: what stays the same, and what an iteration changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsenode.dynamics import biological, network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.model import initialize, make_field
from sparsenode.ensemble.starts import GivenStarts
from sparsenode.errors import UserError
from sparsenode.methods import (
    EdgeMask,
    EdgeProximal,
    Method,
    Penalty,
    Pruner,
    WeightProximal,
    make_method,
    needs_one_network_per_target,
)
from sparsenode.pruning import keep_largest
from sparsenode.settings import PRUNING_THRESHOLD, MethodSettings, ModelSettings
from sparsenode.training import stopping
from sparsenode.training.adam import Adam
from sparsenode.training.edges import between_variables, edge_tensors, gather_edges
from sparsenode.training.stopping import Plateau

if TYPE_CHECKING:
    from sparsenode.dynamics.fields import VectorField


@dataclass(frozen=True)
class Task:
    """What stays the same during a run: `grid` holds the (strength, seed) of every member.

    `given` are the starts that learned ones begin from, `standards` (2, feature) what states are standardized by,
    `prior` what a pruner knows of edges, of the shape of a network without hidden layers: (in, target), or
    (target, in, 1) with one network per target. `compiled` tells whether the compiled kernel computes losses and their
    gradients.
    """

    settings: ModelSettings
    method: Method
    field: VectorField
    grid: tuple[tuple[float, int], ...]
    device: torch.device
    given: GivenStarts | None = None
    prior: Tensor | None = None
    standards: NDArray[np.floating[Any]] | None = None
    compiled: bool = False

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
    penalty at initialization, `edge_weights` none or one tensor (member, target, source), the weights of edges in a
    penalty on them, `scores` those of a pruner's last pruning, in the shapes of the weights, none before it. Random
    numbers are keyed by seed and iteration, so there is no state of them.
    """

    active: list[int]
    parameters: Parameters
    optimizer: Adam
    snapshot: Parameters
    penalty_scale: list[Tensor]
    plateau: Plateau | None
    edge_weights: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)


def make_task(
    features: int,
    settings: ModelSettings,
    method_settings: MethodSettings,
    seeds: Sequence[int],
    device: torch.device,
    starts: GivenStarts | None = None,
    prior: NDArray[np.floating[Any]] | None = None,
    standards: NDArray[np.floating[Any]] | None = None,
) -> Task:
    """Lay out the grid, strength by strength and seed by seed.

    Args:
        features: number of the variables.
        settings: the settings of the model.
        method_settings: the settings of the method.
        seeds: the seeds.
        device: the device of the training.
        starts: the starts from which learned ones begin.
        prior: (source, target), for methods that take a prior network.
        standards: (2, feature) what states are standardized by.

    Raises:
        UserError: the method needs one network per target and the model has another, or a warm-up and the model has
            none, or a strength is above the method's largest, or the method takes a prior and none is given.
    """
    method = make_method(method_settings.regularizer, method_settings.options)
    if needs_one_network_per_target(type(method)) and settings.network != "per_target":
        raise UserError(
            f"the method {method.name} needs one network per target, but `network` of the model is "
            f"{settings.network!r}; set it to 'per_target'"
        )
    if settings.warm_up == 0 and (reason := method.why_warm_up()) is not None:
        raise UserError(f"`warm_up` of the model is 0, with the method {method.name}, {reason}; set it above 0")
    strongest = max(method_settings.listed_strengths)
    if strongest > method.largest_strength:
        raise UserError(
            f"a strength of {strongest:g} has no meaning to the method {method.name}; give at most "
            f"{method.largest_strength:g}: {method.strength}"
        )
    if method.prior_name() is not None and prior is None:
        raise UserError(f"the method {method.name} takes a prior network, but none is given; give one (source, target)")
    return Task(
        settings,
        method,
        make_field(settings, features),
        tuple((strength, seed) for strength in method_settings.listed_strengths for seed in seeds),
        device,
        starts,
        None if prior is None else _as_network(prior, settings).to(device),
        standards,
    )


def _as_network(prior: NDArray[np.floating[Any]], settings: ModelSettings) -> Tensor:
    """A prior (source, target) as the weights of a model without hidden layers; a velocity represents its variable."""
    weights = torch.as_tensor(prior, dtype=torch.float32).repeat(settings.order, 1)
    return weights.T.unsqueeze(-1).contiguous() if settings.network == "per_target" else weights


def _allowed_inputs(prior: Tensor) -> Tensor:
    """Inputs (target, in, 1) that are edges of a prior of the same shape, or the target itself: 1, and 0 elsewhere."""
    itself = torch.eye(len(prior), device=prior.device).repeat(1, prior.shape[1] // len(prior)).unsqueeze(-1)
    return ((prior != 0) | (itself != 0)).to(prior.dtype)


def fresh_parameters(task: Task, members: Sequence[int]) -> Parameters:
    """Parameters of some members of the grid at initialization."""
    fresh = initialize(
        task.settings,
        task.field.features,
        task.seeds(members),
        gated=task.method.gated,
        skip=task.method.skip,
        given=task.given,
        standards=task.standards,
    )
    if isinstance(task.method, Pruner):
        fresh = network.mask_nothing(fresh)
    if isinstance(task.method, EdgeMask):
        assert task.prior is not None  # noqa: S101  the method takes one
        fresh = network.mask_edges(fresh, _allowed_inputs(task.prior))
    return fresh.map(lambda tensor: tensor.to(task.device))


def start(task: Task, members: Sequence[int]) -> Run:
    """A run of some members of the grid at initialization."""
    parameters = _leaves(fresh_parameters(task, members))
    plateau = stopping.start(len(members), task.device) if task.settings.stop else None
    optimizer = _make_optimizer(parameters, task.settings, refitting=False)
    run = Run(list(members), parameters, optimizer, copy(parameters), [], plateau)
    if isinstance(task.method, EdgeProximal):
        alike = between_variables(task.field.features, task.device)
        run.edge_weights = [alike.expand(len(members), -1, -1).contiguous()]
    if task.settings.normalization == "relative":
        with torch.no_grad():
            # A penalty of nothing, that on edges of a single variable, stays zero.
            run.penalty_scale = [torch.where(term > 0, term, 1.0) for _, term in penalty_terms(run, task)]
    return run


def start_shooting(run: Run, task: Task, fresh: Parameters, reset: Tensor) -> None:
    """Let solves follow on matching: with a new optimizer, since its moments are those of other gradients.

    Args:
        run: the run, at the end of matching.
        task: what stays the same.
        fresh: parameters of the members at initialization.
        reset: which members begin again from there, (member,), with what was pruned left out.
    """
    with torch.no_grad():
        for name, tensor in run.parameters.named().items():
            if not name.startswith("masks."):
                tensor[reset] = fresh.named()[name][reset]
        if run.parameters.masks:
            for weight, mask in zip(run.parameters.prunable, run.parameters.masks, strict=True):
                weight.mul_(mask)
    run.optimizer = _make_optimizer(run.parameters, task.settings, refitting=False)


def start_refit(task: Task, members: Sequence[int], trained: Sequence[Parameters]) -> Run:
    """A run that refits trained members: what is closed is masked, the rest starts where it is."""
    joined = network.join(trained).map(lambda tensor: tensor.to(task.device))
    with torch.no_grad():
        pruned = network.prune_closed(joined, PRUNING_THRESHOLD)
    parameters = _leaves(pruned)
    optimizer = _make_optimizer(parameters, task.settings, refitting=True)
    return Run(list(members), parameters, optimizer, copy(pruned), [], None)


def keep_members(run: Run, rows: Sequence[int]) -> None:
    """Let the other members leave the batch: their rows of all tensors go."""
    old = run.parameters
    run.parameters = _leaves(network.select(old, rows))
    replaced = dict(zip(old.named().values(), run.parameters.named().values(), strict=True))
    run.optimizer.replace(replaced, rows)
    run.snapshot = network.select(run.snapshot, rows)
    run.penalty_scale = [scale[list(rows)] for scale in run.penalty_scale]
    run.edge_weights = [weights[list(rows)] for weights in run.edge_weights]
    run.scores = [scores[list(rows)] for scores in run.scores]
    if run.plateau is not None:
        run.plateau = run.plateau.select(rows)
    run.active = [run.active[row] for row in rows]


def take_snapshot(run: Run, sound: Tensor, parameters: Parameters) -> None:
    """Remember the parameters of the members that are sound (member,)."""
    for saved, current in zip(run.snapshot.named().values(), parameters.named().values(), strict=True):
        saved[sound] = current.detach()[sound]


def edge_sizes(run: Run, task: Task) -> Tensor:
    """Penalty (member, target, source) of every edge, unweighted, for a method that acts on edges."""
    assert isinstance(task.method, EdgeProximal)  # noqa: S101  the caller asks of no other
    edges, *skip = (gather_edges(tensor, task.field.order) for tensor in edge_tensors(run.parameters))
    return task.method.edge_size(edges, skip[0] if skip else None)


def reweigh_edges(run: Run, task: Task) -> None:
    """Let the method weigh the edges of its penalty, by how large they are after training without it."""
    assert isinstance(task.method, EdgeProximal)  # noqa: S101  the caller asks of no other
    with torch.no_grad():
        weights = task.method.edge_weights(edge_sizes(run, task))
    if weights is not None:
        run.edge_weights = [weights * between_variables(weights.shape[1], task.device)]


def pruning_iterations(task: Task, iterations: int) -> list[int]:
    """Iterations at which the method prunes in a training of so many."""
    if not isinstance(task.method, Pruner):
        return []
    return list(task.method.weights_left(1, task.grid[0][0], iterations))


@torch.no_grad()
def prune(run: Run, task: Task, iteration: int, iterations: int) -> None:
    """Leave each member the weights with the largest scores, as many as its schedule says at an iteration.

    Each chain of layers is scored and counted by itself. Of networks of single targets only what leads from the sources
    is pruned: the few other weights are the target's own, and one that has lost them has lost all.
    """
    assert isinstance(task.method, Pruner)  # noqa: S101  the caller asks of no other
    # After the layers of the weights comes the skip, which leads from the sources too.
    left_alone = range(1, len(run.parameters.weights)) if task.settings.network == "per_target" else range(0)
    if not run.scores:
        run.scores = network.sizes(run.parameters)
    for row, member in enumerate(run.active):  # one by one, so that no neighbor changes a rounding, nor the order by it
        strength = task.grid[member][0]
        parameters = run.parameters.map(itemgetter(row))
        own_sizes = network.sizes(parameters)
        if not all(bool(size.isfinite().all()) for size in own_sizes):
            continue  # diverged, and set aside at the next check
        layers = (parameters.prunable, parameters.masks, [scores[row] for scores in run.scores], own_sizes)
        for weights, masks, before, sizes in zip(
            *(network.chains(parameters, tensors) for tensors in layers), strict=True
        ):
            new_scores = task.method.scores(sizes, before, task.prior, strength)
            for layer, (weight, mask, scores, new) in enumerate(zip(weights, masks, before, new_scores, strict=True)):
                scores.copy_(new)
                if layer in left_alone:
                    continue
                left = task.method.weights_left(weight.numel(), strength, iterations)[iteration]
                mask.copy_(keep_largest(new, weight, mask, left))
                weight.mul_(mask)


def penalty_terms(run: Run, task: Task) -> list[tuple[float, Tensor]]:
    """Coefficients and terms (member,) of the method's penalty, or the value that its proximal step represents."""
    parameters = run.parameters
    per_entry = task.settings.normalization == "study"
    if isinstance(task.method, EdgeProximal):
        weighted = (edge_sizes(run, task) * run.edge_weights[0]).flatten(1)
        return [(1.0, weighted.mean(1) if per_entry else weighted.sum(1))]
    if isinstance(task.method, WeightProximal):
        return [(1.0, task.method.size(parameters.weights, per_entry=per_entry))]
    if not isinstance(task.method, Penalty):
        return []
    probabilities = network.open_probabilities(parameters)
    return list(task.method.penalty(parameters.weights, probabilities, per_entry=per_entry))


def pack(run: Run) -> dict[str, Tensor]:
    """All tensors of a run by name; `unpack` is the inverse."""
    packed = {f"parameters.{name}": tensor.detach() for name, tensor in run.parameters.named().items()}
    packed |= {f"snapshot.{name}": tensor for name, tensor in run.snapshot.named().items()}
    packed |= {f"penalty_scale.{index}": scale for index, scale in enumerate(run.penalty_scale)}
    packed |= {f"edge_weights.{index}": weights for index, weights in enumerate(run.edge_weights)}
    packed |= {f"scores.{index}": scores for index, scores in enumerate(run.scores)}
    for index, moments in run.optimizer.moments().items():
        packed |= {f"moments.{index}.{key}": value for key, value in moments.items()}
    if run.plateau is not None:
        packed |= {f"plateau.{name}": tensor for name, tensor in vars(run.plateau).items()}
    return packed


def unpack(task: Task, members: Sequence[int], packed: Mapping[str, Tensor], *, refitting: bool) -> Run:
    """A run as it was when it was packed."""
    placed = {name: tensor.to(task.device) for name, tensor in packed.items()}
    parameters = _leaves(network.from_named(below(placed, "parameters.")))
    optimizer = _make_optimizer(parameters, task.settings, refitting=refitting)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in below(placed, "moments.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_moments(state)
    scale, scores = below(placed, "penalty_scale."), below(placed, "scores.")
    plateau = below(placed, "plateau.")
    return Run(
        list(members),
        parameters,
        optimizer,
        network.from_named(below(placed, "snapshot.")),
        [scale[str(index)] for index in range(len(scale))],
        Plateau(**plateau) if plateau else None,
        list(below(placed, "edge_weights.").values()),
        [scores[str(index)] for index in range(len(scores))],
    )


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def copy(parameters: Parameters) -> Parameters:
    """Copies that collect no gradients."""
    return parameters.map(lambda tensor: tensor.detach().clone())


def _leaves(parameters: Parameters) -> Parameters:
    """Copies that collect gradients, but for what is not trained."""
    leaves = copy(parameters)
    for name, tensor in leaves.named().items():
        tensor.requires_grad_(not name.startswith(network.NOT_TRAINED))
    return leaves


def _make_optimizer(parameters: Parameters, settings: ModelSettings, *, refitting: bool) -> Adam:
    """Adam with groups for multipliers and gates; `peak` of a group is where the schedule starts, in each iteration."""
    learning_rate = settings.refit.learning_rate if settings.refit and refitting else settings.learning_rate
    plain = [*parameters.weights, *parameters.biases, *parameters.velocity_weights, *parameters.velocity_biases]
    plain.extend((*parameters.decay, *parameters.starts, *parameters.skip))
    groups: list[dict[str, Any]] = [{"params": plain, "peak": learning_rate}]
    if parameters.multiplier:
        rate = biological.LEARNING_RATE_OF_RATES * learning_rate
        groups.append({"params": list(parameters.multiplier), "peak": rate})
    if parameters.log_alpha and not refitting:
        rate = settings.gates_learning_rate
        groups.append({"params": list(parameters.log_alpha), "peak": rate})
    return Adam(groups, on_device=plain[0].device.type != "cpu")
