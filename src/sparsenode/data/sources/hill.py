"""hill: a simulated gene regulatory network with Hill kinetics and known signed edges.

dx_i/dt = basal_i + sum over regulators j of strength_ij f_ij(x_j) - decay_i x_i, where f is the Hill function
h = x^n / (k^n + x^n) of an activator and 1 - h of a repressor. Regulators add up, as in SERGIO (Dibaeinia and Sinha,
Cell Systems 2020) and, before it cuts off sums beyond 0 and 1, among the modules of GeneNetWeaver (Schaffter et al.,
Bioinformatics 2011), the simulator of DREAM4: so an edge has one sign, at every state, and a truth in signs is exact.
As in GeneNetWeaver, levels are in units of the highest that a gene can keep, where `basal` and all strengths make
`decay`: states between 0 and 1 stay there. Who regulates is drawn by the static model of scale-free networks (Goh et
al., Physical Review Letters 2001). There is no self-regulation, no step from RNA to protein, and the dynamics have no
noise of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.simulated.simulation import (
    Interval,
    draw_uniform,
    read_arrays,
    solve_rates,
)
from sparsenode.data.simulated.source import DrawnSource, Streams
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

# Streams of random numbers: the noise can be changed and the system stays the same.
_NETWORK, _KINETICS = range(2)
_SMALLEST = 1e-300


@dataclass(frozen=True)
class System(SolvableSystem):
    """dx/dt = basal + what the edges add - decay x.

    Shapes: `basal` and `decay` (node,), all other arrays (edge,). `source` and `target` are nodes, `sign` is 1 or -1,
    `strength` is the most that the edge adds to the rate of its target, `half_saturation` is a level of its source.
    """

    parameters: ClassVar[tuple[str, ...]] = ("basal", "decay", "strength", "half_saturation", "hill_coefficient")

    basal: Floats
    decay: Floats
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    sign: NDArray[np.int64]
    strength: Floats
    half_saturation: Floats
    hill_coefficient: Floats

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, node) at `states` (…, node). Below zero a gene regulates as it does at zero."""
        # expit(n log(x/k)) is the Hill function and cannot overflow; of -n log(x/k) it is one minus that.
        from scipy.special import expit

        logarithms = np.log(np.maximum(states, _SMALLEST))[..., self.source] - np.log(self.half_saturation)
        added = expit(self.sign * self.hill_coefficient * logarithms) @ self._production
        return np.asarray(self.basal + added - self.decay * states)

    def solve(self, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None) -> Floats:
        """States (trajectory, time, node), also with nodes held, see `simulation.solve_rates`."""
        return solve_rates(self.rates, initial_states, times, clamp)

    def truth(self) -> Floats:
        """Signs of the edges (source, target), 0 where there is none."""
        signs = np.zeros((len(self.decay), len(self.decay)))
        signs[self.source, self.target] = self.sign
        return signs

    def scaled(self, scale: Floats) -> "System":
        """The same system for states divided by `scale` (node,)."""
        return System(
            basal=self.basal / scale,
            decay=self.decay,
            source=self.source,
            target=self.target,
            sign=self.sign,
            strength=self.strength / scale[self.target],
            half_saturation=self.half_saturation / scale[self.source],
            hill_coefficient=self.hill_coefficient,
        )

    @cached_property
    def _production(self) -> Floats:
        """What an active edge adds to the rates, (edge, node)."""
        production = np.zeros((len(self.source), len(self.decay)))
        production[np.arange(len(self.source)), self.target] = self.strength
        return production


class HillSource(DrawnSource):
    """The source and its options."""

    streams: ClassVar[Streams] = Streams(start=2)
    system_type: ClassVar[type[SolvableSystem]] = System

    nodes: int = Field(50, ge=2, description="Number of genes.")
    regulators_per_target: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1, 3), min_length=2, max_length=2, description="Fewest and most regulators of a gene."
    )
    hubs: float = Field(
        0.75,
        ge=0,
        description="Regulators are drawn in proportion to rank^-hubs: for values up to 1, out-degrees follow a power "
        "law with exponent 1 + 1/hubs; 0 draws all genes alike.",
    )
    feedback: bool = Field(
        True, description="Allow loops; without, regulators have lower ranks than targets, and the first few or none."
    )
    repressors: float = Field(0.4, ge=0, le=1, description="Share of the edges that repress.")
    hill_coefficient: tuple[Annotated[float, Field(ge=1)], ...] = Field(
        (1.0, 4.0), min_length=2, max_length=2, description="Range of Hill coefficients."
    )
    half_saturation: Interval = Field(
        (0.2, 0.6), description="Range of half-saturations, in units of the regulator's highest level."
    )
    strength: Interval = Field(
        (0.5, 1.5), description="Range of strengths of a gene's regulators, relative to one another."
    )
    basal: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.05, 0.15),
        min_length=2,
        max_length=2,
        description="Range of the share of a gene's highest production that needs no regulator.",
    )
    decay: Interval = Field((0.5, 1.5), description="Range of decay rates.")
    seed: int = Field(0, ge=0, description="Another seed is another network.")

    def variables(self) -> tuple[str, ...]:
        """Names of the genes."""
        return tuple(f"gene_{index + 1:0{len(str(self.nodes))}d}" for index in range(self.nodes))

    def draw_system(self) -> System:
        """Draw a network and its kinetics, in units of each gene's highest level.

        Raises:
            UserError: the draw has no edge.
        """
        nodes = self.nodes
        generator = np.random.default_rng([self.seed, _NETWORK])
        source, target = _draw_edges(self, generator)
        edges = len(source)
        sign = np.ones(edges, dtype=np.int64)
        sign[generator.permutation(edges)[: round(self.repressors * edges)]] = -1
        generator = np.random.default_rng([self.seed, _KINETICS])
        decay = draw_uniform(generator, self.decay, nodes)
        relative = draw_uniform(generator, self.strength, edges)
        total = np.bincount(target, relative, nodes)
        # Without regulators a gene is on.
        basal = np.where(total > 0, draw_uniform(generator, self.basal, nodes), 1.0)
        return System(
            basal=basal * decay,
            decay=decay,
            source=source,
            target=target,
            sign=sign,
            strength=((1.0 - basal) * decay)[target] * relative / total[target],
            half_saturation=draw_uniform(generator, self.half_saturation, edges),
            hill_coefficient=draw_uniform(generator, self.hill_coefficient, edges),
        )

    def draw_starts(self, system: System, generator: np.random.Generator, count: int) -> Floats:
        """Levels between 0 and 1, (trajectory, gene)."""
        return generator.random((count, len(system.decay)))

    def nearest_allowed(self, system: System, states: Floats) -> Floats:  # noqa: ARG002  the same for every system
        """Levels (…, gene) of which those below 0 are 0."""
        return np.maximum(states, 0.0)

    def truth(self, system: System) -> tuple[Floats, NDArray[np.bool_]]:
        """Signs of the edges; there is no self-regulation, and decay is not scored."""
        return system.truth(), ~np.eye(self.nodes, dtype=bool)

    def facts(self, system: System, scale: Floats) -> dict[str, Any]:
        """The system in units of the values."""
        scaled = system.scaled(scale)
        return {field.name: getattr(scaled, field.name) for field in fields(System)}

    def contradictions_of_system(self) -> list[str]:
        """Options that contradict each other, each as `option: what is wrong`."""
        ranges = ("regulators_per_target", "hill_coefficient", "half_saturation", "strength", "basal", "decay")
        problems = [
            f"{key} {list(getattr(self, key))}: the first must not be above the second"
            for key in ranges
            if getattr(self, key)[0] > getattr(self, key)[1]
        ]
        if self.regulators_per_target[1] > self.nodes - 1:
            problems.append("regulators_per_target: more regulators than there are other genes")
        if self.regulators_per_target[1] == 0:
            problems.append("regulators_per_target: without regulators there is no network")
        return problems

    def read_system(self, provenance: Mapping[str, Any]) -> System:
        """The system of a provenance.

        Raises:
            UserError: the provenance is that of another source.
        """
        origin, source = "the data source hill", "`source: hill`"
        integers = {"source", "target", "sign"}
        return System(**read_arrays(System, provenance, origin=origin, source=source, integers=integers))


def _draw_edges(options: HillSource, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sources and targets (edge,), sorted by target. Ranks are drawn; hubs have the lowest."""
    nodes = options.nodes
    fewest, most = options.regulators_per_target
    rank = generator.permutation(nodes)
    preference = (rank + 1.0) ** -options.hubs
    sources, targets = [], []
    for target in range(nodes):
        allowed = rank != rank[target] if options.feedback else rank < rank[target]
        candidates = np.flatnonzero(allowed)
        count = min(int(generator.integers(fewest, most, endpoint=True)), len(candidates))
        if count:
            share = preference[candidates] / preference[candidates].sum()
            sources.append(np.sort(generator.choice(candidates, size=count, replace=False, p=share)))
            targets.append(np.full(count, target))
    if not sources:
        message = "data source hill: no gene was given a regulator; raise regulators_per_target or take another seed"
        raise UserError(message)
    return np.concatenate(sources).astype(np.int64), np.concatenate(targets).astype(np.int64)
