"""What the training of a member took, and the strength that was chosen."""

from __future__ import annotations

from sparsenode.evaluation.metrics import describe

describe("seconds", description="time that the training of a member took", unit="s")
describe("iterations", description="iterations of the training of a member")
describe("memory_bytes", description="most memory that the training job of a member took", unit="bytes of the job")
describe(
    "chosen_strength",
    description="the strength chosen on validation",
    undefined="fewer than half of the members finished",
)
describe(
    "strength_batches",
    description="batches of strengths that the training chose by itself, the most of its jobs; `reason` says which and "
    "why",
)
