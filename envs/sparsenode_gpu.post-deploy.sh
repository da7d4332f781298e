#!/usr/bin/env bash
# Snakemake runs this once, in the folder of the workflow, after it has made the conda environment.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --editable .
