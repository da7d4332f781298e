"""What the sources `sim350` and `sim690` share: trajectories of a network whose equations and edges are published.

The equations are those of PHOENIX (Hossain et al., "Biologically informed NeuralODEs for genome-wide regulatory
dynamics", Genome Biology 2024; github.com/QuackenbushLab/phoenix, MIT) and of DASH (Hossain et al., "Pruning neural
network models for gene regulatory dynamics using data and domain knowledge", NeurIPS 2024;
github.com/QuackenbushLab/DASH, MIT): networks of yeast, rate = production - level, with levels between 0 and 1. Input
genes keep their level. In both studies 150 trajectories are observed at times 0, 2, 3, 7 and 9, with normal noise; a
standard deviation of 0.025 is called 5 %, as a share of a level of 1/2.

Starts are drawn in one of two ways. `normal`: all genes alike, so that each is seen high and low. `published`, as the
simulator does: each input gene keeps near a level of its own (normal within 0 and 1, its mean of Beta(10, 10), its
standard deviation Beta(15, 15) thirds of the distance to the nearer bound and at least 0.01), and the other genes are
Beta(2, 2) shifted by a number between -1/4 and 1/4 of each gene's own, cut to 0 and 1. So input genes move less there
(a standard deviation of .06 in place of .24), and their edges are harder to find.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.tables import read_text_table
from sparsenode.data.simulated.equations import System, describe_system, read_equations, system_from_provenance
from sparsenode.data.simulated.simulation import make_trajectories
from sparsenode.data.source import SolvableSource
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.errors import UserError, nearest_names
from sparsenode.typed import EachOnce

logger = logging.getLogger(__name__)

# Streams of random numbers: noise and numbers of trajectories can be changed and the starts stay the same.
_GENES, _START, _NOISE, _TEST_START = range(4)
_INPUT_SUFFIX = "_input"
_SIGNS = {"TRUE": 1.0, "FALSE": -1.0}  # of the column `activation`
_EDGE_COLUMNS = ("from", "to", "weight", "activation", "EC50", "n")


@dataclass(frozen=True)
class PublishedNetwork:
    """Addresses of a network's files: equations, edges with their signs, and the genes in order, `size` in number."""

    equations: str
    edges: str
    genes: str
    size: int

    def files(self) -> list[RemoteFile]:
        """What is downloaded: equations, edges, genes."""
        return [known_file(url) for url in (self.equations, self.edges, self.genes)]


class PublishedNetworkSource(SolvableSource):
    """How trajectories of a published network are simulated and observed; a source of it names the `network`."""

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()
    network: ClassVar[PublishedNetwork]

    trajectories: int = Field(
        150, ge=2, description="Trajectories for training, those that become validation data among them."
    )
    test_trajectories: int = Field(
        50, ge=0, description="Trajectories for testing, from other starts and without noise."
    )
    times: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2), EachOnce] = Field(
        (0.0, 2.0, 3.0, 7.0, 9.0),
        description="Times of the observations, from 0 on. What changes does so within one or two units of time.",
    )
    test_times: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2), EachOnce] | None = Field(
        None,
        description="Times of the observations of test trajectories, from 0 on, those after the last of `times` to "
        "test extrapolation; null: as `times`.",
    )
    noise: float = Field(
        0.025,
        ge=0,
        description="Standard deviation of the observation noise of training trajectories, in units of the levels; "
        "the published 5 % are 0.025.",
    )
    start: Literal["normal", "published"] = Field(
        "normal",
        description="How starts are drawn: all genes alike, or each around a level of its own, as published, where "
        "input genes hardly differ between trajectories.",
    )
    start_mean: float = Field(0.49, description="Mean of normal starts, before they are cut to 0 and 1.")
    start_deviation: float = Field(
        0.25, gt=0, description="Standard deviation of normal starts, before they are cut to 0 and 1."
    )
    seed: int = Field(0, ge=0, description="Seed of starts and noise.")

    def required_files(self) -> list[RemoteFile]:
        """Equations, edges and genes."""
        return self.network.files()

    def check(self) -> list[str]:
        """Times that are not in order and unknown parameters, each as `option: what is wrong`."""
        return super().check() + [
            f"{key}: {list(times)} have to increase, from 0 on"
            for key, times in (("times", self.times), ("test_times", self.test_times))
            if times is not None and (times[0] != 0 or (np.diff(times) <= 0).any())
        ]

    def outline(self) -> Outline:
        """The size of the training data; the files tell of the genes."""
        return Outline(
            trajectories=self.trajectories,
            observations=len(self.times),
            duration=self.times[-1] - self.times[0],
            feature_count=self.network.size,
        )

    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters that `parameter_factors` can multiply."""
        return System.parameters

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """Simulated trajectories of a published network.

        Values are levels as published, not scaled. The provenance holds the system, see
        `equations.system_from_provenance`. The truth leaves open the listed edges that no equation has.

        Args:
            files: paths of the downloaded files by HOST/PATH.

        Raises:
            UserError: times are not in order, a file is damaged, equations and edges do not fit together, or the system
                cannot be solved up to the last time.
        """
        equations, edges, genes = (files[file.relative_path] for file in self.network.files())
        if problems := self.check():
            message = f"data source {self.name}: {problems[0]}"
            raise UserError(message)
        times = np.array(self.times, np.float64)
        test_times = times if self.test_times is None else np.array(self.test_times, np.float64)
        names, is_input = read_genes(genes)
        published = read_equations(equations, names)
        truth, truth_known = _truth(read_edges(edges, names), published, names, equations, edges)
        system = self.change(published)

        def simulate(stream: int, count: int, times: Floats) -> Floats:
            return system.solve(draw_starts(self, is_input, count, stream), times, genes=names)

        count, test_count = self.trajectories, self.test_trajectories
        states = simulate(_START, count, times)
        noise = self.noise * np.random.default_rng([self.seed, _NOISE]).standard_normal(states.shape)
        trajectories = _trajectories(states, times, times, noise, training=count)
        if test_count:
            states = simulate(_TEST_START, test_count, test_times)
            trajectories += _trajectories(states, test_times, times, np.zeros(states.shape), training=0)
        return RawTrajectories(
            kind="simulated",
            features=tuple(names),
            trajectories=trajectories,
            time_unit="time unit",
            value_unit="level",
            truth=truth,
            truth_known=truth_known,
            # Otherwise it would be read off the truth.
            is_regulator=np.ones(len(names), dtype=bool),
            provenance=describe_system(system),
        )

    def system_from_provenance(self, provenance: Mapping[str, Any]) -> System:
        """The system behind a dataset, see `equations.system_from_provenance`."""
        return system_from_provenance(provenance)


def read_genes(path: Path) -> tuple[list[str], NDArray[np.bool_]]:
    """Names of the genes, and which of them are input genes (gene,), from a CSV file with the one column `x`.

    Raises:
        UserError: the file is no such table, or a gene is in it twice.
    """
    labels = [name for _, (name,) in read_text_table(path, ("x",))]
    names = [label.removesuffix(_INPUT_SUFFIX) for label in labels]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        message = f"{path}: the gene {repeated!r} is there more than once"
        raise UserError(message)
    return names, np.array([label.endswith(_INPUT_SUFFIX) for label in labels])


def read_edges(path: Path, genes: Sequence[str]) -> Floats:
    """Signs of the edges (source, target), 1 or -1 and 0 where there is none, from a CSV file of edges.

    Raises:
        UserError: the file is no such table, an edge has an unknown gene or no sign, or is in it twice.
    """
    positions = {gene: position for position, gene in enumerate(genes)}
    signs = np.zeros((len(genes), len(genes)))
    for line, (source, target, _, activation, _, _) in read_text_table(path, _EDGE_COLUMNS):
        for gene in (source, target):
            if gene not in positions:
                message = f"{path}, line {line}: no gene is named {gene!r}; the nearest: {nearest_names(gene, genes)}"
                raise UserError(message)
        if activation not in _SIGNS:
            message = f"{path}, line {line}: found activation {activation!r}, expected {' or '.join(_SIGNS)}"
            raise UserError(message)
        edge = positions[source], positions[target]
        if signs[edge]:
            message = f"{path}, line {line}: the edge from {source} to {target} is there a second time"
            raise UserError(message)
        signs[edge] = _SIGNS[activation]
    return signs


def draw_starts(options: PublishedNetworkSource, is_input: NDArray[np.bool_], count: int, stream: int) -> Floats:
    """Levels (trajectory, gene) at time 0, between 0 and 1; the first ones are the same whatever their number."""
    from scipy.special import ndtr, ndtri

    generator = np.random.default_rng([options.seed, stream])
    if options.start == "normal":
        normal = generator.standard_normal((count, len(is_input)))
        return np.clip(options.start_mean + options.start_deviation * normal, 0.0, 1.0)
    # What is each gene's own is the same for training and test.
    genes = np.random.default_rng([options.seed, _GENES])
    mean = genes.beta(10.0, 10.0, len(is_input))
    deviation = np.maximum(genes.beta(15.0, 15.0, len(is_input)) * np.minimum(mean, 1.0 - mean) / 3.0, 0.01)
    shift = genes.uniform(-0.25, 0.25, len(is_input))
    uniform = generator.random((count, 4, len(is_input)))
    low, high = ndtr(-mean / deviation), ndtr((1.0 - mean) / deviation)
    inputs = mean + deviation * ndtri(low + (high - low) * uniform[:, 0])
    # Of three uniform numbers the one in the middle is Beta(2, 2).
    non_inputs = np.median(uniform[:, 1:], axis=1) + shift
    return np.clip(np.where(is_input, inputs, non_inputs), 0.0, 1.0)


def _truth(
    signs: Floats, system: System, genes: Sequence[str], equations: Path, edges: Path
) -> tuple[Floats, NDArray[np.bool_]]:
    """Truth, and where it is known, (source, target), of listed signs and a system."""
    off_diagonal = ~np.eye(len(genes), dtype=bool)
    exists = system.edges() & off_diagonal
    if unlisted := _pairs(exists & (signs == 0), genes):
        message = (
            f"{edges} does not list {len(unlisted)} edges of the equations in {equations}, such as {unlisted[0]}; "
            "are both files of the same network?"
        )
        raise UserError(message)
    open_ones = (signs != 0) & ~exists
    if absent := _pairs(open_ones, genes):
        logger.info("%s: no equation has the edges %s; the truth leaves them open", edges, ", ".join(absent))
    return np.where(exists, signs, 0.0), off_diagonal & ~open_ones


def _pairs(edges: NDArray[np.bool_], genes: Sequence[str]) -> list[str]:
    return [f"{genes[source]} to {genes[target]}" for source, target in np.argwhere(edges)]


def _trajectories(
    states: Floats, times: Floats, training_times: Floats, noise: Floats, *, training: int
) -> tuple[Trajectory, ...]:
    within = times <= training_times[-1]
    count, _, genes = states.shape
    return make_trajectories(
        states,
        np.tile(times, (count, 1)),
        np.tile(within, (count, 1)),
        np.ones(genes),
        noise,
        training=training,
        name="trajectory" if training else "test",
    )
