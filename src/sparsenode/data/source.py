"""What a data source gives: its options are its fields, its facts are class attributes."""

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from sparsenode.data.downloads import RemoteFile
from sparsenode.data.outline import Outline
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import nearest_names
from sparsenode.typed import Settings

System = TypeVar("System", bound=SolvableSystem)


class Source(Settings):
    """A data source with its options.

    Class attributes: `name` is that of the file, `summary` the first line of the file's docstring. `has_truth`: the
    data have a true network (they also have one where an option `truth` names it); `has_body`: the provenance names
    `skeletons`; `has_cells`: the data are cells along lineages. `priors` names the prior networks that the source
    brings beside those that its option `networks` names, None where only its files tell.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    has_truth: ClassVar[bool] = False
    has_body: ClassVar[bool] = False
    has_cells: ClassVar[bool] = False
    priors: ClassVar[tuple[str, ...] | None] = None

    def __init_subclass__(cls, **settings: Any) -> None:
        """Name the source by its file, and describe it by the first line there."""
        super().__init_subclass__(**settings)
        cls.name = cls.__module__.rpartition(".")[2]
        first_line = (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]
        cls.summary = first_line.removeprefix(f"{cls.name}: ")

    @property
    def options(self) -> dict[str, Any]:
        """All options with their values, as in a configuration."""
        return self.model_dump(mode="json")

    def required_files(self) -> list[RemoteFile]:
        """What has to be downloaded; by default nothing."""
        return []

    def local_files(self) -> list[Path]:
        """Files of the user's own that are read; by default none. The options that name them are `typed.PathText`."""
        return []

    def check(self) -> list[str]:
        """Options that contradict each other or a file of the user's own, each as `option: found; allowed`.

        It is called before each run, so it is quick, imports nothing heavy, and reads no more than names.

        Raises:
            UserError: a file of the user's own cannot be used.
        """
        return []

    def outline(self) -> Outline | None:
        """Names and size of the dataset before it is made, None where nothing is known; as quick as `check`.

        Raises:
            UserError: a file of the user's own cannot be used.
        """
        return None

    @abstractmethod
    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """The trajectories.

        Args:
            files: paths of the downloaded files by their `local_path`.

        Raises:
            UserError: options contradict each other, or a file cannot be used.
        """


class SolvableSource(Source):
    """A source whose true system can be simulated again, with variables held at values or with changed parameters."""

    parameter_factors: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        {},
        description="Factors of the system's parameters, each of all its entries, such as {coupling: 0.5} where one "
        "has this name: a changed system from the same starts.",
    )

    @abstractmethod
    def parameter_names(self) -> Sequence[str]:
        """Names of the parameters that `parameter_factors` can multiply."""

    def check(self) -> list[str]:
        """Unknown parameters, each as `option: found; allowed`."""
        names = self.parameter_names() if self.parameter_factors else ()
        return [
            f"parameter_factors: found {name!r}; allowed: a parameter of the system, of which the nearest are "
            f"{nearest_names(name, names)}"
            for name in self.parameter_factors
            if name not in names
        ]

    def change(self, system: System) -> System:
        """The system with its parameters multiplied by `parameter_factors`.

        Raises:
            UserError: a parameter is unknown, or cannot be multiplied by its factor.
        """
        for name, factor in self.parameter_factors.items():
            system = system.with_parameter(name, factor)
        return system

    @abstractmethod
    def system_from_provenance(self, provenance: Mapping[str, Any]) -> SolvableSystem:
        """The system behind a dataset of this source, in the units of its values, its changed parameters included.

        Args:
            provenance: that of the dataset, and beside it `options` of the source and the trajectories' `scale`.

        Raises:
            UserError: the provenance is that of another source.
        """
