"""breast: 186 breast cancers in pseudotime, 500 genes, with a ChIP-seq network as the truth and a motif prior.

Expression: Desmedt et al., Clinical Cancer Research 2007, ordered in pseudotime and smoothed along it, as prepared for
PHOENIX (Hossain et al., Genome Biology 2024, github.com/QuackenbushLab/phoenix, MIT): of the genes with a prior the 500
most variable ones, values over 15, so that they lie about in [0, 1]. DASH (Hossain et al., NeurIPS 2024, arXiv
2403.04805) used 11,165 genes of the same cancers. Eight samples in a row in the middle of pseudotime are held out for
the test, as published; since smoothing came before, they share samples with their neighbors. The networks are those of
OTTER (Weighill et al., AAAI 2021): transcription factors bound near a gene in ChIP-seq of breast cells, and motifs in
promoters. The published prior has signs that were drawn at random, so that only where its edges are is kept.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.edge_tables import edge_matrix, read_edge_list, read_edge_matrix, read_genes
from sparsenode.data.readers.trajectory_tables import read_trajectory_table
from sparsenode.data.source import Source
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory, constant_labels
from sparsenode.errors import UserError

logger = logging.getLogger(__name__)


_ADDRESS = "https://raw.githubusercontent.com/QuackenbushLab/phoenix/main/breast_cancer_data/clean_data"
_TRAINING = known_file(f"{_ADDRESS}/desmedt_500genes_1sample_178T.csv")
_TEST = known_file(f"{_ADDRESS}/desmedt_500genes_1TESTsample_8middleT.csv")
_GENES = known_file(f"{_ADDRESS}/desmedt_gene_names_500.csv")
_PRIOR = known_file(f"{_ADDRESS}/edge_prior_matrix_desmedt_500.csv")
_VALIDATION = known_file(f"{_ADDRESS}/validation_network.csv")


class BreastSource(Source):
    """The source and its options."""

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ("motif",)

    known: Literal["experiments", "all"] = Field(
        "experiments",
        description="Of which pairs the ChIP-seq network tells. `experiments`: those of a transcription factor with "
        "an experiment of its own; `all`: every pair, so that a factor without an experiment has no true "
        "edge, as in the published scores.",
    )

    def required_files(self) -> list[RemoteFile]:
        """Training and test values, names of genes, the motif prior and the ChIP-seq network."""
        return [_TRAINING, _TEST, _GENES, _PRIOR, _VALIDATION]

    def outline(self) -> Outline:
        """The size of the published training data."""
        return Outline(trajectories=1, observations=151, duration=0.94, feature_count=500)

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory, whose held-out middle is test data; `files` by HOST/PATH.

        Raises:
            UserError: a file is damaged, or they do not belong together.
        """
        training, test = (files[file.local_path] for file in (_TRAINING, _TEST))
        tables = [(*_read_only(path), split) for path, split in ((training, "train"), (test, "test"))]
        times = np.concatenate([table[0] for table in tables])
        counts = [table[1].shape[1] for table in tables]
        if counts[0] != counts[1] or len(np.unique(times)) < len(times):
            message = f"{test} does not belong to {training}: it has other numbers of genes or some of its times"
            raise UserError(message)
        order = np.argsort(times)
        genes = read_genes(files[_GENES.local_path], "gene", counts[0])
        prior = (read_edge_matrix(files[_PRIOR.local_path], len(genes)) != 0).astype(np.float64)
        edges = read_edge_list(files[_VALIDATION.local_path], "from", "to")
        truth = edge_matrix(edges, genes)
        # Nobody has looked at a gene without a motif and without a bound factor.
        tested = np.isin(genes, [source for source, _ in edges])
        is_target = truth.any(axis=0) | (prior != 0).any(axis=0)
        known_pairs = np.outer(tested, is_target) if self.known == "experiments" else np.ones_like(truth)
        np.fill_diagonal(known_pairs, val=False)
        if not (truth & known_pairs).any():
            path = files[_VALIDATION.local_path]
            message = f"{path}: no edge among the {len(genes)} genes of {files[_GENES.local_path]}"
            raise UserError(message)
        facts = {
            "sources_with_experiments": int(tested.sum()),
            "known_pairs": int(known_pairs.sum()),
            "true_edges": int((truth & known_pairs).sum()),
            "prior_edges": int((prior != 0).sum()),
        }
        logger.info("ChIP-seq network: %(true_edges)d edges among %(known_pairs)d known pairs", facts)
        return RawTrajectories(
            kind="measured",
            features=genes,
            trajectories=(
                Trajectory(
                    name="cancers",
                    group="cancers",
                    subject="cancers",
                    times=times[order],
                    values=np.concatenate([table[1] for table in tables])[order],
                    splits=np.concatenate([constant_labels(table[2], len(table[0])) for table in tables])[order],
                    phases=constant_labels("fit", len(times)),
                ),
            ),
            time_unit="pseudotime",
            value_unit="expression / 15",
            truth=truth.astype(np.float64),
            truth_known=known_pairs,
            truth_signed=False,
            priors={"motif": prior},
            # By the motifs only: that the measured factors are among them is no news of the truth.
            is_regulator=(prior != 0).any(axis=1),
            provenance={"truth": facts},
        )


def _read_only(path: Path) -> tuple[Floats, Floats]:
    trajectories = read_trajectory_table(path)
    if len(trajectories) != 1:
        message = f"{path}: {len(trajectories)} trajectories, expected one"
        raise UserError(message)
    return trajectories[0]
