"""What a data source gives: its options are its fields, its facts are class attributes."""

import sys
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sparsenode.data.downloads import RemoteFile
from sparsenode.data.outline import Outline
from sparsenode.data.trajectories import Floats, RawTrajectories
from sparsenode.typed import Settings


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
    """A source whose true system can be simulated again, also with variables held at values."""

    @abstractmethod
    def system_from_provenance(self, provenance: Mapping[str, Any]) -> Any:
        """The system behind a dataset of this source, in the units of its values.

        Args:
            provenance: that of the dataset, and beside it `options` of the source and the trajectories' `scale`.

        Raises:
            UserError: the provenance is that of another source.
        """

    @abstractmethod
    def solve(
        self, system: Any, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None
    ) -> Floats:
        """States (trajectory, time, feature) of the system.

        Args:
            system: from `system_from_provenance`.
            initial_states: (trajectory, feature), at time 0.
            times: (trajectory, time), none negative.
            clamp: values by number of the feature; these features are held at them from time 0 on.

        Raises:
            UserError: `clamp` names a feature that there is not, or the system cannot be solved up to the last time.
        """
