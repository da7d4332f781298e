"""What a test of edges can be told."""

from __future__ import annotations

from pydantic import Field

from sparsenode.typed import Settings


class EdgeTestSettings(Settings):
    """How edges are tested; the defaults serve most data."""

    folds: int = Field(5, ge=2, description="Sets of blocks, each of which is held out once.")
    splits: int = Field(
        1, ge=1, description="How often blocks are dealt to folds again; p-values are combined as twice their median."
    )
    window: int = Field(10, ge=2, description="Observation intervals of a window, which starts at a state of its own.")
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
    seed: int = Field(0, ge=0, description="Of the random starts and of how blocks are dealt to folds.")
    threads: int = Field(1, ge=1, description="Folds that are computed at a time.")
