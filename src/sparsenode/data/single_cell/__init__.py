"""From cells to pseudotime, lineages and trajectories."""
