"""The observations of a dataset as one frozen record of arrays, read once from its AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import Network, dense, network_of, priors_of, read_metadata, training_mask
from sparsenode.data.missing import carry_forward

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Observations:
    """The parts of an AnnData of trajectories that evaluation needs, as arrays over its observations.

    `values` (observation, feature), NaN where an entry is missing; `noise_free` likewise, without NaN, or None;
    `weights` (feature,); `initial_states` (trajectory, feature), `scale` (trajectory, feature) and `levels`
    (trajectory,) by the codes in `trajectory`, whose names are `trajectory_names`. `known` observations are given to a
    forecast of a whole trajectory, or 0 where it starts from the mean of several; `source_unit` is that of the values
    times `scale`, or empty. The values plus `center` (feature,) are in modeling units, None where they are already.
    """

    values: np.ndarray
    noise_free: np.ndarray | None
    time: np.ndarray
    trajectory: np.ndarray
    trajectory_names: tuple[str, ...]
    group: np.ndarray
    subject: np.ndarray
    split: np.ndarray
    phase: np.ndarray
    initial_states: np.ndarray
    scale: np.ndarray
    levels: np.ndarray
    features: tuple[str, ...]
    weights: np.ndarray
    unit: str
    source_unit: str
    time_unit: str
    known: int
    name: str
    settings: Mapping[str, Any]
    regulators: np.ndarray
    center: np.ndarray | None = None
    truth: Network | None = None
    priors: Mapping[str, Network] = field(default_factory=dict)

    @property
    def training(self) -> np.ndarray:
        """Which observations models are fitted to, (observation,)."""
        return training_mask(self.split, self.phase)

    @cached_property
    def states(self) -> np.ndarray:
        """What is known of the state at each observation, (observation, feature); see `missing.carry_forward`."""
        return carry_forward(self.values, self.trajectory, self.initial_states)

    def rows_of(self, code: int) -> np.ndarray:
        """Numbers of a trajectory's observations."""
        return np.flatnonzero(self.trajectory == code)


def read_observations(adata: AnnData, *, networks: bool = True) -> Observations:
    """Arrays of an AnnData that holds to the contract of trajectories.

    Args:
        adata: the trajectories.
        networks: whether the true network and the prior ones are read, which are large for thousands of variables.
    """
    metadata = read_metadata(adata)
    names = tuple(str(name) for name in pd.unique(adata.obs["trajectory"].astype(str)))
    codes = pd.Categorical(adata.obs["trajectory"].astype(str), categories=list(names)).codes
    initial = metadata.initial_states
    text = {name: adata.obs[name].astype(str).to_numpy() for name in ("split", "phase", "group", "subject")}
    weights = adata.var["weight"] if "weight" in adata.var else np.ones(adata.n_vars)
    regulators = adata.var["is_regulator"] if "is_regulator" in adata.var else np.ones(adata.n_vars, bool)
    return Observations(
        values=dense(adata.X).astype(np.float64),
        noise_free=dense(adata.layers["noise_free"]).astype(np.float64) if "noise_free" in adata.layers else None,
        time=adata.obs["time"].to_numpy(np.float64),
        trajectory=codes.astype(np.int64),
        trajectory_names=names,
        initial_states=initial.loc[list(names), list(adata.var_names)].to_numpy(np.float64),
        scale=metadata.scale,
        levels=metadata.levels,
        features=tuple(adata.var_names),
        weights=np.asarray(weights, np.float64),
        unit=metadata.value_unit,
        source_unit=metadata.source_unit,
        time_unit=metadata.time_unit,
        known=0 if metadata.initial_state_count > 1 else metadata.known_observations,
        name=metadata.name,
        settings=metadata.settings,
        regulators=np.asarray(regulators, bool),
        center=metadata.center,
        truth=network_of(adata.varp, signed=metadata.truth_signed) if networks else None,
        priors=priors_of(adata.varp) if networks else {},
        **text,
    )
