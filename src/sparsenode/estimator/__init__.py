"""The estimator: fit, forecast, network and interventions in Python, by the functions that the workflow calls."""
