"""What sources of a user's own trajectories share: which columns tell of an observation, and how values are scaled."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sparsenode.data.source import Source
from sparsenode.errors import describe_choice
from sparsenode.typed import EachOnce, PathText

SPLITS = ("train", "validation", "test")
PHASES = ("fit", "extrapolation")
NAMED = 8  # names listed in a message
ONLY = "trajectory"
"""Name of the trajectory that all observations are, where no column names any."""


class OwnSource(Source):
    """A file of the user's own whose observations have columns: of `obs` of an h5ad file, or of a table."""

    path: PathText = Field(description="The file.")
    time: str = Field("time", description="Column with the times (or pseudotimes).")
    time_unit: str = Field("time unit", description="Unit of time, for axis labels.")
    value_unit: str = Field("value", description="Unit of the values, for axis labels.")
    trajectory: str | None = Field(
        None, description="Column with the trajectory of each observation; null: all are one."
    )
    group: str | None = Field(
        None, description="Column whose value the trajectories of one kind share (lineage); null: one kind."
    )
    subject: str | None = Field(None, description="Column with the donor or person; null: each trajectory is its own.")
    split: str | None = Field(None, description="Column with train, validation or test; null: see `test_trajectories`.")
    test_trajectories: Annotated[tuple[str, ...], EachOnce] = Field(
        (), description="Trajectories that are test data, where no `split` column is named."
    )
    phase: str | None = Field(
        None,
        description="Column with fit or extrapolation, which is forecast and not trained on; null: all are fit.",
    )
    transform: Literal["none", "log1p"] = Field("none", description="`log1p`: log of one plus the value.")
    scaling: Literal["none", "per_trajectory", "training_range"] = Field(
        "none",
        description="`training_range`: one scale per feature for all, from training data, to [0, 1]; "
        "`per_trajectory`: each trajectory to [0, 1] by its own range, test data too; `none`: the values "
        "are modeling units already.",
    )
    time_scaling: Literal["none", "unit"] = Field("none", description="`unit`: the times of each trajectory to [0, 1].")

    def local_files(self) -> list[Path]:
        """The user's file."""
        return [Path(self.path)]


def trajectory_problems(test_trajectories: Sequence[str], labels: Sequence[str], where: str) -> Iterator[str]:
    """Test trajectories that are not there.

    Args:
        test_trajectories: those that the options name.
        labels: names of the trajectories that are there.
        where: what messages call these.
    """
    for name in [name for name in test_trajectories if name not in labels][:NAMED]:
        names = describe_choice(name, labels)
        yield f"test_trajectories: found {name!r}; allowed: a trajectory of {where}. {names}"


def label_problem(option: str, labels: Sequence[str], where: str) -> str | None:
    """What is wrong with the labels of a column of splits or phases; None for those of another column.

    Args:
        option: the option that names the column.
        labels: what the column holds.
        where: what messages call the column.
    """
    allowed = {"split": SPLITS, "phase": PHASES}.get(option)
    wrong = [] if allowed is None else [label for label in labels if label not in allowed]
    return f"{option}: {where} holds {wrong[0]!r}; allowed: {', '.join(allowed or ())}" if wrong else None
