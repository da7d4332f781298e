"""From a source to the file of trajectories: validation is set aside here, before anything is trained."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.centering import center_values
from sparsenode.data.contract import CONTRACT_VERSION, PHASES, SPLITS, name_problem, training_mask, write_trajectories
from sparsenode.data.distances import DISTANT_PHASES
from sparsenode.data.downloads import check_downloaded
from sparsenode.data.magnitudes import doubts_of_times, doubts_of_values, measure_magnitudes
from sparsenode.data.missing import describe_share, is_complete, mean_observed, missing_share
from sparsenode.data.priors import add_priors
from sparsenode.data.sources import make_source
from sparsenode.data.validation import set_validation_aside
from sparsenode.errors import UserError, some_of
from sparsenode.settings import ValidationSettings
from sparsenode.typed import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory

logger = logging.getLogger(__name__)

# A feature that hardly moves in training gets no more weight than one with this share of the mean movement:
# its noise would fill the loss.
_LEAST_MOVEMENT = 0.01
_FEWEST_OBSERVED = 2  # training values that a feature, and a training trajectory, has at least


def preprocess_dataset(name: str, dataset_settings: Mapping[str, Any], downloads: Path, output: Path) -> None:
    """Write the trajectories of the dataset `name` to `output`, an h5ad file that keeps the contract.

    Nothing is written unless all of it is right.

    Args:
        name: that of the dataset.
        dataset_settings: the dataset's entry of the configuration.
        downloads: the folder that holds the source's files as HOST/PATH.
        output: path of the file to write.

    Raises:
        UserError: settings, downloaded files or the data are not usable.
    """
    source = make_source(dataset_settings["source"], dataset_settings.get("options"))
    needed = {file.local_path: file for file in source.required_files()}
    paths = {local_path: downloads / local_path for local_path in needed}
    checksums = {local_path: check_downloaded(file, paths[local_path]) for local_path, file in needed.items()}
    adata = assemble(name, source.load(paths), {**dataset_settings, "options": source.options}, checksums)
    write_trajectories(adata, output)
    logger.info("%s: %s", output, describe(adata))
    magnitudes = measure_magnitudes(adata)
    for doubt in (*doubts_of_values(magnitudes), *doubts_of_times(magnitudes)):
        logger.warning("%s: %s", name, doubt)


def load_dataset(name: str, *, validation: Mapping[str, Any] | None = None, **options: Any) -> AnnData:
    """The trajectories of a source that needs no download, such as krumsiek11, hill, lorenz96 or linear.

    Args:
        name: name of the source.
        validation: what is held out to choose strengths on, `by`, `share` and `seed`; a block at a random place of each
            trajectory where it is None.
        **options: options of the source (`sparsenode options NAME`).

    Returns:
        An AnnData of trajectories (see `sparsenode.data.contract`).

    Raises:
        UserError: there is no such source, it needs files, or an option is not allowed.
    """
    source = make_source(name, options)
    if source.required_files():
        message = (
            f"the data of {name} are downloaded, which the workflow does; run it, and read its file "
            f"results/data/{name}.h5ad by `read_trajectories`"
        )
        raise UserError(message)
    held_out = read_settings(ValidationSettings, validation or {"by": "inner_blocks"}, "validation")
    settings = {"source": name, "options": source.options, "validation": held_out.model_dump(mode="json")}
    return assemble(name, source.load({}), settings, {})


def describe(adata: AnnData) -> str:
    """One line: how many trajectories, observations and features, and how they are split."""
    splits = ", ".join(f"{int((adata.obs['split'] == split).sum())} {split}" for split in SPLITS)
    trajectories = len(adata.obs["trajectory"].cat.categories)
    share = missing_share(adata.X)
    missing = f", {describe_share(share)}" if share else ""
    return f"{trajectories} trajectories, {adata.n_obs} observations ({splits}), {adata.n_vars} features{missing}"


def assemble(
    name: str,
    raw: RawTrajectories,
    settings: Mapping[str, Any],
    source_files: Mapping[str, str],
) -> AnnData:
    """The AnnData of `raw` trajectories, with validation, initial states, feature weights and priors of `settings`.

    Args:
        name: that of the dataset.
        raw: what the source has loaded.
        settings: the dataset's entry of the configuration, with all options of its source.
        source_files: checksums of the source's files by HOST/PATH.

    Raises:
        UserError: a trajectory is too short, a prior cannot be made, values are infinite, too few of a feature or of a
            trajectory are observed, or validation leaves nothing to train on.
    """
    import anndata
    import pandas as pd

    first = int(settings.get("initial_state", {}).get("mean_of_first", 1))
    known_count = int(settings.get("initial_state", {}).get("known", 1))
    validation = dict(settings.get("validation", {}))
    raw = add_priors(name, raw, settings.get("priors", {}))
    _check_names(name, raw)
    raw = _drop_empty(name, raw)
    _check_raw(name, raw, first, known_count)
    splits = set_validation_aside(raw.trajectories, validation, keep_first=max(first, known_count))
    _check_observed(name, raw, splits, first, known_count)
    raw, center = center_values(name, raw, splits)
    initial_states = _initial_states(raw.trajectories, splits, first, known_count)
    _note_starts(name, raw, first, known_count)
    feature_weight = settings.get("feature_weight", "movement")
    movement = _movement(raw.trajectories, splits, initial_states)
    weights = [_or(trajectory.weights, np.ones(len(trajectory.times))) for trajectory in raw.trajectories]
    lengths = [len(trajectory.times) for trajectory in raw.trajectories]
    names = [trajectory.name for trajectory in raw.trajectories]

    def labels(values: Sequence[str]) -> pd.Categorical:
        return pd.Categorical(np.repeat(values, lengths), categories=list(dict.fromkeys(values)))

    phases = np.concatenate([trajectory.phases for trajectory in raw.trajectories])
    obs = pd.DataFrame(
        {
            "trajectory": labels(names),
            "time": np.concatenate([trajectory.times for trajectory in raw.trajectories]).astype(np.float64),
            "split": pd.Categorical(np.concatenate(splits), categories=SPLITS),
            "phase": pd.Categorical(phases, categories=[*PHASES, *(name for name in DISTANT_PHASES if name in phases)]),
            "weight": np.concatenate(weights),
            "group": labels([trajectory.group for trajectory in raw.trajectories]),
            "subject": labels([trajectory.subject for trajectory in raw.trajectories]),
            **_counts(raw),
            **_observation_labels(raw),
        },
        index=[label for trajectory in raw.trajectories for label in _observation_names(trajectory)],
    )
    var = pd.DataFrame(
        {
            "weight": _feature_weights(movement) if feature_weight == "movement" else np.ones(len(raw.features)),
            # All are candidates where the source does not say: the true network is only for the evaluation.
            "is_regulator": np.ones(len(raw.features), dtype=bool) if raw.is_regulator is None else raw.is_regulator,
            **{column: list(values) for column, values in raw.feature_labels.items()},
        },
        index=list(raw.features),
    )
    count = len(raw.features)
    values = np.vstack([trajectory.values for trajectory in raw.trajectories]).astype(np.float32)
    return anndata.AnnData(
        X=values,
        obs=obs,
        var=var,
        obsm=_embeddings(raw),
        layers=_layers(raw),
        varp=_networks(raw),
        uns={
            "sparsenode": {
                "contract_version": CONTRACT_VERSION,
                "name": name,
                "kind": raw.kind,
                "time_unit": raw.time_unit,
                "value_unit": raw.value_unit,
                "source_unit": raw.source_unit,
                "scaling": raw.scaling,
                "transform": raw.transform,
                "offset": np.stack([_or(trajectory.offset, np.zeros(count)) for trajectory in raw.trajectories]),
                "scale": np.stack([_or(trajectory.scale, np.ones(count)) for trajectory in raw.trajectories]),
                **({} if center is None else {"center": center}),
                **({} if is_complete(values) else {"missing_share": missing_share(values)}),
                "levels": np.array([trajectory.level for trajectory in raw.trajectories]),
                "time_offset": np.array([trajectory.time_offset for trajectory in raw.trajectories]),
                "time_scale": np.array([trajectory.time_scale for trajectory in raw.trajectories]),
                "initial_states": pd.DataFrame(initial_states, index=names, columns=list(raw.features)),
                "initial_state_count": first,
                "known_observations": known_count,
                "truth_signed": raw.truth_signed,
                "validation": validation,
                "source_files": dict(source_files),
                "settings": json.dumps(settings, sort_keys=True),
                "provenance": dict(raw.provenance),
            }
        },
    )


def _check_names(dataset: str, raw: RawTrajectories) -> None:
    """Refuse names that tables of results use for other things, and a name of two trajectories (donor and lineage)."""
    names = [trajectory.name for trajectory in raw.trajectories]
    problem = name_problem(
        {
            "trajectory": names,
            "subject": dict.fromkeys(trajectory.subject for trajectory in raw.trajectories),
            "group": dict.fromkeys(trajectory.group for trajectory in raw.trajectories),
            "feature": raw.features,
            "prior network": raw.priors,
        }
    )
    if problem is None and len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        problem = f"two trajectories are called {repeated!r}; give each a name of its own"
    if problem is not None:
        message = f"dataset {dataset}: {problem}"
        raise UserError(message)


def _check_raw(name: str, raw: RawTrajectories, first: int, known_count: int) -> None:
    """Check what later steps rely on before they fail; the contract's own check comes at the end."""
    for trajectory in raw.trajectories:
        where = f"dataset {name}, trajectory {trajectory.name!r}"
        averaged = trajectory.first_values is not None
        least = max(2, 1 if averaged else first, known_count + 1)
        if len(trajectory.times) < least:
            message = (
                f"{where}: {len(trajectory.times)} observations; it takes at least {least} "
                "(two, `initial_state.mean_of_first`, and one more than `initial_state.known`)"
            )
            raise UserError(message)
        if trajectory.first_values is not None and len(trajectory.first_values) < first:
            message = (
                f"{where}: `initial_state.mean_of_first` is {first}, but its observations are averages, of which the "
                f"first {len(trajectory.first_values)} single ones are kept; choose at most as many"
            )
            raise UserError(message)
        infinite = np.isinf(trajectory.values)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            message = (
                f"{where}: {int(infinite.sum())} values are infinite, the first at observation {row}, "
                f"feature {raw.features[column]!r}; remove them, or write NaN for what was not observed"
            )
            raise UserError(message)


def _drop_empty(name: str, raw: RawTrajectories) -> RawTrajectories:
    """Trajectories less the observations that have no observed entry, which tell nothing."""
    empty = [np.asarray(np.isnan(trajectory.values).all(axis=1)) for trajectory in raw.trajectories]
    dropped = [(trajectory.name, int(rows.sum())) for trajectory, rows in zip(raw.trajectories, empty, strict=True)]
    dropped = [(trajectory, count) for trajectory, count in dropped if count]
    if not dropped:
        return raw
    logger.warning(
        "dataset %s: %d observations have no observed entry and are left out: %s",
        name,
        sum(count for _, count in dropped),
        some_of([f"{count} of trajectory {trajectory!r}" for trajectory, count in dropped]),
    )
    pairs = zip(raw.trajectories, empty, strict=True)
    return replace(raw, trajectories=tuple(_take(trajectory, np.logical_not(rows)) for trajectory, rows in pairs))


def _take(trajectory: Trajectory, rows: NDArray[np.bool_]) -> Trajectory:
    """A trajectory of some of its observations."""

    def names(labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(label for label, chosen in zip(labels, rows, strict=True) if chosen)

    return replace(
        trajectory,
        times=trajectory.times[rows],
        values=trajectory.values[rows],
        splits=trajectory.splits[rows],
        phases=trajectory.phases[rows],
        weights=None if trajectory.weights is None else trajectory.weights[rows],
        noise_free=None if trajectory.noise_free is None else trajectory.noise_free[rows],
        observation_names=None if trajectory.observation_names is None else names(trajectory.observation_names),
        cells=None if trajectory.cells is None else trajectory.cells[rows],
        embeddings={name: values[rows] for name, values in trajectory.embeddings.items()},
        observation_labels={name: names(labels) for name, labels in trajectory.observation_labels.items()},
    )


def _check_observed(
    name: str, raw: RawTrajectories, splits: Sequence[NDArray[np.str_]], first: int, known_count: int
) -> None:
    """Refuse features, trajectories and starts of which too little is observed, all in one message.

    A feature needs two observed values among all training observations, a trajectory that has training observations two
    among its own, and every trajectory an observed value of each feature to start from (see `_initial_state`).
    """
    if all(is_complete(trajectory.values) for trajectory in raw.trajectories):
        return
    of_feature = np.zeros(len(raw.features), dtype=np.int64)
    of_trajectory = {}
    for trajectory, split in zip(raw.trajectories, splits, strict=True):
        is_training = training_mask(split, trajectory.phases)
        counts = (~np.isnan(trajectory.values[is_training])).sum(axis=0)
        of_feature += counts
        if is_training.any() and counts.sum() < _FEWEST_OBSERVED:
            of_trajectory[trajectory.name] = int(counts.sum())
    few = np.flatnonzero(of_feature < _FEWEST_OBSERVED)
    lacking = np.argwhere(np.isnan(_initial_states(raw.trajectories, splits, first, known_count)))
    lacking = lacking[~np.isin(lacking[:, 1], few)]
    problems = {
        "features with fewer than two observed training values": [
            f"{raw.features[number]!r} has {of_feature[number]}" for number in few
        ],
        "training trajectories with fewer than two observed training values": [
            f"{trajectory!r} has {count}" for trajectory, count in of_trajectory.items()
        ],
        "features without an observed value to start from (a training one, where a trajectory has training "
        "observations)": [
            f"{raw.features[feature]!r} in trajectory {raw.trajectories[number].name!r}" for number, feature in lacking
        ],
    }
    described = [f"{len(names)} {kind}: {some_of(names)}" for kind, names in problems.items() if names]
    if described:
        message = f"dataset {name}: {'; '.join(described)}; leave these features or trajectories out"
        raise UserError(message)


def _initial_states(
    trajectories: Sequence[Trajectory], splits: Sequence[NDArray[np.str_]], first: int, known_count: int
) -> Floats:
    pairs = zip(trajectories, splits, strict=True)
    return np.stack([_initial_state(trajectory, split, first, known_count) for trajectory, split in pairs])


def _initial_state(trajectory: Trajectory, split: NDArray[np.str_], first: int, known_count: int) -> Floats:
    """Mean of the first observations, of the single ones where these are averages, or the last of the known ones.

    Over the observed ones of each feature. Where none of them is, the last one that is observed before, or else the
    first one after: among the training observations, so that a start tells nothing of what is forecast, or among all
    where a trajectory has no training observations. NaN where there is none.
    """
    state = _mean_of_first(trajectory, first, known_count)
    if is_complete(state):
        return state
    is_training = training_mask(split, trajectory.phases)
    after = np.flatnonzero(is_training if is_training.any() else np.ones(len(split), dtype=bool))
    candidates = [*range(known_count - 2, -1, -1), *after[after >= known_count - 1].tolist()]
    for row in candidates:
        state = np.where(np.isnan(state), trajectory.values[row], state)
        if is_complete(state):
            break
    return state


def _mean_of_first(trajectory: Trajectory, first: int, known_count: int) -> Floats:
    """Mean (feature,) of what is observed of each feature in the first observations; NaN where nothing is."""
    if trajectory.first_values is not None and known_count == 1:
        return mean_observed(trajectory.first_values[:first])
    return mean_observed(trajectory.values[known_count - 1 : max(first, known_count)])


def _note_starts(name: str, raw: RawTrajectories, first: int, known_count: int) -> None:
    """Tell of the features that are not observed where their trajectories start."""
    absent = [np.isnan(_mean_of_first(trajectory, first, known_count)) for trajectory in raw.trajectories]
    pairs = [
        f"{raw.features[feature]!r} in trajectory {raw.trajectories[number].name!r}"
        for number, feature in np.argwhere(absent)
    ]
    if pairs:
        logger.warning(
            "dataset %s: %d initial values are not observed; the nearest observed one is taken (before the start, or "
            "else the first one after): %s",
            name,
            len(pairs),
            some_of(pairs),
        )


def _movement(
    trajectories: Sequence[Trajectory],
    splits: Sequence[NDArray[np.str_]],
    initial_states: Floats,
) -> Floats:
    """Mean squared distance of each feature from its initial state over the training observations, (feature,)."""
    squares = [
        ((trajectory.values - start) ** 2)[training_mask(split, trajectory.phases)]
        for trajectory, split, start in zip(trajectories, splits, initial_states, strict=True)
    ]
    return mean_observed(np.vstack(squares))


def _feature_weights(movement: Floats) -> Floats:
    """One over the movement, so that holding the initial state scores 1 (and less where a feature hardly moves)."""
    floor = _LEAST_MOVEMENT * movement.mean()
    if floor == 0:
        return np.ones_like(movement)
    return np.asarray(1.0 / np.maximum(movement, floor))


def _or(values: Floats | None, otherwise: Floats) -> Floats:
    return otherwise if values is None else values


def _observation_names(trajectory: Trajectory) -> Sequence[str]:
    if trajectory.observation_names is not None:
        return trajectory.observation_names
    return [f"{trajectory.name}:{index}" for index in range(len(trajectory.times))]


def _counts(raw: RawTrajectories) -> dict[str, Floats]:
    """How many observations each is the mean of, where some are averages: as many as their weights add up to."""
    if all(trajectory.first_values is None for trajectory in raw.trajectories):
        return {}
    ones = [np.ones(len(trajectory.times)) for trajectory in raw.trajectories]
    averaged = zip(raw.trajectories, ones, strict=True)
    counts = [
        default_counts if trajectory.first_values is None else _or(trajectory.weights, default_counts)
        for trajectory, default_counts in averaged
    ]
    return {"count": np.concatenate(counts)}


def _observation_labels(raw: RawTrajectories) -> dict[str, Any]:
    import pandas as pd

    columns = {}
    for name in raw.trajectories[0].observation_labels:
        if all(name in trajectory.observation_labels for trajectory in raw.trajectories):
            values = [label for trajectory in raw.trajectories for label in trajectory.observation_labels[name]]
            columns[name] = pd.Categorical(values, categories=list(dict.fromkeys(values)))
    return columns


def _embeddings(raw: RawTrajectories) -> dict[str, NDArray[np.float32]]:
    return {
        f"X_{name}": np.vstack([trajectory.embeddings[name] for trajectory in raw.trajectories]).astype(np.float32)
        for name in raw.trajectories[0].embeddings
        if all(name in trajectory.embeddings for trajectory in raw.trajectories)
    }


def _layers(raw: RawTrajectories) -> dict[str, NDArray[np.float32]]:
    if any(trajectory.noise_free is None for trajectory in raw.trajectories):
        return {}
    noise_free = [trajectory.noise_free for trajectory in raw.trajectories if trajectory.noise_free is not None]
    return {"noise_free": np.vstack(noise_free).astype(np.float32)}


def _networks(raw: RawTrajectories) -> dict[str, Any]:
    from scipy.sparse import csr_matrix

    networks: dict[str, Any] = {f"prior_{key}": csr_matrix(prior) for key, prior in sorted(raw.priors.items())}
    networks |= {f"known_{key}": csr_matrix(mask) for key, mask in sorted(raw.priors_known.items())}
    if raw.truth is not None:
        networks["truth"] = csr_matrix(raw.truth)
        networks["truth_known"] = np.ones(raw.truth.shape, dtype=bool) if raw.truth_known is None else raw.truth_known
    return networks
