"""What is measured of an ensemble, before its strength is chosen and of the members at the chosen strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.missing import is_complete
from sparsenode.data.observations import Observations
from sparsenode.data.windows import local_fit
from sparsenode.ensemble.choice import SEARCHES
from sparsenode.evaluation.baselines import fit_polynomial
from sparsenode.evaluation.forecast import Errors, check_features, forecast_errors
from sparsenode.evaluation.metrics import PATHS, registered_metrics
from sparsenode.evaluation.networks import median_members, pick_members
from sparsenode.evaluation.paired import entry_errors
from sparsenode.evaluation.plans import ONE_STEP
from sparsenode.evaluation.protocols import Protocol, spread
from sparsenode.evaluation.sparsity import EXACT_ZERO, THRESHOLD, feature_sparsity, pair_sparsity
from sparsenode.evaluation.truth import Truth, origin_of_prior

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble, Member

JACOBIAN_STATES = {50: 256, 500: 128}
"""Training observations over which Jacobians are averaged, by the largest number of features it holds for."""
MANY_FEATURES_JACOBIAN_STATES = 48


@dataclass(frozen=True, kw_only=True)
class SparsityValues:
    """A sparsity of the members of one kind.

    Attributes:
        keys: strength and seed of each member.
        columns: entries of the other columns of the table of metrics, `metric` and `estimator` among them.
        values: the sparsity, (member,).
    """

    keys: pd.DataFrame
    columns: Mapping[str, str]
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is measured of one ensemble before its strength is chosen.

    Attributes:
        label: dataset, model and method.
        method: regularizer of the ensemble, and the prior network that it was given.
        trained: the members, with what their training took.
        memory_bytes: most memory that the training job took; None where it is not known.
        searches: how its jobs chose strengths (`ensemble.members.SEARCHES`), none where they were a list.
        members: one row a member: `strength`, `seed`, `status` and `feature_sparsity`.
        protocols: forecasts that were asked for.
        errors: errors of all members, for each protocol.
        paths: path strengths (member, source, target).
        sparsities: sparsities of the finished members, and of the same networks before training.
    """

    label: Mapping[str, str]
    method: Mapping[str, Any]
    trained: Sequence[Member]
    memory_bytes: int | None
    searches: Sequence[Mapping[str, Any]]
    members: pd.DataFrame
    protocols: Sequence[Protocol]
    errors: Sequence[Errors]
    paths: np.ndarray
    sparsities: Sequence[SparsityValues]

    @property
    def finished(self) -> np.ndarray:
        """Numbers of the members that finished their training."""
        return np.flatnonzero(self.members["status"] == "finished")

    @property
    def keys(self) -> pd.DataFrame:
        """Strength and seed of each finished member."""
        return self.members.loc[self.finished, ["strength", "seed"]].reset_index(drop=True)

    @property
    def deciding(self) -> int:
        """Number of the protocol that the strength is chosen by.

        The last: rolling forecasts where the dataset asks for them, else windows for a model trained on them. Never
        single steps, which noise and the data's own inertia decide.
        """
        return max(number for number, protocol in enumerate(self.protocols) if protocol.name != ONE_STEP)


@dataclass(frozen=True, kw_only=True)
class NetworkMeasurement:
    """What is measured of the networks once the strength is chosen.

    Attributes:
        rows: numbers of the finished members at the chosen strength among the finished ones.
        members: their numbers among all members.
        signed: mean signed Jacobians (member, source, target) of the finished members, or without a truth of those at
            the chosen strength.
        absolute: mean absolute Jacobians of the same members; empty without a truth and prior networks.
        of_chosen: numbers in these of the members at the chosen strength.
        influences: median over those members of the influences (1, source, target) in each group.
        entry_errors: their errors on each observation (see `paired.entry_errors`); None where they are not asked for.
    """

    rows: np.ndarray
    members: np.ndarray
    signed: np.ndarray
    absolute: np.ndarray
    of_chosen: np.ndarray
    influences: Mapping[str, np.ndarray] = field(default_factory=dict)
    entry_errors: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def jacobian(self) -> np.ndarray:
        """Mean signed Jacobians of the members at the chosen strength."""
        return pick_members(self.signed, self.of_chosen)

    @property
    def absolute_jacobian(self) -> np.ndarray:
        """Mean absolute Jacobians of the same members; empty where none were measured."""
        return pick_members(self.absolute, self.of_chosen) if len(self.absolute) else self.absolute


def measure(
    ensemble: Ensemble, data: Observations, truth: Truth, protocols: Sequence[Protocol], label: Mapping[str, str]
) -> Measurement:
    """Measure an ensemble: its errors, paths and sparsities.

    Args:
        ensemble: the ensemble of one model and method.
        data: the observations.
        truth: what is known of the network.
        protocols: forecasts that are asked for.
        label: dataset, model and method.

    Raises:
        UserError: it was trained on other features.
    """
    check_features(ensemble, data, f"{label['model']}/{label['method']}")
    members = pd.DataFrame(
        [(member.strength, member.seed, member.status) for member in ensemble.members],
        columns=["strength", "seed", "status"],
    )
    errors = [forecast_errors(ensemble, data, protocol.plan, protocol.kept) for protocol in protocols]
    # Matrices of members keep the precision that they come in: of thousands of genes each takes 50 MB.
    paths = np.asarray(ensemble.path_matrix())
    members["feature_sparsity"] = feature_sparsity(paths)
    settings = ensemble.settings["method_settings"]
    return Measurement(
        label=label,
        method={
            "regularizer": settings["regularizer"],
            "prior": origin_of_prior(truth.made_priors, settings["options"].get("prior")),
        },
        trained=ensemble.members,
        memory_bytes=ensemble.metadata.get("memory_bytes"),
        searches=ensemble.metadata.get(SEARCHES, ()),
        members=members,
        protocols=protocols,
        errors=errors,
        paths=paths,
        sparsities=list(_measure_sparsities(ensemble, paths, members, truth)),
    )


def _measure_sparsities(
    ensemble: Ensemble, paths: np.ndarray, members: pd.DataFrame, truth: Truth
) -> Iterator[SparsityValues]:
    """Sparsities of the finished members, and of the same networks before training (status "untrained")."""
    finished = np.flatnonzero(members["status"] == "finished")
    seeds = members["seed"].drop_duplicates()
    untrained = ensemble.select(seeds.index.tolist()).untrained()
    before = pd.DataFrame({"strength": np.nan, "seed": seeds.to_numpy()})
    for status, source, picked, keys in (
        ({}, ensemble, finished, members.loc[finished, ["strength", "seed"]]),
        ({"status": "untrained"}, untrained, np.arange(len(seeds)), before),
    ):
        picked_paths = pick_members(np.asarray(untrained.path_matrix()) if status else paths, picked)
        for columns, values in _sparsities(source, picked_paths, picked, truth):
            yield SparsityValues(keys=keys, columns={**status, **columns}, values=values)


def _sparsities(
    ensemble: Ensemble, paths: np.ndarray, picked: np.ndarray, truth: Truth
) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """Columns and values (member,) of each sparsity of some members of an ensemble, whose paths are given."""
    for metric, threshold in (("weight_sparsity", THRESHOLD), ("exact_weight_sparsity", EXACT_ZERO)):
        values = np.asarray(ensemble.weight_sparsity(threshold), np.float64)[picked]
        yield {"metric": metric, "estimator": "weights"}, values
    for name, entry in registered_metrics(PATHS).items():
        yield {"metric": name, "estimator": "paths"}, entry.measure(paths=paths)
    for estimator, relative in (("paths", False), ("relative", True)):
        yield {"metric": "feature_sparsity", "estimator": estimator}, feature_sparsity(paths, relative=relative)
    spurious = {"metric": "spurious_feature_sparsity", "estimator": "paths"}
    if not truth.regulators.all():
        yield {**spurious, "reference": "not_regulators"}, feature_sparsity(paths, sources=~truth.regulators)
    if truth.edges is not None and (absent := truth.known & ~truth.edges).any():
        yield {**spurious, "reference": "truth"}, pair_sparsity(paths, absent)
    opened = ensemble.open_probability()
    if opened is not None:
        values = 1 - np.asarray(opened)[picked].mean(axis=(1, 2), dtype=np.float64)
        yield {"metric": "feature_sparsity", "estimator": "open_probability"}, values


def measure_networks(
    ensemble: Ensemble,
    measurement: Measurement,
    strength: float | None,
    data: Observations,
    truth: Truth,
    *,
    by_entry: bool = False,
) -> NetworkMeasurement:
    """Measure the Jacobians of an ensemble, and what its members at the chosen strength say of each group.

    Args:
        ensemble: the ensemble.
        measurement: what was measured of it before.
        strength: the chosen strength; None where there is none.
        data: the observations.
        truth: with a truth the Jacobians of all that finished are measured, else only those at the chosen strength.
        by_entry: whether errors are measured observation by observation.
    """
    finished = measurement.finished
    rows = np.flatnonzero(measurement.keys["strength"] == strength)
    chosen = finished[rows]
    measured, of_chosen = (finished, rows) if truth.edges is not None else (chosen, np.arange(len(chosen)))
    order = ensemble.settings["model_settings"].get("order", 1)
    signed = absolute = np.empty((0, *measurement.paths.shape[1:]))
    if len(measured):
        states, velocities = jacobian_states(data, order)
        whole = ensemble.select(measured.tolist())
        signed = np.asarray(whole.mean_jacobian(states, velocities))
        if truth.edges is not None or truth.priors:
            absolute = np.asarray(whole.mean_absolute_jacobian(states, velocities))
    influences, errors = {}, None
    if len(chosen):
        selected = ensemble.select(chosen.tolist())
        influences = _group_influences(selected, data, order, pick_members(signed, of_chosen))
        errors = entry_errors(selected, data, measurement.protocols[0].plan) if by_entry else None
    return NetworkMeasurement(
        rows=rows,
        members=chosen,
        signed=signed,
        absolute=absolute,
        of_chosen=of_chosen,
        influences=influences,
        entry_errors=errors,
    )


def _group_influences(
    ensemble: Ensemble, data: Observations, order: int, everywhere: np.ndarray
) -> dict[str, np.ndarray]:
    """Median over members of the influences (1, source, target) in each group that has training observations.

    The mean signed Jacobian over the group's training observations, times how far the source moves in the group: a
    regulator that a lineage never switches on drives nothing there. A single group is all the data, whose Jacobian
    `everywhere` is known. A source that a group never observes is taken to move there as over all groups.
    """
    training = data.training
    groups = list(dict.fromkeys(data.group[training].tolist()))
    influences = {}
    for group in groups:
        indices = np.flatnonzero(training & (data.group == group))
        moves = _movement(data, indices)
        if not is_complete(moves):
            moves = np.where(np.isnan(moves), _movement(data, np.flatnonzero(training)), moves)
        jacobian = everywhere
        if len(groups) > 1:
            jacobian = np.asarray(ensemble.mean_jacobian(*jacobian_states(data, order, group)))
        influences[str(group)] = median_members(jacobian * moves[:, None].astype(jacobian.dtype))[None]
    return influences


def _movement(data: Observations, indices: np.ndarray) -> np.ndarray:
    """Range (feature,) of a cubic in time through some observations; NaN where none of them is observed."""
    return np.asarray(np.ptp(fit_polynomial(data.time[indices], data.values[indices], 3)(data.time[indices]), axis=0))


def jacobian_states(data: Observations, order: int, group: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Training observations, evenly spread over them, fewer for wide data where each Jacobian is large.

    Those of one group, or of all; missing entries are those of `Observations.states`. At second order with their
    velocities, from a local fit through the neighbors in time.
    """
    wanted_group = True if group is None else data.group == group
    training = np.flatnonzero(data.training & wanted_group)
    state_count = next(
        (count for features, count in JACOBIAN_STATES.items() if len(data.features) <= features),
        MANY_FEATURES_JACOBIAN_STATES,
    )
    positions = spread(len(training), state_count)
    states = data.states[training[positions]]
    if order == 1:
        return states, None
    velocities = np.empty_like(states)
    for number, position in enumerate(positions):
        near = training[max(0, position - 3) : position + 4]
        near = near[data.trajectory[near] == data.trajectory[training[position]]]
        velocities[number] = local_fit(data.time[near], data.values[near], data.time[training[position]])[1]
    return states, velocities
