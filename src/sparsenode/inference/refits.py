"""Levenberg-Marquardt for many small least-squares problems at once: the network of one target along given inputs.

The start of each window enters the residuals of that window only, so it is projected out of residuals and Jacobian
(variable projection, Golub and Pereyra 1973) and follows from the step of the parameters. Parameters are shortened by a
ridge, whose size can follow from the evidence (MacKay 1992; Foresee and Hagan 1997).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsenode.dynamics.fused import refit as fused
from sparsenode.inference.networks import Inputs, Layout, Path, parameter_sensitivity, solve_targets, start_sensitivity

_TRIES = 4  # of a step, with more damping each time
_CALM = 2  # steps in a row that hardly lower the loss, after which a refit has converged
_FIRST_DAMPING, _LEAST_DAMPING, _SLIGHT_DAMPING, _MOST_DAMPING = 1e-3, 1e-9, 1e-2, 1e9
_TINY = 1e-300
_FEWEST_EFFECTIVE = 1e-3  # parameters of a group, below which its ridge is not larger
_LARGEST_PRECISION = 1e5  # inverse of the variance of a group's parameters


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Refits of one batch.

    Attributes:
        layout: of the parameters.
        inputs: what drives each network.
        observed: raw observations, (network, window, node), 0 where there is none.
        weight: 1 where there is an observation, else 0, (network, window, node).
        mask: 1 for inputs that a network may use, else 0, (network, input).
    """

    layout: Layout
    inputs: Inputs
    observed: Tensor
    weight: Tensor
    mask: Tensor

    def data(self) -> fused.Data:
        """As the compiled kernel takes them."""
        return fused.Data(
            values=self.inputs.values,
            lengths=self.inputs.steps,
            slope=self.inputs.slope,
            observed=self.observed,
            weight=self.weight,
            mask=self.mask,
            units=self.layout.units,
        )

    def of(self, networks: Tensor) -> Problems:
        """Those of some networks, by number (network,)."""
        return replace(
            self,
            inputs=self.inputs.of(networks),
            observed=self.observed[networks],
            weight=self.weight[networks],
            mask=self.mask[networks],
        )


@dataclass(frozen=True, kw_only=True)
class Fits:
    """Fitted networks.

    `parameters` (network, parameter) and `start` (network, window), the ridge (network, parameter), the sum of squared
    residuals (network,), and the curvature of half of it, (network, parameter, parameter), without the ridge, with the
    starts projected out.
    """

    parameters: Tensor
    start: Tensor
    ridge: Tensor
    squares: Tensor
    curvature: Tensor

    def of(self, networks: Tensor) -> Fits:
        """Those of some networks, by number (network,)."""
        return Fits(**{name: value[networks] for name, value in vars(self).items()})


@dataclass
class _Linear:
    """The least-squares problem about the present parameters: what a step is computed from."""

    residual: Tensor
    along: Tensor
    through_start: Tensor
    norm: Tensor
    normal: Tensor
    gradient: Tensor


def refit(
    problems: Problems, parameters: Tensor, start: Tensor, ridge: Tensor, *, steps: int, tolerance: float = 1e-4
) -> Fits:
    """Refit every network from its parameters, until the loss hardly falls or `steps` are done.

    Args:
        problems: what is fitted.
        parameters: to begin with, (network, parameter).
        start: states at the starts of the windows to begin with, (network, window).
        ridge: weight of the squared parameters beside the squared residuals, (network,) or (network, parameter).
        steps: most steps.
        tolerance: share of the loss by which a step must lower it, else the refit is calm; after two of those it ends.
    """
    ridge = _of_parameters(ridge, parameters)
    if not fused.is_available():
        return refit_plainly(problems, parameters, start, ridge, steps=steps, tolerance=tolerance)
    search = fused.Search(
        steps=steps,
        tries=_TRIES,
        calm=_CALM,
        tolerance=tolerance,
        first_damping=_FIRST_DAMPING,
        least_damping=_LEAST_DAMPING,
        slight_damping=_SLIGHT_DAMPING,
        most_damping=_MOST_DAMPING,
    )
    fitted, started, squares, curvature = fused.refit_networks(problems.data(), parameters, start, ridge, search)
    return Fits(parameters=fitted, start=started, ridge=ridge, squares=squares, curvature=curvature)


def refit_plainly(
    problems: Problems, parameters: Tensor, start: Tensor, ridge: Tensor, *, steps: int, tolerance: float
) -> Fits:
    """The same by operations of torch: what the kernel is compared with, and taken where there is no compiler."""
    free, ridge = problems.layout.free(problems.mask), _of_parameters(ridge, parameters)
    parameters, start = parameters * free, start.clone()
    count = len(parameters)
    curvature = parameters.new_zeros((count, parameters.shape[1], parameters.shape[1]))
    path = solve_targets(problems.layout, parameters, start, problems.inputs)
    squares = _squares(problems, path)
    damping = parameters.new_full((count,), _FIRST_DAMPING)
    calm = torch.zeros(count, dtype=torch.long)
    active = torch.arange(count)
    for number in range(steps + 1):
        batch = problems.of(active) if len(active) < count else problems
        linear = _linearize(batch, path.of(active), parameters[active], free[active], ridge[active])
        curvature[active] = linear.normal
        if number == steps:
            break
        before = squares[active] + (ridge[active] * parameters[active].square()).sum(-1)
        # Where a step that is hardly damped promises no gain, none is tried.
        promise = _promise(linear, free[active], ridge[active], damping[active]) / before.clamp(min=_TINY)
        pending = torch.nonzero((promise >= tolerance) | (damping[active] > _SLIGHT_DAMPING))[:, 0]
        gained = torch.zeros_like(before)
        hopeless = promise.new_ones(len(active), dtype=torch.bool)
        hopeless[pending] = False
        for _ in range(_TRIES):
            if not len(pending):
                break
            rows = active[pending]
            moved, started = _step(
                linear, pending, parameters[rows], start[rows], free[rows], ridge[rows], damping[rows]
            )
            tried = problems.of(rows)
            trial_path = solve_targets(problems.layout, moved, started, tried.inputs)
            trial = _squares(tried, trial_path)
            after = trial + (ridge[rows] * moved.square()).sum(-1)
            better = after < before[pending]
            rows_better = rows[better]
            parameters[rows_better], start[rows_better] = moved[better], started[better]
            squares[rows_better] = trial[better]
            path.assign(rows_better, trial_path.of(torch.nonzero(better)[:, 0]))
            gained[pending[better]] = 1 - after[better] / before[pending[better]].clamp(min=_TINY)
            damping[rows_better] = (damping[rows_better] / 4).clamp(min=_LEAST_DAMPING)
            damping[rows[~better]] = (damping[rows[~better]] * 8).clamp(max=_MOST_DAMPING)
            pending = pending[~better]
        calm[active] = torch.where(gained < tolerance, calm[active] + 1, 0)
        calm[active[pending]] = calm[active[hopeless]] = _CALM
        active = active[calm[active] < _CALM]
        if not len(active):
            break
    return Fits(parameters=parameters, start=start, ridge=ridge, squares=squares, curvature=curvature)


def _of_parameters(ridge: Tensor, parameters: Tensor) -> Tensor:
    """The ridge of each parameter, (network, parameter), where one a network (network,) may be asked for."""
    return ridge if ridge.dim() == parameters.dim() else ridge[:, None].expand_as(parameters)


def _squares(problems: Problems, path: Path) -> Tensor:
    """Sum of squared residuals (network,); infinite where a path leaves all bounds."""
    squares = ((path.states - problems.observed) * problems.weight).square().sum((1, 2))
    return torch.where(torch.isfinite(squares), squares, torch.inf)


def _linearize(problems: Problems, path: Path, parameters: Tensor, free: Tensor, ridge: Tensor) -> _Linear:
    along, jacobian = parameter_sensitivity(problems.layout, parameters, path, problems.inputs)
    residual = (path.states - problems.observed) * problems.weight
    along = along * problems.weight
    columns = jacobian.mul_(problems.weight[:, :, 1:, None])
    through_start = torch.einsum("nws,nwsp->nwp", along[..., 1:], columns) * free[:, None]
    norm = along.square().sum(-1).clamp(min=_TINY)
    flat = columns.flatten(1, 2).mul_(free[:, None])
    scaled = through_start / norm.sqrt()[..., None]
    normal = torch.baddbmm(scaled.mT @ scaled, flat.mT, flat, beta=-1)
    along_residual = (along * residual).sum(-1)
    gradient = torch.bmm(flat.mT, residual[..., 1:].flatten(1)[..., None])[..., 0]
    gradient = gradient - torch.einsum("nwp,nw->np", through_start, along_residual / norm)
    return _Linear(
        residual=residual,
        along=along,
        through_start=through_start,
        norm=norm,
        normal=normal,
        gradient=gradient + ridge * parameters,
    )


def _step(
    linear: _Linear, rows: Tensor, parameters: Tensor, start: Tensor, free: Tensor, ridge: Tensor, damping: Tensor
) -> tuple[Tensor, Tensor]:
    """Parameters and starts after one damped step."""
    change = _change(linear.normal[rows], linear.gradient[rows], free, ridge, damping)
    residual = (linear.along[rows] * linear.residual[rows]).sum(-1)
    through = torch.einsum("nwp,np->nw", linear.through_start[rows], change)
    return parameters + change * free, start - (residual + through) / linear.norm[rows]


def _change(normal: Tensor, gradient: Tensor, free: Tensor, ridge: Tensor, damping: Tensor) -> Tensor:
    """The damped step of the parameters, (network, parameter)."""
    scale = normal.diagonal(dim1=-2, dim2=-1).sum(-1) / free.sum(-1)
    # What is not free has an empty row and column: a one on its diagonal leaves it at zero.
    added = (ridge + (damping * scale)[:, None]) * free + (1 - free)
    return -torch.linalg.solve_ex(normal + torch.diag_embed(added), gradient * free)[0]


def _promise(linear: _Linear, free: Tensor, ridge: Tensor, damping: Tensor) -> Tensor:
    """By how much a damped step lowers the loss (network,), were it a parabola; and projecting the starts out."""
    change = _change(linear.normal, linear.gradient, free, ridge, damping)
    by_start = (linear.along * linear.residual).sum(-1).square() / linear.norm
    return -(linear.gradient * free * change).sum(-1) + by_start.sum(-1)


def ridge_by_evidence(problems: Problems, fits: Fits) -> Tensor:
    """The ridge (network, parameter) that makes the observations most probable, one step of MacKay's iteration.

    The weights of each input are a group with a variance of its own (automatic relevance determination, MacKay 1994;
    Neal 1996), and biases, second weights and the constant are another. The variance of a group is that of as many free
    parameters as it has effective ones; the noise is what is left of the residuals when parameters and starts have
    taken their share. A refit whose path leaves all bounds says nothing, and its ridge stays.
    """
    free = problems.layout.free(problems.mask)
    sound = torch.isfinite(fits.squares) & torch.isfinite(fits.curvature).all(-1).all(-1)
    matrix = torch.where(sound[:, None, None], fits.curvature, 0.0) + torch.diag_embed(fits.ridge * free + (1 - free))
    inverse = torch.linalg.inv_ex(matrix)[0].diagonal(dim1=-2, dim2=-1)
    effective = (1 - fits.ridge * inverse).clamp(0, 1) * free
    observations = problems.weight.sum((1, 2)) - (problems.weight.sum(-1) > 0).sum(-1)
    noise = fits.squares / (observations - effective.sum(-1)).clamp(min=1)
    group = problems.layout.groups()
    of_group = torch.zeros((len(group), int(group.max()) + 1), dtype=free.dtype).scatter_(1, group[:, None], 1.0)
    count = (effective @ of_group).clamp(min=_FEWEST_EFFECTIVE)
    size = ((fits.parameters * free).square() @ of_group).clamp(min=1e-12)
    ridge = (noise[:, None] * (count / size).clamp(max=_LARGEST_PRECISION))[:, group]
    return torch.where(sound[:, None] & torch.isfinite(ridge), ridge, fits.ridge)


def fit_starts(problems: Problems, parameters: Tensor, start: Tensor, *, steps: int = 6) -> tuple[Tensor, Tensor]:
    """Starts (network, window) that fit the observations of each window best, and the residuals with them.

    Gauss-Newton with one unknown a window, halved where the error of the window would rise.

    Args:
        problems: the windows.
        parameters: of fitted networks, (network, parameter).
        start: to begin with, (network, window).
        steps: most steps.

    Returns:
        Starts, and residuals (network, window, node), 0 where nothing is observed.
    """
    if fused.is_available():
        return fused.fit_network_starts(problems.data(), parameters, start, steps)
    return fit_starts_plainly(problems, parameters, start, steps=steps)


def fit_starts_plainly(problems: Problems, parameters: Tensor, start: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
    """The same by operations of torch."""

    def residuals(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        path = solve_targets(problems.layout, parameters, at, problems.inputs)
        residual = (path.states - problems.observed) * problems.weight
        along = start_sensitivity(problems.layout, parameters, path, problems.inputs) * problems.weight
        squares = residual.square().sum(-1)
        return residual, along, torch.where(torch.isfinite(squares), squares, torch.inf)

    residual, along, squares = residuals(start)
    share = torch.ones_like(start)
    for _ in range(steps):
        change = torch.nan_to_num((along * residual).sum(-1) / along.square().sum(-1).clamp(min=_TINY))
        moved = start - share * change
        trial, trial_along, after = residuals(moved)
        better = after < squares
        start = torch.where(better, moved, start)
        residual = torch.where(better[..., None], trial, residual)
        along = torch.where(better[..., None], trial_along, along)
        squares = torch.where(better, after, squares)
        share = torch.where(better, torch.ones_like(share), share / 4)
    return start, residual
