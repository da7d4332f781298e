"""yeast: two cell cycles of synchronized yeast, two replicates of 24 times, with a motif prior and no truth.

Expression: Pramila et al., Genes & Development 2006 (GSE4987), 5-minute samples of cultures that were arrested by alpha
factor; log ratios, quantile normalized, so that all samples have one distribution. The prior: binding motifs of
transcription factors in promoters, as in PANDA (Glass et al., PLoS ONE 2013). Both are as prepared for PHOENIX (Hossain
et al., Genome Biology 2024, github.com/QuackenbushLab/phoenix, MIT): the first replicate is for training, the second
for the test. Genes are named by their open reading frames, since the common names of some are missing; these are in
`var["symbol"]`. Time is in minutes.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.edge_tables import edge_matrix, read_edge_list, read_genes
from sparsenode.data.readers.tables import read_text_columns
from sparsenode.data.readers.trajectory_tables import read_trajectory_table
from sparsenode.data.source import Source
from sparsenode.data.trajectories import RawTrajectories, Trajectory, constant_labels
from sparsenode.errors import UserError

logger = logging.getLogger(__name__)

_ADDRESS = "https://raw.githubusercontent.com/QuackenbushLab/phoenix/main/pramila_yeast_data/clean_data"
_PRIOR = known_file(f"{_ADDRESS}/motif_prior.csv")
_NO_SYMBOL = "None"


class YeastSource(Source):
    """The source and its options."""

    priors: ClassVar[tuple[str, ...]] = ("motif",)

    genes: Literal[3551, 500] = Field(
        3551, description="How many genes: all 3551 that were prepared, or the 500 most variable of them."
    )

    def required_files(self) -> list[RemoteFile]:
        """Values of both replicates, names of genes, and the motif prior."""
        return [
            known_file(f"{_ADDRESS}/pramila_{self.genes}genes_1sample_24T.csv"),
            known_file(f"{_ADDRESS}/pramila_{self.genes}genes_1VALsample_24T.csv"),
            known_file(f"{_ADDRESS}/pramila{self.genes}_gene_names.csv"),
            _PRIOR,
        ]

    def outline(self) -> Outline:
        """The size of the published training data."""
        return Outline(trajectories=1, observations=20, duration=120.0, feature_count=self.genes)

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """Two trajectories, `replicate_1` for training and `replicate_2` for the test; `files` by HOST/PATH.

        Raises:
            UserError: a file is damaged, or they do not belong together.
        """
        training, test, named, motifs = (files[file.local_path] for file in self.required_files())
        trajectories = []
        for number, (path, split) in enumerate(((training, "train"), (test, "test")), start=1):
            replicates = read_trajectory_table(path)
            count = replicates[0][1].shape[1]
            if len(replicates) != 1 or count != self.genes:
                message = f"{path}: {len(replicates)} trajectories of {count} genes, expected one of {self.genes}"
                raise UserError(message)
            times, values = replicates[0]
            trajectories.append(
                Trajectory(
                    name=f"replicate_{number}",
                    group="cell cycle",
                    subject=f"replicate_{number}",
                    times=times,
                    values=values,
                    splits=constant_labels(split, len(times)),
                    phases=constant_labels("fit", len(times)),
                )
            )
        genes = read_genes(named, "x", self.genes)
        (symbols,) = read_text_columns(named, ["name"])
        edges = read_edge_list(motifs, "reg", "aff")
        prior = edge_matrix(edges, genes)
        if not prior.any():
            message = f"{motifs}: no edge among the {len(genes)} genes of {named}"
            raise UserError(message)
        sources = {source for source, _ in edges}
        facts = {
            "prior_edges": int(prior.sum()),
            "regulators": int(prior.any(axis=1).sum()),
            "regulators_not_measured": len(sources - set(genes)),
        }
        logger.info(
            "motif prior: %(prior_edges)d edges of %(regulators)d regulators; %(regulators_not_measured)d more "
            "regulators are not among the genes",
            facts,
        )
        return RawTrajectories(
            kind="measured",
            features=genes,
            trajectories=tuple(trajectories),
            time_unit="minute",
            value_unit="log ratio",
            priors={"motif": prior.astype(np.float64)},
            is_regulator=np.asarray(prior.any(axis=1)),
            provenance={"prior": facts},
            feature_labels={
                "symbol": tuple(gene if name == _NO_SYMBOL else name for gene, name in zip(genes, symbols, strict=True))
            },
        )
