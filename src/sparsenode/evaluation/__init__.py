"""Metrics of trained ensembles: forecasts against trivial baselines, sparsity, structure, choice of strength."""
