"""The file between all stages: an AnnData of trajectories.

- `X` float32 (observation, feature) in modeling units, NaN where an entry was not observed; every observation has an
  observed entry at least. `layers["noise_free"]`, without NaN, where the truth is known.
- `obs`, sorted by `trajectory` (in the order of its categories) and then by `time`:
  `trajectory`, `group`, `subject`, `split` (train, validation, test) and `phase` (fit, extrapolation, or of test data
  one of `distances.DISTANT_PHASES`), categorical; `time` float64, not decreasing within a trajectory, and `weight`,
  not negative: of an average, what the weights of its observations add up to. `count`, above 0, where observations are
  averages: of how many. Further categorical columns, such as `cell_type`, where a source has them.
- `obsm["X_NAME"]` float32 (observation, dimension): coordinates to draw the observations at, such as `X_diffmap`.
- `var`: `weight` (of a feature's squared error) and `is_regulator`, false where the source says that a feature cannot
  regulate others; the true network does not decide it.
- `varp["truth"]`, signed, and `varp["prior_NAME"]`: sparse, row = source, column = target; dense
  `varp["truth_known"]`, False where nobody knows whether there is an edge, and sparse `varp["known_NAME"]` where a
  prior tells only of some pairs: elsewhere it has no edge because nothing is known.
- `uns["sparsenode"]`: `contract_version`, `name`, `kind`, `time_unit`, `value_unit`, `scaling`, `transform`,
  `initial_states` (trajectory, feature), the mean of the first `initial_state_count` observations of each trajectory
  (of those that were averaged, where its observations are averages) or the last of its first `known_observations`,
  `center` (feature,), what was subtracted from modeling units far from zero so that single precision holds their
  movement (absent where it is 0 for all), `source_unit` (what `offset + scale * X` is in, or empty), `offset` and
  `scale` (trajectory, feature), `missing_share` of the entries of `X` (absent where none is missing), `time_offset` and
  `time_scale` (trajectory,), `levels` (trajectory,), what to multiply the values of the group's training trajectories
  by to expect those of each, `source_files`, `validation`,
  `settings` (JSON), `truth_signed` (false where the truth tells edges and not their signs) and `provenance`, whose
  `networks` say of each prior network its `density` (the share of edges among the known pairs, which is the precision
  of a random prediction), `edges`, `known_pairs` and `regulators`.

In memory `initial_states` is a data frame and `source_files` a dictionary; in the file the one is an array in
the order of the trajectories and of the features, the other JSON: names with a slash cannot be keys of an
h5ad file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparsenode.data.distances import DISTANT_PHASES
from sparsenode.data.names import find_unreadable
from sparsenode.errors import UserError
from sparsenode.files import describe_absence, reading, write_atomically
from sparsenode.labels import reserved_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

CONTRACT_VERSION = 1
SPLITS = ("train", "validation", "test")
PHASES = ("fit", "extrapolation")
_NAMED = ("trajectory", "group", "subject")
_CATEGORIES = (*_NAMED, "split", "phase")
_METADATA = (
    "contract_version",
    "name",
    "kind",
    "time_unit",
    "value_unit",
    "initial_states",
    "initial_state_count",
)
_FEWEST_OBSERVATIONS = 2
_ONE_EACH = "expected one row a trajectory and one column a feature, in the order of the file"


@dataclass(frozen=True)
class Metadata:
    """What `uns["sparsenode"]` tells of a dataset.

    Attributes:
        name: name of the dataset.
        time_unit: unit of the times.
        value_unit: unit of squared values in modeling units.
        source_unit: unit of `offset + scale * X`, or empty.
        transform: what was done to the values of the source, or empty.
        initial_states: data frame (trajectory, feature).
        initial_state_count: how many observations each of them is the mean of.
        known_observations: how many of a trajectory's first observations a forecast is given, at least one: it starts
            from the last.
        center: what was subtracted from modeling units, (feature,), None where nothing was.
        offset: (trajectory, feature), in the order of the file, as all that follow.
        scale: (trajectory, feature).
        levels: level of each trajectory beside the training ones of its group, (trajectory,).
        truth_signed: whether the true network tells the signs of its edges.
        settings: the settings that the dataset was made with, empty where its file does not tell.
        provenance: what its source tells of it.
    """

    name: str
    time_unit: str
    value_unit: str
    source_unit: str
    transform: str
    initial_states: pd.DataFrame
    initial_state_count: int
    known_observations: int
    center: NDArray[np.float64] | None
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    levels: NDArray[np.float64]
    truth_signed: bool
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


class Network(NamedTuple):
    """A network, true or prior, both arrays (source, target): its edges, `truth`, and where they are `known`.

    Without `signed` the edges of `truth` are all positive, and nobody knows which of them activate.
    """

    truth: NDArray[np.float64]
    known: NDArray[np.bool_]
    signed: bool


def read_trajectories(path: str | Path) -> AnnData:
    """Read a file of trajectories and check that it keeps the contract.

    Raises:
        UserError: the file is missing or damaged, or breaks the contract; the message says where.
    """
    import anndata

    with reading(Path(path)):
        try:
            adata = anndata.read_h5ad(path)
        except Exception as error:
            # Its own errors, on forms that it does not know, have no public name.
            if type(error).__module__.startswith("anndata."):
                raise ValueError(str(error)) from error
            raise
        _unpack(adata, path)
    check_trajectories(adata, where=str(path))
    return adata


def write_trajectories(adata: AnnData, path: str | Path) -> None:
    """Check trajectories and write them; the same trajectories give the same bytes.

    Raises:
        UserError: the contract is broken, or the file cannot be written.
    """
    import h5py
    from anndata.io import write_elem

    check_trajectories(adata, where=str(path))
    # Through memory: a full disk then meets a plain write, which reports it; HDF5 may fail only while
    # closing.
    buffer = io.BytesIO()
    metadata = dict(adata.uns["sparsenode"])
    metadata["initial_states"] = metadata["initial_states"].to_numpy(dtype=np.float64)
    metadata["source_files"] = json.dumps(metadata.get("source_files", {}), sort_keys=True)
    packed = replace_entries(adata, uns={**adata.uns, "sparsenode": metadata})
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", packed)
    with write_atomically(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def replace_entries(
    adata: AnnData,
    *,
    obs: pd.DataFrame | None = None,
    varp: Mapping[str, Any] | None = None,
    uns: Mapping[str, Any] | None = None,
) -> AnnData:
    """The same trajectories with other labels, networks or metadata; arrays and tables are shared, not copied.

    Args:
        adata: the trajectories.
        obs: the table of the observations; None for that of `adata`.
        varp: all networks, by key; None for those of `adata`.
        uns: all metadata; None for those of `adata`.
    """
    import anndata

    return anndata.AnnData(
        X=adata.X,
        obs=adata.obs if obs is None else obs,
        var=adata.var,
        obsm=dict(adata.obsm),
        layers=dict(adata.layers),
        varp=dict(adata.varp if varp is None else varp),
        uns=dict(adata.uns if uns is None else uns),
    )


def read_h5ad(path: Path) -> AnnData:
    """Read any h5ad file.

    Raises:
        UserError: it is missing or no h5ad file.
    """
    import anndata

    if (absence := describe_absence(path)) is not None:
        raise UserError(absence)
    try:
        return anndata.read_h5ad(path)
    except MemoryError:
        raise
    except Exception as error:  # anndata's own, on forms that it does not know, have no public name
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        message = f"{path} cannot be read as an h5ad file: {reason}"
        raise UserError(message) from error


def training_mask(splits: ArrayLike, phases: ArrayLike) -> NDArray[np.bool_]:
    """Which observations models are fitted to, (observation,): those of the split "train" and the phase "fit".

    Args:
        splits: split of each observation, (observation,).
        phases: phase of each observation, (observation,).
    """
    return np.asarray((np.asarray(splits) == "train") & (np.asarray(phases) == "fit"))


def trajectory_slices(adata: AnnData) -> dict[str, slice]:
    """Rows of each trajectory, in the order of the file."""
    return dict(_slices(adata.obs))


def has_metadata(adata: AnnData) -> bool:
    """Whether an AnnData says of itself that it keeps the contract."""
    return isinstance(adata.uns.get("sparsenode"), Mapping)


def read_metadata(adata: AnnData) -> Metadata:
    """What `uns["sparsenode"]` tells, with the defaults of what it leaves out; nothing else opens it."""
    facts = adata.uns["sparsenode"]
    count = len(adata.obs["trajectory"].cat.categories) if "trajectory" in adata.obs else 0
    shape = count, adata.n_vars
    return Metadata(
        name=str(facts.get("name", "")),
        time_unit=str(facts.get("time_unit", "")),
        value_unit=str(facts.get("value_unit", "")),
        source_unit=str(facts.get("source_unit", "")),
        transform=str(facts.get("transform", "")),
        initial_states=facts.get("initial_states"),
        initial_state_count=int(facts.get("initial_state_count", 1)),
        known_observations=max(1, int(facts.get("known_observations", 1))),
        center=_center(facts, adata.var_names) if "center" in facts else None,
        offset=_numbers(facts.get("offset"), 0.0, shape),
        scale=_numbers(facts.get("scale"), 1.0, shape),
        levels=_numbers(facts.get("levels"), 1.0, count),
        truth_signed=bool(facts.get("truth_signed", True)),
        settings=json.loads(facts.get("settings", "{}")),
        provenance=facts.get("provenance", {}),
    )


def _center(facts: Mapping[str, Any], features: pd.Index) -> NDArray[np.float64]:
    """What was subtracted from the features of an AnnData, which may be some of those of its file.

    Raises:
        UserError: features were chosen from the AnnData, and `initial_states` no longer tells which.
    """
    center = np.asarray(facts["center"], dtype=np.float64)
    names = getattr(facts.get("initial_states"), "columns", features)
    if len(names) == len(center) and not features.equals(names) and names.is_unique:
        positions = names.get_indexer(features)
        if (positions >= 0).all():
            return center[positions]
    if len(center) != len(features):
        message = (
            f"X is centered by {len(center)} numbers, and the AnnData has {len(features)} features; choose features of "
            "it as `sparsenode` has read it (contract.read_trajectories), or write X plus the center into a file"
        )
        raise UserError(message)
    return center


def _numbers(values: Any, default: float, size: int | tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(np.full(size, default) if values is None else values, dtype=np.float64)


def subtracted_center(adata: AnnData) -> NDArray[np.float64]:
    """What was subtracted from modeling units, (feature,): `X` and `initial_states` plus it are in these units."""
    center = read_metadata(adata).center
    return np.zeros(adata.n_vars) if center is None else center


def observation_counts(adata: AnnData) -> NDArray[np.float64]:
    """How many observations of the source each is the mean of, (observation,): 1 but for averages."""
    return _counts(adata.obs)


def true_network(adata: AnnData) -> Network | None:
    """The true network, dense, or None where there is none."""
    signed = bool(read_metadata(adata).truth_signed) if has_metadata(adata) else True
    return network_of(adata.varp, signed=signed)


def prior_networks(adata: AnnData) -> dict[str, Network]:
    """Prior networks by name, dense; one that does not say of which pairs it tells, tells of all."""
    return priors_of(adata.varp)


def prior_network(adata: AnnData, name: str) -> Network:
    """The prior network of a name, dense.

    Raises:
        UserError: there is none of that name; those that there are.
    """
    names = _prior_names(adata.varp)
    if name not in names:
        available = f"there are: {', '.join(names)}" if names else "it has none"
        message = (
            f"the dataset {read_metadata(adata).name!r} has no prior network {name!r} ({available}); name one of "
            "its own, or give it one"
        )
        raise UserError(message)
    return _prior(adata.varp, name)


def reference_network(adata: AnnData) -> tuple[str, Network] | None:
    """Name and edges of the true network, else of a prior one, with the pairs that it tells of, else None."""
    return choose_reference(true_network(adata), prior_networks(adata))


def choose_reference(truth: Network | None, priors: Mapping[str, Network]) -> tuple[str, Network] | None:
    """Name and network of what others are set beside: the truth, else the prior "base", else the first prior."""
    if truth is not None:
        return "true network", truth
    if not priors:
        return None
    name = "base" if "base" in priors else min(priors)
    return f"prior network {name}", priors[name]


def check_trajectories(adata: AnnData, *, where: str = "the trajectories") -> None:
    """Check that `adata` keeps the contract, in the form that it has in memory.

    Raises:
        UserError: what is wrong first, `where`, and at which observation or entry.
    """
    obs, var, varp, features = adata.obs, adata.var, adata.varp, list(adata.var_names)
    matrices = {"X": adata.X} | {f"layers[{key!r}]": matrix for key, matrix in adata.layers.items()}
    checks = (
        partial(_check_values, matrices, adata.obsm, adata.obs_names, features),
        partial(_check_columns, obs),
        partial(_check_names, obs, features, varp),
        partial(_check_order, obs),
        partial(_check_features, var, varp),
        partial(_check_metadata, adata.uns.get("sparsenode"), obs, features),
    )
    for check in checks:
        problem = check()
        if problem is not None:
            message = f"{where}: {problem}"
            raise UserError(message)


def _check_values(
    matrices: Mapping[str, Any], embeddings: Mapping[str, Any], observations: Sequence[str], names: Sequence[str]
) -> str | None:
    if matrices["X"] is None or 0 in matrices["X"].shape:
        return "there are no observations or no features (X is empty)"
    features = [f"feature {name!r}" for name in names]
    columns = dict.fromkeys(matrices, features)
    for key, matrix in embeddings.items():
        columns[f"obsm[{key!r}]"] = [f"dimension {number}" for number in range(np.shape(matrix)[-1])]
    checked = [*matrices.values(), *embeddings.values()]
    problems = (
        _check_matrix(label, matrix, observations, columns[label], may_miss=label == "X")
        for label, matrix in zip(columns, checked, strict=True)
    )
    return next(filter(None, problems), None)


def _check_matrix(
    label: str, matrix: Any, observations: Sequence[str], columns: Sequence[str], *, may_miss: bool
) -> str | None:
    """What is wrong with a matrix; one of which entries `may_miss` holds NaN for those that were not observed."""
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind != "f" or matrix.ndim != 2:
        return f"{label} is to be a dense array of floating-point numbers"
    wrong = np.isinf(matrix) if may_miss else ~np.isfinite(matrix)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        what, instead = ("infinite", "remove them, or write NaN for what was not observed")
        if not may_miss:
            what, instead = "NaN or infinite", "remove or fill them"
        return (
            f"{label} holds {int(wrong.sum())} values that are {what}, the first at observation "
            f"{observations[row]!r}, {columns[column]}; {instead}"
        )
    if may_miss and (empty := np.flatnonzero(np.isnan(matrix).all(axis=1))).size:
        return (
            f"{label} holds {len(empty)} observations without any observed entry, the first {observations[empty[0]]!r};"
            " remove them"
        )
    return None


def _check_columns(obs: pd.DataFrame) -> str | None:
    missing = [name for name in (*_CATEGORIES, "time", "weight") if name not in obs]
    if missing:
        return f"`obs` has no column {missing[0]!r}"
    for name in _CATEGORIES:
        if obs[name].dtype.name != "category" or obs[name].isna().any():
            return f"the column {name!r} of `obs` is to be categorical, without empty entries"
    for name, allowed in (("split", SPLITS), ("phase", (*PHASES, *DISTANT_PHASES))):
        unknown = sorted(set(obs[name].astype(str)) - set(allowed))
        if unknown:
            return f"the column {name!r} of `obs` holds {unknown[0]!r}; allowed: {', '.join(allowed)}"
    if (obs["phase"].isin(DISTANT_PHASES) & (obs["split"] != "test")).any():
        return f"the phases {', '.join(DISTANT_PHASES)} of `obs` are of the split test only"
    for name in ("time", "weight"):
        column = obs[name]
        if column.dtype.kind != "f" or not np.isfinite(column).all():
            return f"the column {name!r} of `obs` is to hold finite floating-point numbers"
    if (obs["weight"] < 0).any():
        return "the column 'weight' of `obs` holds a negative weight"
    if not (_counts(obs) > 0).all():
        return "the column 'count' of `obs` holds what is no number above 0"
    return None


def _check_names(obs: pd.DataFrame, features: Sequence[str], varp: Mapping[str, Any]) -> str | None:
    names = {column: [str(name) for name in obs[column].cat.categories] for column in _NAMED}
    problem = name_problem(names | {"feature": features, "prior network": _prior_names(varp)})
    return problem and f"{problem} in the source of the data, delete this file and run again"


def name_problem(names: Mapping[str, Iterable[str]]) -> str | None:
    """What is wrong with the first bad name, by what it names: tables use it, or nobody can tell it apart."""
    problems = (reserved_problem(kind, some) or find_unreadable(kind, some) for kind, some in names.items())
    return next(filter(None, problems), None)


def _check_order(obs: pd.DataFrame) -> str | None:
    codes = obs["trajectory"].cat.codes.to_numpy()
    if (np.diff(codes) < 0).any():
        return "observations are not sorted by trajectory (in the order of its categories)"
    times = obs["time"].to_numpy()
    for name, rows in _slices(obs):
        if rows.stop - rows.start < _FEWEST_OBSERVATIONS:
            return f"trajectory {name!r} has {rows.stop - rows.start} observations; it takes at least two"
        steps = np.diff(times[rows])
        if (steps < 0).any():
            row = rows.start + int(np.argmax(steps < 0))
            return (
                f"trajectory {name!r}: time decreases from {times[row]:.15g} to {times[row + 1]:.15g} at "
                "observation "
                f"{obs.index[row + 1]!r}; sort its observations by time"
            )
        for column in ("group", "subject"):
            if obs[column].iloc[rows].nunique() > 1:
                return f"trajectory {name!r}: {column!r} differs within it"
    return None


def _check_features(var: pd.DataFrame, varp: Mapping[str, Any]) -> str | None:
    if not var.index.is_unique:
        return f"the feature {var.index[var.index.duplicated()][0]!r} occurs more than once"
    missing = [name for name in ("weight", "is_regulator") if name not in var]
    if missing:
        return f"`var` has no column {missing[0]!r}"
    weights = var["weight"].to_numpy(dtype=np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        return "the column 'weight' of `var` holds a weight that is negative or not finite"
    if var["is_regulator"].dtype != np.bool_:
        return "the column 'is_regulator' of `var` is to be true or false"
    if ("truth" in varp) != ("truth_known" in varp):
        return "`varp` is to have both 'truth' and 'truth_known', or none of them"
    for key in varp:
        network = varp[key]
        # Of a sparse matrix only what is stored: with thousands of genes a dense copy of each takes 100 MB.
        if not np.isfinite(network.data if hasattr(network, "toarray") else network).all():
            return f"varp[{key!r}] holds values that are not finite"
        if key == "truth_known" or key.startswith("known_"):
            stored = network.data if hasattr(network, "toarray") else network
            if stored.dtype != np.bool_ and not np.isin(stored, (0, 1)).all():
                return f"varp[{key!r}] is to be true or false, 1 or 0"
    return None


def _check_metadata(metadata: Mapping[str, Any] | None, obs: pd.DataFrame, features: Sequence[str]) -> str | None:
    if metadata is None:
        return "it has no uns['sparsenode']: it was not made by `sparsenode preprocess-dataset`"
    missing = [key for key in _METADATA if key not in metadata]
    if missing:
        return f"uns['sparsenode'] has no {missing[0]!r}"
    if metadata["contract_version"] != CONTRACT_VERSION:
        return (
            f"it is of contract version {metadata['contract_version']}, and this sparsenode reads "
            f"{CONTRACT_VERSION}; delete it and run again"
        )
    if not isinstance(metadata.get("truth_signed", True), bool | np.bool_):
        return f"uns['sparsenode']['truth_signed'] holds {metadata['truth_signed']!r}; allowed: true or false"
    states = metadata["initial_states"]
    trajectories = [name for name, _ in _slices(obs)]
    if list(states.index) != trajectories or list(states.columns) != list(features):
        return f"uns['sparsenode']['initial_states'] has other names, {_ONE_EACH}"
    if not np.isfinite(states.to_numpy(dtype=np.float64)).all():
        return "uns['sparsenode']['initial_states'] holds values that are not finite"
    return None


def _prior_names(varp: Mapping[str, Any]) -> list[str]:
    return sorted(key.removeprefix("prior_") for key in varp if key.startswith("prior_"))


def _prior(varp: Mapping[str, Any], name: str) -> Network:
    edges = dense(varp[f"prior_{name}"]).astype(np.float64)
    mask_key = f"known_{name}"
    known_pairs = dense(varp[mask_key]) != 0 if mask_key in varp else np.ones(edges.shape, dtype=bool)
    # Prior networks do not say whether they have signs; one with only activations is taken to have none.
    return Network(edges, known_pairs, bool((edges < 0).any()))


def priors_of(varp: Mapping[str, Any]) -> dict[str, Network]:
    """Prior networks of the matrices of an AnnData by name, dense."""
    return {name: _prior(varp, name) for name in _prior_names(varp)}


def network_of(varp: Mapping[str, Any], *, signed: bool) -> Network | None:
    """The true network of the matrices of an AnnData, dense, or None where there is none."""
    if "truth" not in varp:
        return None
    edges, known_pairs = dense(varp["truth"]).astype(np.float64), dense(varp["truth_known"]).astype(bool)
    return Network(edges if signed else np.abs(edges), known_pairs, signed)


def _counts(obs: pd.DataFrame) -> NDArray[np.float64]:
    return obs["count"].to_numpy(dtype=np.float64) if "count" in obs else np.ones(len(obs))


def _slices(obs: pd.DataFrame) -> Iterator[tuple[str, slice]]:
    column = obs["trajectory"].cat
    bounds = np.searchsorted(column.codes.to_numpy(), np.arange(len(column.categories) + 1))
    for index, name in enumerate(column.categories):
        yield str(name), slice(int(bounds[index]), int(bounds[index + 1]))


def dense(matrix: Any) -> NDArray[Any]:
    """A matrix of an AnnData as an array, whether it is stored sparse or not."""
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


def _unpack(adata: AnnData, path: str | Path) -> None:
    """Give the metadata its form in memory."""
    import pandas as pd

    metadata = adata.uns.get("sparsenode")
    if metadata is None or "trajectory" not in adata.obs or adata.obs["trajectory"].dtype.name != "category":
        return  # the check says so
    states = metadata.get("initial_states")
    if isinstance(states, np.ndarray):
        names = list(adata.obs["trajectory"].cat.categories)
        if states.shape != (len(names), adata.n_vars):
            message = f"{path}: uns['sparsenode']['initial_states'] has the shape {states.shape}, {_ONE_EACH}"
            raise UserError(message)
        metadata["initial_states"] = pd.DataFrame(states, index=names, columns=list(adata.var_names))
    if isinstance(metadata.get("source_files"), str):
        metadata["source_files"] = json.loads(metadata["source_files"])
