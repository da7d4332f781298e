"""Trained ensembles: parameters, starts, memory, file and forecasts."""
