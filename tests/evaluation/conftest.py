"""A data set with an exactly known linear system, and an ensemble of linear systems in place of a trained one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm

from sparsenode.settings import ModelSettings, read_model_settings


@dataclass(frozen=True)
class Member:
    """How a member's training ended."""

    strength: float
    seed: int
    status: str = "finished"
    reason: str = ""
    iterations: int = 10
    seconds: float = 1.0


@dataclass(frozen=True)
class LinearEnsemble:
    """Members x' = x A with A (member, source, target): what an ensemble offers, solved exactly."""

    settings: dict[str, Any]
    members: tuple[Member, ...]
    features: tuple[str, ...]
    matrices: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)
    opened: np.ndarray | None = None
    asked: list[list[np.ndarray]] = field(default_factory=list)
    slopes: list[np.ndarray | None] = field(default_factory=list)
    groups: tuple[str, ...] = ()
    asked_groups: list[list[str] | None] = field(default_factory=list)

    def select(self, rows: Sequence[int]) -> LinearEnsemble:
        """Some of the members."""
        return replace(self, members=tuple(self.members[row] for row in rows), matrices=self.matrices[list(rows)])

    @property
    def model_settings(self) -> ModelSettings:
        """Settings of the model."""
        return read_model_settings(self.settings["model_settings"])

    def forecast(
        self,
        initial_states: np.ndarray,
        times: Sequence[np.ndarray],
        *,
        slopes: np.ndarray | None = None,
        groups: list[str] | None = None,
        levels: np.ndarray | None = None,  # noqa: ARG002 one of learned starts
        clamp: Mapping[str, float] | None = None,  # noqa: ARG002 one of interventions
    ) -> list[np.ndarray]:
        """Exact solutions, row by row."""
        self.asked.append(list(times))
        self.slopes.append(slopes)
        self.asked_groups.append(groups)
        with np.errstate(over="ignore", invalid="ignore"):
            return [
                np.stack([[state @ expm(matrix * (at - row[0])) for at in row] for matrix in self.matrices])
                for state, row in zip(initial_states, times, strict=True)
            ]

    def rates(self, states: np.ndarray) -> np.ndarray:
        """Rates of change."""
        return states @ self.matrices

    def mean_absolute_jacobian(self, states: np.ndarray, velocities: np.ndarray | None = None) -> np.ndarray:  # noqa: ARG002 constant
        """Absolute Jacobian, the same at all states."""
        return np.abs(self.matrices)

    def mean_jacobian(self, states: np.ndarray, velocities: np.ndarray | None = None) -> np.ndarray:  # noqa: ARG002 constant
        """Jacobian, the same at all states."""
        return self.matrices

    def path_matrix(self) -> np.ndarray:
        """Paths of a network with one layer."""
        return np.abs(self.matrices)

    def open_probability(self) -> np.ndarray | None:
        """Given ones."""
        return self.opened

    def weight_sparsity(self, threshold: float = 1e-5) -> np.ndarray:
        """Share of small weights."""
        return (np.abs(self.matrices) < threshold).mean(axis=(1, 2))

    def untrained(self) -> LinearEnsemble:
        """A dense start, the same for all members of a seed."""
        seeds = [np.random.default_rng(member.seed).normal(size=self.matrices.shape[1:]) for member in self.members]
        members = tuple(replace(member, status="finished") for member in self.members)
        return replace(self, matrices=np.stack(seeds), members=members)


SYSTEM = np.array([[-0.4, 0.8, 0.0], [0.0, -0.3, -0.5], [0.0, 0.0, -0.2]])
FEATURES = ("a", "b", "c")


def make_data(*, subjects: dict[str, str] | None = None) -> anndata.AnnData:
    """Four trajectories: two for training, one for validation, one for test, and a later phase in each."""
    rng = np.random.default_rng(0)
    splits = {"one": "train", "two": "train", "three": "validation", "four": "test"}
    times = np.linspace(1.0, 4.0, 16)
    parts, values, initial = [], [], {}
    for number, (name, split) in enumerate(splits.items()):
        start = rng.normal(size=3) + 1
        initial[name] = start
        values.append(np.stack([start @ expm(SYSTEM * (at - times[0])) for at in times]))
        parts.append(
            pd.DataFrame(
                {
                    "trajectory": name,
                    "time": times,
                    "split": split,
                    "phase": np.where(times <= 3.0, "fit", "extrapolation"),
                    "weight": 1.0,
                    "group": "even" if number % 2 else "odd",
                    "subject": (subjects or {}).get(name, name),
                }
            )
        )
    obs = pd.concat(parts, ignore_index=True)
    obs.index = obs.index.astype(str)
    for name in ("trajectory", "split", "phase", "group", "subject"):
        obs[name] = obs[name].astype("category")
    noise_free = np.concatenate(values)
    noisy = noise_free + rng.normal(scale=0.05, size=noise_free.shape)
    var = pd.DataFrame({"weight": [1.0, 2.0, 0.5], "is_regulator": [True, True, False]}, index=list(FEATURES))
    adata = anndata.AnnData(X=noisy.astype(np.float32), obs=obs, var=var)
    adata.layers["noise_free"] = noise_free.astype(np.float32)
    adata.varp["truth"] = np.sign(SYSTEM - np.diag(np.diag(SYSTEM)))
    adata.varp["truth_known"] = ~np.eye(3, dtype=bool)
    adata.uns["sparsenode"] = {
        "name": "linear",
        "time_unit": "hour",
        "value_unit": "mol",
        "initial_states": pd.DataFrame(initial, index=list(FEATURES)).T,
    }
    return adata


def make_ensemble(
    *,
    method: str = "shrunk",
    regularizer: str = "l1",
    options: dict[str, Any] | None = None,
    strengths: Sequence[float] = (0.0, 0.1, 1.0),
    seeds: int = 3,
    windows: dict[str, int] | None = None,
    diverged: Sequence[tuple[float, int]] = (),
) -> LinearEnsemble:
    """Members that are the true system plus noise by seed, with couplings below the strength cut away."""
    members, matrices = [], []
    for strength in strengths:
        for seed in range(seeds):
            noise = np.random.default_rng(seed).normal(scale=0.05, size=(3, 3))
            matrix = SYSTEM + noise
            matrices.append(np.where(np.abs(matrix) < strength, 0.0, matrix))
            lost = (strength, seed) in diverged
            members.append(
                Member(strength, seed, "diverged" if lost else "finished", "loss is not finite" if lost else "")
            )
    settings = {
        "dataset": "linear",
        "model": "windowed" if windows else "exact",
        "method": method,
        "model_settings": {"windows": windows},
        "method_settings": {"regularizer": regularizer, "strengths": list(strengths), "options": options or {}},
    }
    return LinearEnsemble(settings, tuple(members), FEATURES, np.stack(matrices))


@pytest.fixture(scope="session")
def linear_source() -> anndata.AnnData:
    """The data set, each trajectory a subject of its own."""
    return make_data()


@pytest.fixture
def linear_data(linear_source: anndata.AnnData) -> anndata.AnnData:
    """The same, to be changed at will."""
    return linear_source.copy()


@pytest.fixture
def shared_data() -> anndata.AnnData:
    """The same with both training trajectories from one subject."""
    return make_data(subjects={"one": "pair", "two": "pair"})


@pytest.fixture(scope="session")
def new_ensemble() -> Any:
    """The function that makes ensembles."""
    return make_ensemble


@pytest.fixture(scope="session")
def system() -> np.ndarray:
    """The true matrix (source, target)."""
    return SYSTEM
