"""Trajectories and samples of systems that are known exactly."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm

from sparsenode.peers.derivatives import Samples

SYSTEM = np.array([[-0.5, 0.9, 0.0], [0.0, -0.4, -0.7], [0.6, 0.0, -0.3]])
"""Rates are x A with A (source, target)."""


def trajectories_of(parts, *, splits=None, weights=None):
    """An AnnData of trajectories from pairs of times (time,) and values (time, variable)."""
    names = [f"t{number}" for number in range(len(parts))]
    values = np.concatenate([values for _, values in parts])
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, [len(times) for times, _ in parts])),
            "time": np.concatenate([times for times, _ in parts]).astype(float),
            "split": pd.Categorical(["train"] * len(values) if splits is None else splits),
            "phase": pd.Categorical(["fit"] * len(values)),
            "weight": 1.0 if weights is None else weights,
            "group": pd.Categorical(["all"] * len(values)),
            "subject": pd.Categorical(["one"] * len(values)),
        },
        index=[f"o{number}" for number in range(len(values))],
    )
    adata = anndata.AnnData(values.astype(np.float32), obs=obs)
    adata.var_names = [f"x{number}" for number in range(values.shape[1])]
    adata.var["weight"], adata.var["is_regulator"] = 1.0, True
    starts = pd.DataFrame([values[0] for _, values in parts], index=names, columns=list(adata.var_names))
    adata.uns["sparsenode"] = {
        "contract_version": 1,
        "name": "toy",
        "kind": "simulated",
        "time_unit": "h",
        "value_unit": "1",
        "initial_states": starts,
        "initial_state_count": 1,
        "settings": {},
        "provenance": {},
        "source_files": {},
    }
    return adata


@pytest.fixture
def make_trajectories():
    """The function that makes trajectories from their times and values."""
    return trajectories_of


@pytest.fixture
def system():
    """Matrix (source, target) of the linear system."""
    return SYSTEM


@pytest.fixture
def linear():
    """Five trajectories of a linear system, without noise."""
    generator = np.random.default_rng(0)
    times = np.linspace(0.0, 4.0, 41)
    starts = generator.normal(size=(5, 3)) + 0.5
    return trajectories_of([(times, np.stack([start @ expm(SYSTEM * at) for at in times])) for start in starts])


@pytest.fixture
def exact():
    """Samples of the linear system with exact derivatives."""
    states = np.random.default_rng(1).normal(size=(120, 3)) * [1.0, 2.0, 0.5]
    return Samples(states, states, None, states @ SYSTEM, np.repeat(np.arange(4), 30))


@pytest.fixture
def driven():
    """Samples in which one variable of four moves the rate of the first, by no line and no other one."""
    states = np.random.default_rng(2).normal(size=(150, 4))
    rates = np.zeros_like(states)
    rates[:, 0] = np.tanh(2 * states[:, 2])
    return Samples(states, states, None, rates, np.repeat(np.arange(3), 50))
