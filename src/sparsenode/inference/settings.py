"""What a test of edges can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sparsenode.typed import Settings, Text

Pair = Annotated[
    tuple[Text, ...],
    Field(min_length=2, max_length=2, json_schema_extra={"x-allowed": "a source and a target, such as [Gata1, Fog1]"}),
]
"""Names of the source and the target of an edge."""


class EdgeTestSettings(Settings):
    """How edges are tested; the defaults serve most data."""

    folds: int = Field(5, ge=2, description="Sets of blocks, each of which is held out once.")
    splits: int = Field(
        1, ge=1, description="How often blocks are dealt to folds again; p-values are combined as twice their median."
    )
    window: int | None = Field(
        None,
        ge=2,
        description="Observation intervals of a window, which starts at a state of its own; null for as many as fit "
        "into 1.2 times the time in which a variable changes by as much as it varies, 4 to 10.",
    )
    units: int | None = Field(
        None, ge=1, description="Hidden units of each target's network; null for 12 of up to five variables, else 8."
    )
    candidates: int = Field(20, ge=1, description="Most other inputs of a target that are looked at, by a screen.")
    rounds: int = Field(6, ge=1, description="Most rounds of waveform relaxation.")
    draws: int = Field(2, ge=1, description="Random starts of each network, of which the best goes on.")
    alike: float = Field(
        0.95, gt=0, le=1, description="Correlation from which on up to three inputs are also left out together."
    )
    coverage: float = Field(0.9, gt=0, lt=1, description="Of the effects' intervals.")
    fdr: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="False discovery rate of the edges that are selected, .05 to .2: the share of "
        "absent edges that is expected among them.",
    )
    seed: int = Field(0, ge=0, description="Of the random starts and of how blocks are dealt to folds.")


class EdgeSettings(EdgeTestSettings):
    """The test of edges of a dataset, as its entry in the configuration has it."""

    forbidden: tuple[Pair, ...] = Field(
        (),
        description="Pairs [source, target] that are known to be no edges: no model has them.",
        json_schema_extra={"x-allowed": "a list of pairs, each a source and a target"},
    )
    required: tuple[Pair, ...] = Field(
        (),
        description="Pairs [source, target] that are known to be edges: every model has them, and they are no "
        "hypotheses. Where held-out observations are forecast better without one, its verdict says so.",
        json_schema_extra={"x-allowed": "a list of pairs, each a source and a target"},
    )
