"""Which interventions are forecast: the `interventions` of a dataset's entry in the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsenode.errors import UserError
from sparsenode.labels import reserved_name
from sparsenode.typed import Contradiction, Name, Names, Settings, describe_names, describe_unknown

Level = Annotated[
    float | Literal["low", "high"], Field(json_schema_extra={"x-allowed": "a number in modeling units, low or high"})
]
"""What a variable is held at."""
Clamp = Annotated[
    dict[str, Level],
    Field(
        min_length=1,
        json_schema_extra={"x-allowed": "a mapping of one or more variables to values, such as {Gata1: 0}"},
    ),
]


def interval_levels(coverage: Any) -> tuple[float, float, float]:
    """Quantiles of the median and of the ends of an interval that leaves a share of the members inside.

    Raises:
        UserError: the share is not between 0 and 1.
    """
    if not (isinstance(coverage, float | int) and 0 < coverage <= 1):
        raise UserError(f"coverage: found {coverage!r}; give a share above 0 and at most 1, such as 0.9")
    return 0.5, (1 - coverage) / 2, (1 + coverage) / 2


class ExpectedFates(Settings):
    """The fates that an intervention is expected to change."""

    lost: Names = Field((), description="Groups of trajectories that fewer forecasts end in.")
    gained: Names = Field((), description="Groups that, together, more forecasts end in.")


class InterventionSettings(Settings):
    """Variables to hold in forecasts."""

    clamp: dict[Name, Clamp] = Field(
        {},
        description="Named interventions, such as `gata1_knockout: {Gata1: 0}`, each with the variables that it holds "
        "and their values in modeling units, or `low` or `high` for the least or the greatest in the "
        "training data.",
    )
    each: Literal["low", "high"] | None = Field(
        None, description="Holds every variable in turn as well, at `low` or `high`; null for none."
    )
    expected: dict[str, ExpectedFates] = Field(
        {},
        description="For interventions of `clamp`, by name, the fates that are known to be `lost` (the share of "
        "forecasts that end there falls, for each) or `gained` (it rises, for all of them together). Name "
        "both: a model that leads nowhere agrees with every loss.",
    )
    coverage: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Of the intervals of effects and fates over members; see `bootstrap` of a model.",
    )
    horizon: float = Field(
        1.0,
        gt=0,
        description="How far ahead forecasts of fates go, as a multiple of the length of the longest training "
        "trajectory. Beyond 1 models must stay where they have not been trained.",
    )
    starts: int = Field(
        5,
        ge=1,
        description="Fates are forecast from at most so many states of each training trajectory, spread evenly over "
        "the part in which it is nearer to the common start than to its own end.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Nothing to hold, and expectations of interventions that there are not."""
        if not self.clamp and self.each is None:
            yield Contradiction("", "neither clamp nor each", "null, or one of them")
        for name in self.expected:
            if name not in self.clamp:
                yield Contradiction(
                    "expected", describe_unknown(name, list(self.clamp)), describe_names(list(self.clamp))
                )
        for name in self.clamp:
            if (use := reserved_name("intervention", name)) is not None:
                yield Contradiction("clamp", f"the name {name!r}", f"another name, since {use}")
