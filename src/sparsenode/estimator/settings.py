"""What the estimator is set by, and what it takes from the data where a setting is "auto"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sparsenode.automatic.options import automatic_options
from sparsenode.methods import get_method, offered_strengths
from sparsenode.settings import (
    AUTO,
    Auto,
    BootstrapSettings,
    InitialStateSettings,
    JobSettings,
    MatchingSettings,
    ModelSettings,
    PreparationSettings,
    SolverSettings,
    ValidationSettings,
    WindowSettings,
)
from sparsenode.typed import Contradiction, plain_value, read_settings

if TYPE_CHECKING:
    from anndata import AnnData


# mypy takes a type that is wider by "auto" than that of the model's settings for a mistake; reading allows it.
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
    model: Literal["auto", "default"] = Field(
        AUTO,
        description='"auto" takes every setting that is "auto" from the training and validation data '
        '(`sparsenode.automatic`); "default" takes its usual default.',
    )
    architecture: Literal["auto", "joint", "per_target", "biological"] = Field(
        AUTO,
        description='Kind of network (`network` of a model in the configuration); "auto" for `per_target` where it is '
        "affordable, else `joint`.",
    )
    order: Literal[1, 2, "auto"] = Field(  # type: ignore[assignment]
        AUTO, description='Order of the differential equation; "auto" for 2 where states do not tell slopes.'
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Units of each hidden layer; "auto" by the number of observations.'
    )
    activation: Literal["elu", "tanh", "softplus", "auto"] = Field(  # type: ignore[assignment]
        AUTO, description='Activation of the hidden layers; "auto" for tanh.'
    )
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
        description='Windows that restart from observations; "auto" for a length of half a `time_scale` where '
        "observations are more than noise, None to solve each trajectory from its start.",
    )
    starts: Literal["given", "learned", "auto"] = Field(  # type: ignore[assignment]
        AUTO, description='Where whole trajectories begin; "auto" for learned where they begin in noise or part.'
    )
    smoothing: Annotated[int, Field(ge=0)] | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Half width of the local fit that restarts begin at; "auto" by cross-validation.'
    )
    bootstrap: BootstrapSettings | Auto | None = Field(  # type: ignore[assignment]
        AUTO,
        description="Weights of the observations that differ between seeds, so that intervals tell of the data too; "
        '"auto" for whole trajectories, or blocks of one `time_scale` of fewer than ten; None for none.',
    )
    matching: MatchingSettings | Auto | None = Field(  # type: ignore[assignment]
        AUTO, description='First share of the iterations without a solve; "auto" where there is enough to smooth.'
    )
    iterations: Annotated[int, Field(ge=1)] | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Steps of the optimizer; "auto" by the number of observations.'
    )
    warm_up: Annotated[float, Field(ge=0, le=1)] | Auto = Field(  # type: ignore[assignment]
        AUTO, description='Share of the iterations over which the penalty ramps in; "auto" for a fifth.'
    )
    validation: ValidationSettings | Auto = Field(  # type: ignore[assignment]
        AUTO, description='What strengths are chosen on; "auto" for a block at a random place of each trajectory.'
    )
    ranking: Literal["auto", "fitted", "paths", "derivatives", "costs", "ranks"] = Field(
        AUTO,
        description="What edges are ranked by: `fitted` derivatives of the members at the chosen strength, `paths` "
        "that the penalty has left in them, `derivatives` of members that only match slopes, `costs` of leaving an "
        "input out on held-out observations (minutes), `ranks`, the mean rank by the last two; "
        '"auto" by the number of variables.',
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


def complete_settings(settings: FitSettings, adata: AnnData) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The settings of the model and of the method, as a file of frozen settings has them, and how they were chosen.

    Raises:
        UserError: values contradict each other, or there is too little to choose by.
    """
    from sparsenode.automatic.choose import choose_settings
    from sparsenode.automatic.rules import choose_regularizer

    values = {name: getattr(settings, name) for name in ModelSettings.model_fields}
    values["network"] = settings.architecture
    by_hand = {name: value for name, value in values.items() if value != AUTO}
    regularizer = None if settings.regularizer == AUTO else settings.regularizer
    if settings.model == AUTO:
        choices = choose_settings(adata, by_hand, regularizer=regularizer, ranking=settings.ranking, where="SparseNODE")
        model, regularizer, report = choices.settings, choices.regularizer, choices.plain()
    else:
        plain = {name: plain_value(value) for name, value in by_hand.items()}
        model, report = read_settings(ModelSettings, plain, "SparseNODE"), {}
        regularizer = regularizer or str(choose_regularizer(model.network).value)
    method = {
        "regularizer": regularizer,
        "strengths": offered_strengths(get_method(regularizer), settings.strengths),
        "options": automatic_options(regularizer) if settings.options == AUTO else dict(settings.options),
    }
    return model.model_dump(mode="json"), method, report
