"""Small trajectories that keep the contract."""

import numpy as np
import pytest
from anndata import AnnData

from sparsenode.data.preprocess import assemble
from sparsenode.data.trajectories import RawTrajectories, Trajectory


def small_raw() -> RawTrajectories:
    generator = np.random.default_rng(0)
    trajectories = tuple(
        Trajectory(
            name=name,
            group="all",
            subject=name,
            times=np.arange(length, dtype=float),
            values=generator.standard_normal((length, 3)),
            splits=np.full(length, split),
            phases=np.full(length, "fit"),
        )
        for name, length, split in (("first", 8, "train"), ("second/part", 5, "train"), ("third", 6, "test"))
    )
    return RawTrajectories(
        kind="measured",
        features=("a", "b/c", "d"),
        trajectories=trajectories,
        time_unit="hour",
        value_unit="value",
        truth=np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
        truth_known=~np.eye(3, dtype=bool),
        priors={"guess": np.eye(3)},
    )


@pytest.fixture
def raw() -> RawTrajectories:
    return small_raw()


@pytest.fixture
def adata() -> AnnData:
    settings = {"source": "krumsiek11", "initial_state": {"mean_of_first": 2}}
    return assemble("small", small_raw(), settings, {"host/path.csv": "0" * 64})
