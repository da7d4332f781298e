"""dream3: the DREAM3 in-silico challenge, series of 10, 50 or 100 genes of E. coli and yeast with their true networks.

Prill et al., "Towards a rigorous assessment of systems biology models", PLoS ONE 2010; Marbach et al., Journal of
Computational Biology 2009. Parts of known networks were simulated by stochastic equations with measurement noise: each
series begins with a perturbation of the genes and has 21 times up to 200. The files are those of JRNGC (Zhou et al.,
ICML 2024, github.com/ElleZWQ/JRNGC, MIT). The truth tells of every ordered pair of two genes, nothing of a gene with
itself, and has no signs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.series_tables import read_pair_list, read_series_table
from sparsenode.data.source import Source
from sparsenode.data.trajectories import RawTrajectories, Trajectory, constant_labels
from sparsenode.errors import UserError

NETWORKS = ("Ecoli1", "Ecoli2", "Yeast1", "Yeast2", "Yeast3")
"""Names of the networks in the order of their numbers, which begin with 1."""
SERIES = {10: 4, 50: 23, 100: 46}
"""Number of series by the number of genes."""

_GROUP = "series"
_ADDRESS = "https://raw.githubusercontent.com/ElleZWQ/JRNGC/master/data"


class Dream3Source(Source):
    """The source and its options."""

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()

    size: Literal[10, 50, 100] = Field(100, description="Number of genes; 4, 23 or 46 series.")
    network: Literal[1, 2, 3, 4, 5, "Ecoli1", "Ecoli2", "Yeast1", "Yeast2", "Yeast3"] = Field(
        "Ecoli1", description="The network, by its name or its number: 1 and 2 are of E. coli, 3 to 5 of yeast."
    )
    test_series: int = Field(
        0, ge=0, description="How many series, the last ones, are test data; published scores take all for training."
    )

    def required_files(self) -> list[RemoteFile]:
        """The series and the list of pairs."""
        number = NETWORKS.index(self.network) if isinstance(self.network, str) else self.network - 1
        name = f"{_ADDRESS}/dream3_{self.size}_{number}"
        return [known_file(f"{name}.tsv"), known_file(f"{name}_true.txt")]

    def check(self) -> list[str]:
        """More test series than leave one for training, as `option: what is wrong`."""
        count = SERIES[self.size]
        if self.test_series < count:
            return []
        return [f"test_series: {self.test_series} of {count} series leave none for training; allowed: below {count}"]

    def outline(self) -> Outline:
        """Names of the genes, and the size of the training data."""
        return Outline(
            features=tuple(f"G{number}" for number in range(1, self.size + 1)),
            groups=(_GROUP,),
            trajectories=SERIES[self.size] - self.test_series,
            observations=21,
            duration=200.0,
        )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory for each series, named `series_1` and so on; `files` by HOST/PATH.

        Raises:
            UserError: a file is damaged, they do not belong together, or no series is left for training.
        """
        if problems := self.check():
            message = f"data source dream3: {problems[0]}"
            raise UserError(message)
        series_file, pairs_file = (files[file.local_path] for file in self.required_files())
        genes, series = read_series_table(series_file)
        size, count = self.size, SERIES[self.size]
        if len(genes) != size or len(series) != count:
            message = f"{series_file}: {len(series)} series of {len(genes)} genes, expected {count} of {size}"
            raise UserError(message)
        training = count - self.test_series
        return RawTrajectories(
            kind="simulated",
            features=genes,
            trajectories=tuple(
                Trajectory(
                    name=f"series_{number}",
                    group=_GROUP,
                    subject=f"series_{number}",
                    times=times,
                    values=values,
                    splits=constant_labels("train" if number <= training else "test", len(times)),
                    phases=constant_labels("fit", len(times)),
                )
                for number, (times, values) in enumerate(series, start=1)
            ),
            time_unit="time unit",
            value_unit="level",
            truth=read_pair_list(pairs_file, genes).astype(np.float64),
            truth_known=~np.eye(size, dtype=bool),
            truth_signed=False,
            # Otherwise it would be read off the truth.
            is_regulator=np.ones(size, dtype=bool),
        )
