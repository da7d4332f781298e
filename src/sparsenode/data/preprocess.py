"""From a source to the file of trajectories: validation is set aside here, before anything is trained."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.centering import center_values
from sparsenode.data.contract import CONTRACT_VERSION, PHASES, SPLITS, name_problem, training_mask, write_trajectories
from sparsenode.data.downloads import check_downloaded
from sparsenode.data.magnitudes import doubts_of_times, doubts_of_values, measure_magnitudes
from sparsenode.data.priors import add_priors
from sparsenode.data.sources import complete_options, source
from sparsenode.data.validation import set_validation_aside
from sparsenode.errors import UserError
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
    room = source(dataset_settings["source"])
    options = complete_options(dataset_settings["source"], dataset_settings.get("options"))
    needed = {file.local_path: file for file in room.required_files(options)}
    paths = {local_path: downloads / local_path for local_path in needed}
    checksums = {local_path: check_downloaded(file, paths[local_path]) for local_path, file in needed.items()}
    adata = assemble(name, room.load(options, paths), {**dataset_settings, "options": options}, checksums)
    write_trajectories(adata, output)
    logger.info("%s: %s", output, describe(adata))
    magnitudes = measure_magnitudes(adata)
    for doubt in (*doubts_of_values(magnitudes), *doubts_of_times(magnitudes)):
        logger.warning("%s: %s", name, doubt)


def load_dataset(name: str, *, validation: Mapping[str, Any] | None = None, **options: Any) -> AnnData:
    """The trajectories of a source that needs no download: krumsiek11, second_order or hill.

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
    room = source(name)
    completed = complete_options(name, options)
    if room.required_files(completed):
        message = (
            f"the data of {name} are downloaded, which the workflow does; run it, and read its file "
            f"results/data/{name}.h5ad by `read_trajectories`"
        )
        raise UserError(message)
    held_out = read_settings(ValidationSettings, validation or {"by": "inner_blocks"}, "validation")
    settings = {"source": name, "options": completed, "validation": held_out.model_dump(mode="json")}
    return assemble(name, room.load(completed, {}), settings, {})


def describe(adata: AnnData) -> str:
    """One line: how many trajectories, observations and features, and how they are split."""
    splits = ", ".join(f"{int((adata.obs['split'] == split).sum())} {split}" for split in SPLITS)
    trajectories = len(adata.obs["trajectory"].cat.categories)
    return f"{trajectories} trajectories, {adata.n_obs} observations ({splits}), {adata.n_vars} features"


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
        UserError: a trajectory is too short, a prior cannot be made, values are not finite, or validation leaves
            nothing to train on.
    """
    import anndata
    import pandas as pd

    first = int(settings.get("initial_state", {}).get("mean_of_first", 1))
    known_count = int(settings.get("initial_state", {}).get("known", 1))
    validation = dict(settings.get("validation", {}))
    raw = add_priors(name, raw, settings.get("priors", {}))
    _check_names(name, raw)
    _check_raw(name, raw, first, known_count)
    splits = set_validation_aside(raw.trajectories, validation, keep_first=max(first, known_count))
    raw, center = center_values(name, raw, splits)
    initial_states = np.stack([_initial_state(trajectory, first, known_count) for trajectory in raw.trajectories])
    feature_weight = settings.get("feature_weight", "movement")
    movement = _movement(raw.trajectories, splits, initial_states)
    weights = [_or(trajectory.weights, np.ones(len(trajectory.times))) for trajectory in raw.trajectories]
    lengths = [len(trajectory.times) for trajectory in raw.trajectories]
    names = [trajectory.name for trajectory in raw.trajectories]

    def labels(values: Sequence[str]) -> pd.Categorical:
        return pd.Categorical(np.repeat(values, lengths), categories=list(dict.fromkeys(values)))

    obs = pd.DataFrame(
        {
            "trajectory": labels(names),
            "time": np.concatenate([trajectory.times for trajectory in raw.trajectories]).astype(np.float64),
            "split": pd.Categorical(np.concatenate(splits), categories=SPLITS),
            "phase": pd.Categorical(
                np.concatenate([trajectory.phases for trajectory in raw.trajectories]), categories=PHASES
            ),
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
    return anndata.AnnData(
        X=np.vstack([trajectory.values for trajectory in raw.trajectories]).astype(np.float32),
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
        finite = np.isfinite(trajectory.values)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            message = (
                f"{where}: {int((~finite).sum())} values are NaN or infinite, the first at observation {row}, "
                f"feature {raw.features[column]!r}; remove or fill them"
            )
            raise UserError(message)


def _initial_state(trajectory: Trajectory, first: int, known_count: int) -> Floats:
    """Mean of the first observations, of the single ones where these are averages, or the last of the known ones."""
    if trajectory.first_values is not None and known_count == 1:
        return np.asarray(trajectory.first_values[:first].mean(axis=0))
    return np.asarray(trajectory.values[known_count - 1 : max(first, known_count)].mean(axis=0))


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
    return np.asarray(np.vstack(squares).mean(axis=0))


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
