"""Trained ensembles: their file, and what can be done with them without the workflow."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sparsenode.dynamics import network
from sparsenode.dynamics.fields import VectorField, clamped
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.network import Parameters
from sparsenode.dynamics.solvers import Grid, dense_output_matrix, solve_pieces
from sparsenode.ensemble.choice import SEARCHES
from sparsenode.ensemble.device import usable_memory
from sparsenode.ensemble.model import initialize, make_field, starting_states
from sparsenode.ensemble.starts import deviation_nodes, deviations, nearest_groups
from sparsenode.ensemble.states import States, Times, list_names, state_array, time_arrays
from sparsenode.errors import UserError, nearest_names
from sparsenode.files import describe_absence, describe_problem, reading, write_atomically
from sparsenode.methods import get_method, make_method
from sparsenode.settings import (
    FROZEN,
    PRUNING_THRESHOLD,
    ModelSettings,
    read_method_settings,
    read_model_settings,
)

FORMAT = "sparsenode ensemble 1"

MOST_STEPS = 10_000_000
"""Steps of a forecast at most: some hours."""

_BYTES_AT_ONCE = 2**28
"""Node values and activations that a forecast holds at once, about."""

_MOST_INTERVALS = 4096
"""Intervals of a piece of a solve at most, so that the matrix that reads times off its nodes stays small."""

_READ_AT_ONCE = 2**24
"""Entries of that matrix at most: times of a row that are read at once, times nodes."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Member:
    """One (strength, seed) and how its training ended: `status` is `finished`, or `diverged` for a `reason`.

    `seconds` is its share of the block's wall time.
    """

    strength: float
    seed: int
    status: str
    reason: str
    iterations: int
    seconds: float


@dataclass(frozen=True, repr=False)
class Ensemble:
    """All members of one (dataset, model, method), evaluated with deterministic gates.

    `members[i]` says which strength and seed the rows i of all results belong to, and how training ended; a diverged
    member is at its last sound state. `settings` are the frozen settings, `features` the names of the variables,
    `groups` those of the learned starts, if starts are learned.

    `centers` (feature,) are what the data of the training had subtracted (see `sparsenode.data.centering`), empty where
    nothing was: states are given, and forecasts returned, with it.
    """

    settings: dict[str, Any]
    members: tuple[Member, ...]
    features: tuple[str, ...]
    metadata: dict[str, Any]
    parameters: Parameters
    groups: tuple[str, ...] = ()
    centers: tuple[float, ...] = ()

    def __repr__(self) -> str:
        """What it is, in a few lines, however many members and variables it has."""
        settings = self.model_settings
        strengths = sorted({member.strength for member in self.members})
        seeds = sorted({member.seed for member in self.members})
        diverged = sum(member.status != "finished" for member in self.members)
        hidden = list_names(settings.hidden) or "none"
        return "\n".join(
            [
                f"Ensemble of {len(self.members)} trained members (sparsenode): dataset {self.settings['dataset']}, "
                f"model {self.settings['model']}, method {self.settings['method']}",
                f"  variables ({len(self.features)}): {list_names(self.features)}",
                f"  strengths ({len(strengths)}): {list_names(f'{strength:g}' for strength in strengths)}",
                f"  seeds ({len(seeds)}): {list_names(seeds)}",
                f"  {len(self.members) - diverged} members finished, {diverged} diverged",
                f"  vector field of order {settings.order}, hidden layers: {hidden}",
                "  use: members, select, forecast, rates, mean_jacobian, path_matrix, weight_sparsity",
            ]
        )

    @property
    def model_settings(self) -> ModelSettings:
        """Settings of the model."""
        return read_model_settings(self.settings["model_settings"])

    @property
    def field(self) -> VectorField:
        """The vector field that the members share in form."""
        return make_field(self.model_settings, len(self.features))

    def layers(self) -> Layers:
        """The effective network of every member."""
        factors = network.deterministic_gates(self.parameters)
        return network.effective_layers(self.parameters, factors, self.model_settings.activation)

    def select(self, rows: Sequence[int]) -> Ensemble:
        """The ensemble of some of the members, by position."""
        chosen = tuple(self.members[row] for row in rows)
        return replace(self, members=chosen, parameters=network.select(self.parameters, rows))

    def untrained(self) -> Ensemble:
        """The same members at initialization."""
        method = get_method(self.settings["method_settings"]["regularizer"])
        seeds = [member.seed for member in self.members]
        fresh = initialize(self.model_settings, len(self.features), seeds, gated=method.gated, skip=method.skip)
        # What states are standardized by is of the data and not of the training.
        return replace(self, parameters=replace(fresh, standards=self.parameters.standards), groups=())

    @torch.no_grad()
    def forecast(
        self,
        initial_states: States,
        times: Times,
        initial_velocities: States | None = None,
        slopes: States | None = None,
        groups: Sequence[str] | None = None,
        levels: Floats | None = None,
        clamp: Mapping[str, float] | None = None,
    ) -> list[Floats]:
        """Forecasts (member, time, feature), a list of one array a row.

        A forecast that leaves the range of numbers holds infinities or NaN. However long they reach, forecasts are
        solved in pieces of bounded memory.

        Args:
            initial_states: an array, a tensor or a list (row, feature), or a DataFrame or AnnData with the features by
                name.
            times: one array for all rows, or a list of one a row. States hold at the first of their times, which must
                not decrease.
            initial_velocities: (row, feature), per time unit, of a second-order model; without them it takes the
                initial velocity from its own network.
            slopes: (row, feature), per time unit, of the last `velocity_observations` observations (see
                `sparsenode.data.windows.past_slopes`), which a network that is given the past needs.
            groups: the group (lineage, branch) of each row, with learned starts; without them each row belongs to the
                group whose start is nearest.
            levels: (row,) factors of the course of each row (see `sparsenode.data.single_cell.levels`), with learned
                starts; 1 without them.
            clamp: values at which variables, by name, are held from the first time on, whatever their initial state (a
                knock-out, an over-expression); the other variables still start, and at second order move, as the given
                state says.

        Raises:
            UserError: wrong shapes, an unknown group or variable, decreasing times, times that take more than
                `MOST_STEPS` steps, or forecasts that are larger than the memory.
        """
        initial_states = state_array(initial_states, self.features)
        initial_velocities = self._like(initial_velocities, initial_states, "initial velocities")
        slopes = self._like(slopes, initial_states, "slopes")
        times = time_arrays(times, len(initial_states))
        levels = None if levels is None else np.asarray(levels, np.float64)
        if levels is not None and levels.shape != (len(initial_states),):
            raise UserError(
                f"{len(initial_states)} initial states but levels of shape {levels.shape}; give one for each"
            )
        numbers = self._group_numbers(groups, self._centered(initial_states))
        held = self._held(clamp or {})
        field = self.field if held is None else clamped(self.field, ~held.isnan())
        settings = self.model_settings
        initial_states = self._centered(initial_states)
        needed = self.count_steps(times)
        self._check_size(times, needed)
        elapsed = [np.asarray(row_times, dtype=float) - float(row_times[0]) for row_times in times]
        results: list[Floats] = [
            np.empty((len(self.members), len(row), len(self.features)), np.float32) for row in times
        ]
        layers = self.layers()
        # Rows of similar length share one grid, so that a short row costs no long solve.
        for rows in self._solved_together(needed):
            durations = np.array([elapsed[row][-1] for row in rows])
            step = np.where(durations > 0, durations, 1.0) / needed[rows[0]]
            start = self._start(
                initial_states[rows],
                None if initial_velocities is None else initial_velocities[rows],
                None if slopes is None else slopes[rows],
                None if numbers is None else numbers[rows],
            )
            grid = Grid(int(needed[rows[0]]), torch.as_tensor(step / settings.time_scale, dtype=torch.float32)[:, None])
            solver = settings.solver
            level = torch.as_tensor(np.ones(len(rows)) if levels is None else levels[rows], dtype=torch.float32)
            if held is not None:
                # What the network sees is multiplied by the level afterwards, where starts are learned.
                start = _hold(start, held if numbers is None else held / level[:, None], settings.order)
            positions = [elapsed[row] / row_step for row, row_step in zip(rows, step, strict=True)]
            piece = max(1, min(_MOST_INTERVALS, _BYTES_AT_ONCE // (8 * start.numel())))
            pieces = solve_pieces(
                field, layers, grid, start, piece=piece, scheme=solver.scheme, tolerance=solver.tolerance
            )
            if numbers is not None:
                first_states = torch.as_tensor(initial_states[rows], dtype=torch.float32)
                deviation = deviations(self.parameters.references, first_states, numbers[rows], level)
                pieces = _add_deviations(pieces, deviation, level, network.own_rates(self.parameters)[0], grid)
            for row_index, time_slice, forecast in _read_times(pieces, positions, grid.intervals):
                results[rows[row_index]][:, time_slice] = (
                    forecast if held is None else _hold(forecast, held, 1)
                ).numpy()
        return [result + np.array(self.centers) for result in results] if self.centers else results

    def count_steps(self, times: Sequence[Floats]) -> NDArray[np.int64]:
        """Steps of the solver (row,) that forecasts at such times take, one array of times a row.

        Raises UserError for more than `MOST_STEPS`.
        """
        step = self.model_settings.solver.step
        durations = np.array([float(row_times[-1]) - float(row_times[0]) for row_times in times])
        with np.errstate(over="ignore"):
            counts = np.maximum(1.0, np.ceil(durations / step - 1e-9))
        if (counts > MOST_STEPS).any():
            row = int(counts.argmax())
            count = f"{counts[row]:,.0f}" if counts[row] < 1e15 else f"{counts[row]:.1g}"
            raise UserError(
                f"a forecast from {times[row][0]:g} to {times[row][-1]:g} takes {count} steps of {step:g} "
                f"(`solver.step` of the model), more than {MOST_STEPS:,}: ask for times nearer to the first one, or "
                "train with a larger `solver.step`, or on times in a larger unit (`time_scaling: unit` of the dataset)"
            )
        return counts.astype(np.int64)

    def _solved_together(self, needed: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Numbers of rows that are solved at once: of equal numbers of steps, few enough for their activations."""
        widths = sum(weight.shape[-1] for weight in self.parameters.weights) + 8 * len(self.features)
        most = max(1, _BYTES_AT_ONCE // (4 * widths * max(1, len(self.members))))
        for intervals in np.unique(needed):
            rows = np.flatnonzero(needed == intervals)
            for first in range(0, len(rows), most):
                yield rows[first : first + most]

    def _check_size(self, times: Sequence[Floats], needed: NDArray[np.int64]) -> None:
        count = sum(len(row_times) for row_times in times)
        size, usable = 4 * len(self.members) * count * len(self.features), usable_memory("cpu")
        if size > usable:
            raise UserError(
                f"forecasts of {len(self.members)} members at {count:,} times of {len(needed):,} states take "
                f"{size / 1e9:.1f} GB, and {usable / 1e9:.1f} GB may be used here: ask for fewer times or states at "
                "once, or select members"
            )

    @torch.no_grad()
    def rates(self, states: States, velocities: States | None = None) -> Floats:
        """Rate (member, observation, feature) that the network gives at states (observation, feature).

        States have any of the forms that `forecast` takes. First order: dx/dt. Second order: the acceleration at the
        given `velocities`, else at the learned initial ones.
        """
        states = state_array(states, self.features)
        start = self._start(self._centered(states), self._like(velocities, states, "velocities"))
        rates = self.field.rate(self.layers(), start)[..., -len(self.features) :].numpy()
        return np.asarray(rates / self.model_settings.time_scale**self.model_settings.order)

    def mean_absolute_jacobian(self, states: States, velocities: States | None = None) -> Floats:
        """Mean over states of the size of d rate_target / d x_source, (member, source, target), per `time_scale`."""
        return self._mean_jacobian(states, velocities, torch.abs)

    def mean_jacobian(self, states: States, velocities: States | None = None) -> Floats:
        """Mean over states of d rate_target / d x_source, (member, source, target): signs of the influences."""
        return self._mean_jacobian(states, velocities, lambda values: values)

    @torch.no_grad()
    def common_jacobian(self, states: States, velocities: States | None = None) -> Floats:
        """Mean over states of the size of the members' mean d rate_target / d x_source, (source, target).

        What members do not agree on at a state cancels. Per `time_scale`.
        """
        states = state_array(states, self.features)
        start = self._start(self._centered(states), self._like(velocities, states, "velocities"))
        layers, members = self.layers(), range(len(self.members))
        widest = max(weight.shape[-1] for weight in layers.weights)
        chunk = max(1, 2**24 // (start.shape[-1] * max(widest, len(self.features))))
        total = torch.zeros(len(self.features), len(self.features))
        for batch in start.split(chunk, dim=1):
            jacobian = torch.zeros(())
            for member in members:
                one = slice(member, member + 1)
                jacobian = jacobian + self.field.jacobian(layers.select(one), batch[one])[0]
            total += self.field.fold_paths(jacobian / len(members)).abs().sum(0)
        return np.asarray((total / len(states)).numpy())

    @torch.no_grad()
    def path_matrix(self) -> Floats:
        """Summed strength of all paths, (member, source, target), never negative; a decay is a self-loop."""
        return path_strengths(self.parameters, self.field).numpy()

    @torch.no_grad()
    def open_probability(self) -> Floats | None:
        """Mean over paths of the probability to be open, (member, source, target); None without gates."""
        if not self.parameters.log_alpha:
            return None
        return self.field.fold_paths(network.open_paths(self.parameters)).numpy()

    @torch.no_grad()
    def weight_sparsity(self, threshold: float = PRUNING_THRESHOLD) -> Floats:
        """Share (member,) of the vector field's effective weights below the threshold."""
        return network.weight_sparsity(self.parameters, threshold).numpy()

    def _like(self, values: States | None, states: Floats, name: str) -> Floats | None:
        """Values (row, feature) of another kind beside the states."""
        if values is None:
            return None
        array = state_array(values, self.features, name)
        if array.shape != states.shape:
            raise UserError(
                f"{name} of shape {array.shape} do not fit initial states of shape {states.shape}; give one for each "
                "variable of each row"
            )
        return array

    def _group_numbers(self, groups: Sequence[str] | None, states: Floats) -> Tensor | None:
        if not self.groups:
            return None
        if groups is None:
            return nearest_groups(self.parameters.references, torch.as_tensor(states, dtype=torch.float32))
        if len(groups) != len(states):
            raise UserError(f"{len(states)} initial states but {len(groups)} groups; give one for each")
        if unknown := sorted(set(groups) - set(self.groups)):
            raise UserError(f"the model has learned no start of {unknown[0]!r}; there are: {', '.join(self.groups)}")
        return torch.tensor([self.groups.index(name) for name in groups])

    def _held(self, clamp: Mapping[str, Any]) -> Tensor | None:
        """What each variable is held at, (feature,), NaN where it is free; None where all are."""
        for name, value in clamp.items():
            if name not in self.features:
                close = nearest_names(name, self.features)
                raise UserError(f"cannot hold {name!r}: the model has no such variable; the nearest: {close}")
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise UserError(f"cannot hold {name!r} at {value!r}; give a finite number, in the units of the data")
        if not clamp:
            return None
        held = np.array([[clamp.get(name, math.nan) for name in self.features]])
        return torch.as_tensor(self._centered(held)[0], dtype=torch.float32)

    def _centered(self, states: Floats) -> Floats:
        """States (row, feature) as the networks see them."""
        return np.asarray(states, np.float64) - np.array(self.centers) if self.centers else states

    def _start(
        self,
        states: Floats,
        velocities: Floats | None,
        slopes: Floats | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        positions = torch.as_tensor(np.asarray(states), dtype=torch.float32)
        time_scale = self.model_settings.time_scale
        if self.model_settings.order == 2 and velocities is not None:
            scaled_velocities = torch.as_tensor(np.asarray(velocities) * time_scale, dtype=torch.float32)
            both = torch.cat((positions, scaled_velocities), dim=-1)
            return both.expand(len(self.members), -1, -1).contiguous()
        past = None
        if slopes is not None and self.model_settings.takes_slopes:
            past = torch.as_tensor(np.asarray(slopes) * time_scale, dtype=torch.float32)
        return starting_states(self.parameters, self.model_settings, positions, past, groups=groups)

    @torch.no_grad()
    def _mean_jacobian(self, states: States, velocities: States | None, of: Callable[[Tensor], Tensor]) -> Floats:
        states = state_array(states, self.features)
        start = self._start(self._centered(states), self._like(velocities, states, "velocities"))
        layers = self.layers()
        means = []
        for member in range(len(self.members)):
            member_layers = layers.select(slice(member, member + 1))
            total = torch.zeros(start.shape[-1], len(self.features))
            # 2^24 entries of float32 at a time: 64 MB whatever the number of genes, units and cells.
            widest = max(weight.shape[-1] for weight in layers.weights)
            chunk = max(1, 2**24 // (start.shape[-1] * max(widest, len(self.features))))
            for batch in start[member : member + 1].split(chunk, dim=1):
                total += of(self.field.jacobian(member_layers, batch)).sum(1)[0]
            means.append(total / len(states))
        return self.field.fold_paths(torch.stack(means)).numpy()


def _add_deviations(
    pieces: Iterable[tuple[int, Tensor]], deviation: Tensor, level: Tensor, decay: Tensor, grid: Grid
) -> Iterator[tuple[int, Tensor]]:
    """Pieces of a solve from learned starts, times their rows' levels, with the deviations of the given starts."""
    for first, nodes in pieces:
        numbers = range(first, first + nodes.shape[2] // 2)
        yield first, nodes * level[:, None, None] + deviation_nodes(deviation, decay, grid.step, numbers)


def _read_times(
    pieces: Iterable[tuple[int, Tensor]], positions: Sequence[Floats], whole: int
) -> Iterator[tuple[int, slice, Tensor]]:
    """What a solve of `whole` intervals gives at `positions` of rows, in multiples of their steps.

    Number of the row, which of its times, and their values (member, time, feature), piece after piece.
    """
    for first, nodes in pieces:
        intervals = nodes.shape[2] // 2 - 1
        for row, row_positions in enumerate(positions):
            for time_slice in _times_within(row_positions, first, intervals, whole):
                matrix = dense_output_matrix(row_positions[time_slice] - first, intervals)
                yield row, time_slice, torch.matmul(torch.as_tensor(matrix, dtype=torch.float32), nodes[:, row])


def _times_within(positions: Floats, first: int, intervals: int, whole: int) -> Iterator[slice]:
    """Parts of a row's times, in multiples of its step, that a piece of so many intervals from node `first` holds.

    The last piece of the `whole` also holds times that rounding puts beyond its end.
    """
    begin = int(np.searchsorted(positions, first)) if first else 0
    last = first + intervals == whole
    end = len(positions) if last else int(np.searchsorted(positions, first + intervals))
    most = max(1, _READ_AT_ONCE // (2 * (intervals + 1)))
    for start in range(begin, end, most):
        yield slice(start, min(start + most, end))


def _hold(states: Tensor, held: Tensor, order: int) -> Tensor:
    """States (..., state) with the variables that `held` (..., feature) has a number for at that number and at rest."""
    if order == 2:
        held = torch.cat((held, torch.where(held.isnan(), held, 0.0)), dim=-1)
    return torch.where(held.isnan(), states, held)


def save_ensemble(
    path: Path,
    parameters: Parameters,
    members: Sequence[Member],
    settings: Mapping[str, Any],
    features: Sequence[str],
    metadata: Mapping[str, Any],
    groups: Sequence[str] = (),
    centers: Sequence[float] = (),
) -> None:
    """Write trained members as safetensors: weights, and all else as JSON in the header."""
    header = {
        "format": FORMAT,
        "settings": settings,
        "members": [asdict(member) for member in members],
        "features": list(features),
        "metadata": dict(metadata),
        "groups": list(groups),
        **({"centers": list(centers)} if len(centers) else {}),
    }
    tensors = {name: tensor.detach().contiguous() for name, tensor in parameters.named().items()}
    # Written by Python: file errors of safetensors are no OSError, and other users cannot read its files.
    # All metadata under one key: safetensors writes several in any order, and equal models should be equal files.
    content = save(tensors, metadata={"sparsenode": json.dumps(header)})
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def load_ensemble(path: str | Path) -> Ensemble:
    """Read a model file. Nothing in it is executed.

    Raises UserError if the file is missing, cut, or not a model of this package.
    """
    path = Path(path)
    if describe_absence(path) is not None:
        raise UserError(f"no model file at {path}")
    with reading(path, "a model"):
        try:
            with safe_open(path, framework="pt") as file:
                content = json.loads((file.metadata() or {}).get("sparsenode", "{}"))
                if (version := content.get("format")) != FORMAT:
                    raise UserError(f"{path} is not a model of this version: its format is {version!r}, not {FORMAT!r}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
        except SafetensorError as error:
            raise ValueError(error) from error
        ensemble = Ensemble(
            settings=content["settings"],
            members=tuple(Member(**member) for member in content["members"]),
            features=tuple(content["features"]),
            metadata=content["metadata"],
            parameters=network.from_named(tensors),
            groups=tuple(content.get("groups", ())),
            centers=tuple(content.get("centers", ())),
        )
        _check_fit(ensemble)
    return ensemble


def _check_fit(ensemble: Ensemble) -> None:
    """Check that the parts of a model file fit each other; a ValueError says what does not."""
    settings = ensemble.settings
    if not isinstance(settings, Mapping):
        raise ValueError("its settings are no mapping")
    if missing := [key for key in FROZEN if key not in settings]:
        raise ValueError(f"its settings lack {', '.join(missing)}")
    if not isinstance(ensemble.metadata, Mapping):
        raise ValueError("its metadata are no mapping")
    try:
        model_settings = ensemble.model_settings
        method_settings = read_method_settings(settings["method_settings"])
        make_method(method_settings.regularizer, method_settings.options)
    except (LookupError, TypeError, ValueError, AttributeError, UserError) as error:
        raise ValueError(f"its settings are of another version: {describe_problem(error)}") from error
    parameters = ensemble.parameters
    counts = {len(tensor) for tensor in parameters.named().values()}
    if counts != {len(ensemble.members)}:
        raise ValueError(f"it has {len(ensemble.members)} members, and weights of {list_names(sorted(counts))}")
    width, inputs = parameters.weights[0].shape[-2], model_settings.order * len(ensemble.features)
    if width != inputs:
        raise ValueError(f"its network has {width} inputs, and its features and order make {inputs}")
    if len(ensemble.centers) not in {0, len(ensemble.features)}:
        raise ValueError(f"it has {len(ensemble.features)} features, and centers of {len(ensemble.centers)}")


@torch.no_grad()
def path_strengths(parameters: Parameters, field: VectorField) -> Tensor:
    """Summed strength of all paths, (member, source, target), never negative; a decay is a self-loop."""
    paths = field.fold_paths(network.path_matrix(parameters))
    for rates in network.own_rates(parameters):
        decay = rates[:, 0].abs().unflatten(-1, (field.order, field.features)).amax(1)
        paths = paths + torch.diag_embed(decay)
    return paths


def join_ensembles(blocks: Sequence[Ensemble]) -> Ensemble:
    """One ensemble out of the blocks of seeds of one (dataset, model, method)."""
    first = blocks[0]
    for block in blocks[1:]:
        if block.settings != first.settings or block.features != first.features:
            raise UserError("blocks of seeds with different settings or variables cannot be joined; train them again")
    searches = [search for block in blocks for search in block.metadata.get(SEARCHES, ())]
    return replace(
        first,
        metadata={**first.metadata, SEARCHES: searches},
        members=tuple(member for block in blocks for member in block.members),
        parameters=network.join([block.parameters for block in blocks]),
    )
