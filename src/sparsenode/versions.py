"""Versions of what the stages compute, which the workflow takes as parameters.

Raise a number by hand when the same settings on the same data give other values than before, so that Snakemake
makes the results again. A change that leaves every value as it is (speed, messages, comments) leaves its number.
"""

PREPROCESSING = 5
PEERS = 3
EDGES = 2
AUTOMATIC = 1
TRAINING = 5
EVALUATION = 14
INTERVENTIONS = 5
FIGURES = 14
STUDY = 2
