"""What the estimator is set by, and what it takes from the data where a setting is "auto"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sparsenode.errors import UserError
from sparsenode.methods import get_method
from sparsenode.settings import (
    AUTO,
    Auto,
    BootstrapSettings,
    InitialStateSettings,
    JobSettings,
    ModelSettings,
    PreparationSettings,
    SolverSettings,
    ValidationSettings,
    WindowSettings,
)
from sparsenode.typed import Contradiction, read_settings

if TYPE_CHECKING:
    from anndata import AnnData

MANY_VARIABLES = 100
"""Beyond so many variables one network per target is large, and one joint network is taken."""
STEP_SHARE, WINDOW_SHARE = 1 / 6, 1 / 2
"""The solver's step and the length of windows, as shares of the time in which states change by what they differ."""
LEAST_WINDOW = 3
"""Steps of a window at least; whole trajectories where the validation data leave less."""
_FEWEST_BLOCKS = 4  # of the bootstrap in the longest stretch of observations
MOST_SOLVES = 400
"""Windows or trajectories that an iteration solves at most."""

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pathreg": {"kappa": 0.1},
    "grouplasso": {"adaptive": 2.0, "stages": 3},
    "lassonet": {"hierarchy": 10.0},
}
"""Options of methods where they are "auto"; of the others the defaults."""


class FitSettings(ModelSettings, PreparationSettings, JobSettings):
    """The settings of `SparseNODE`: of its model, its method, its data and its job; "auto" takes one from the data."""

    regularizer: str = Field(
        AUTO,
        description='The regularizer or pruner (`sparsenode options`), "auto" for `grouplasso` of one network per '
        "target, else `l1`.",
    )
    strengths: tuple[Annotated[float, Field(ge=0)], ...] | Auto = Field(
        AUTO,
        description='Strengths, of which validation chooses one; "auto" for batches of five half a decade apart, '
        "downward from one that leaves no edge, and further ones while the choice is at an end, four at most.",
    )
    options: dict[str, Any] | Auto = Field(AUTO, description="Options of the regularizer.")
    architecture: Literal["auto", "joint", "per_target", "biological"] = Field(
        AUTO,
        description='Kind of network (`network` of a model in the configuration); "auto" for `per_target` up to '
        f"{MANY_VARIABLES} variables, else `joint`.",
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Units of each hidden layer; "auto" for 20 of one network per target, else 40 and 40.'
    )
    activation: Literal["elu", "tanh", "softplus"] = Field("tanh", description="Activation of the hidden layers.")
    time_scale: Annotated[float, Field(gt=0)] | Auto = Field(  # type: ignore[assignment]
        AUTO,
        description='Time in which states change by about as much as they differ; "auto" for the median over variables '
        "of the deviation of the state over that of its slope.",
    )
    decay: Annotated[float, Field(gt=0)] | Auto | None = Field(  # type: ignore[assignment]
        AUTO, description='First rate of decay of each variable; "auto" for one in two `time_scale`, None for none.'
    )
    standardize: bool | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Whether networks see standardized states; "auto" wherever the network can.'
    )
    solver: SolverSettings | Auto = Field(  # type: ignore[assignment]
        AUTO, description='How the field is integrated; "auto" for steps of a sixth of `time_scale`.'
    )
    windows: WindowSettings | Auto | None = Field(  # type: ignore[assignment]
        AUTO,
        description='Windows that restart from observations; "auto" for a length of half a `time_scale`, None to solve '
        "each trajectory from its start.",
    )
    bootstrap: BootstrapSettings | Auto | None = Field(  # type: ignore[assignment]
        AUTO,
        description="Weights of the observations that differ between seeds, so that intervals tell of the data too; "
        '"auto" for blocks of one `time_scale`, None for none.',
    )
    validation: ValidationSettings | Auto = Field(  # type: ignore[assignment]
        AUTO, description='What strengths are chosen on; "auto" for a block at a random place of each trajectory.'
    )
    peers: dict[str, dict[str, Any]] | tuple[str, ...] | Auto = Field(
        AUTO,
        description="Other people's methods of network inference (`sparsenode options`) beside the fit, as names or "
        'with options by name, in `rankings`, `network(method=...)` and `summary`; "auto" for lasso and extra trees '
        "below 200 variables.",
    )
    consensus: bool = Field(False, description="Whether `rankings` have mean ranks over the fit and its peers too.")
    initial_state: InitialStateSettings | None = Field(  # type: ignore[assignment]
        None, description="The state that forecasts of a whole trajectory start from; None for its first observation."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """None here: those of the model are looked for once all settings are known."""
        return iter(())


def _parameters() -> dict[str, Any]:
    """Keywords of the constructor with their defaults, as the typed settings have them."""
    # `network` is the method that gives the edges; its setting is called `architecture`.
    fields = {name: field for name, field in FitSettings.model_fields.items() if name != "network"}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    return {**defaults, "verbose": 1}


PARAMETERS: Mapping[str, Any] = _parameters()
"""Default of each keyword of the constructor."""


def plain_value(value: Any) -> Any:
    """A value of a setting in the types of Python, as a configuration has it."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Mapping):
        return {name: plain_value(entry) for name, entry in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain_value(entry) for entry in value]
    return value


def preparation(settings: FitSettings) -> dict[str, Any]:
    """What the data are prepared by, as a dataset's entry of the configuration has it."""
    validation = settings.validation
    if validation == AUTO:
        validation = ValidationSettings(by="inner_blocks")
    return {
        "validation": validation.model_dump(mode="json"),
        "initial_state": (settings.initial_state or InitialStateSettings()).model_dump(mode="json"),
        "feature_weight": settings.feature_weight,
    }


def complete_settings(settings: FitSettings, adata: AnnData) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the model and of the method, as a file of frozen settings has them, with all that was "auto".

    Raises:
        UserError: values contradict each other.
    """
    values = {name: getattr(settings, name) for name in ModelSettings.model_fields}
    values["network"] = settings.architecture
    if values["network"] == AUTO:
        joint = adata.n_vars > MANY_VARIABLES or settings.regularizer in {"l1", "cnode", "l0", "pathreg"}
        values["network"] = "joint" if joint else "per_target"
    per_target = values["network"] == "per_target"
    if values["hidden"] == AUTO:
        values["hidden"] = {"per_target": (20,), "biological": (40,), "joint": (40, 40)}[values["network"]]
    if values["standardize"] == AUTO:
        values["standardize"] = settings.order == 1 and values["network"] != "biological"
    if values["time_scale"] == AUTO:
        values["time_scale"] = natural_time(adata)
    scale = values["time_scale"]
    if values["decay"] == AUTO:
        values["decay"] = _rounded(0.5 / scale)
    if values["solver"] == AUTO:
        values["solver"] = SolverSettings(step=_rounded(STEP_SHARE * scale))
    if values["windows"] == AUTO:
        values["windows"] = choose_windows(adata, scale)
    if values["bootstrap"] == AUTO:
        values["bootstrap"] = _choose_bootstrap(adata, scale)
    plain = {name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in values.items()}
    model = read_settings(ModelSettings, plain, "SparseNODE").model_dump(mode="json")
    regularizer = settings.regularizer
    if regularizer == AUTO:
        regularizer = "grouplasso" if per_target else "l1"
    strengths: list[float] | Auto = AUTO
    if get_method(regularizer).strength is None:
        strengths = [0.0]
    elif settings.strengths != AUTO:
        strengths = sorted(settings.strengths) or [0.0]
    return model, {
        "regularizer": regularizer,
        "strengths": strengths,
        "options": dict(_OPTIONS.get(regularizer, {}) if settings.options == AUTO else settings.options),
    }


def natural_time(adata: AnnData) -> float:
    """Time in which states change by about as much as they differ: the median over variables that move.

    The deviation of each variable over that of its slope, both of smoothed training data; of trajectories that are too
    short to be smoothed the differences of neighbors are taken.
    """
    from sparsenode.data.missing import deviation_observed
    from sparsenode.peers.derivatives import read_samples

    try:
        samples = read_samples(adata, 1)
        states, rates = samples.states, samples.rates
    except UserError:
        states, rates = _differences(adata)
    deviations, slopes = deviation_observed(states), deviation_observed(rates)
    moves = (slopes > 0) & (deviations > 0)  # false where too little is observed to tell
    if not moves.any():
        return 1.0
    return _rounded(float(np.median(deviations[moves] / slopes[moves])))


def _differences(adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """States and slopes (observation, variable) from neighbors in time."""
    from sparsenode.data.contract import trajectory_slices

    values, times = np.asarray(adata.X, np.float64), adata.obs["time"].to_numpy(np.float64)
    states, slopes = [], []
    for rows in trajectory_slices(adata).values():
        steps = np.diff(times[rows])
        later = steps > 0
        states.append(values[rows][1:][later])
        slopes.append(np.diff(values[rows], axis=0)[later] / steps[later, None])
    return np.concatenate(states), np.concatenate(slopes)


def choose_windows(adata: AnnData, scale: float) -> WindowSettings | None:
    """Windows of half a time scale that fit into the validation data, overlapping by half; None where none does."""
    spacing = _median_spacing(adata)
    longest = _longest_stretches(adata)
    length = min(round(WINDOW_SHARE * scale / spacing), *(count - 1 for count in longest))
    if length < LEAST_WINDOW:
        return None
    stride = max(1, (length + 1) // 2)
    windows = len(adata) // stride
    return WindowSettings(length=length, stride=stride, batch=MOST_SOLVES if windows > MOST_SOLVES else None)


def _choose_bootstrap(adata: AnnData, scale: float) -> BootstrapSettings:
    # A few blocks at least, however slow the data: of a single one there is nothing to draw.
    most = max(1, max(_longest_stretches(adata)) // _FEWEST_BLOCKS)
    return BootstrapSettings(block=min(most, max(1, round(scale / _median_spacing(adata)))))


def _median_spacing(adata: AnnData) -> float:
    """Median time between neighboring observations of one trajectory at different times."""
    from sparsenode.data.contract import trajectory_slices

    times = adata.obs["time"].to_numpy(np.float64)
    steps = np.concatenate([np.diff(times[rows]) for rows in trajectory_slices(adata).values()])
    return float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0


def _longest_stretches(adata: AnnData) -> Sequence[int]:
    """Longest run of observations of one trajectory in the training and in the validation split."""
    from sparsenode.data.windows import find_stretches

    trajectory = adata.obs["trajectory"].cat.codes.to_numpy()
    splits = adata.obs["split"].to_numpy()
    present = [splits == split for split in ("train", "validation") if (splits == split).any()]
    return [max(len(rows) for rows in find_stretches(chosen, trajectory)) for chosen in present]


def _rounded(value: float) -> float:
    """A number of three digits."""
    return float(f"{value:.3g}")
