# make run    the default configuration, its figures and its report
# make test   all tests, on all cores
# make test-fast  quick ones of single functions, some 90 seconds: none marked as slow, neither Snakemake nor Slurm
# make lint   style, types, format and rules of the workflow
# make wheel-check  builds sdist and wheel, installs the wheel, and runs and fits with it in an empty folder
# make lock   envs/requirements.lock from what is installed in .venv
# make bench  the training engine's speed and memory: tables, results/benchmarks/*.csv and figures, some 20 minutes
# make docs   the documents as a site, docs/_build/html
# make clean-results
# Each makes the virtual environment .venv first if there is none, or if the lock or pyproject.toml has changed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONNOUSERSITE := 1
# Compiled modules are kept, whatever the shell says: otherwise each process of a run or of the tests compiles them again.
export PYTHONDONTWRITEBYTECODE :=
# That of Jupyter, where a terminal has inherited it, is not installed here, and matplotlib would not start.
export MPLBACKEND := agg

.PHONY: run test test-fast lint format wheel-check lock bench docs clean-results
.DEFAULT_GOAL := run

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "error: $(PYTHON) is not there; install Python 3.11, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): envs/requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP)
	snakemake --cores all
	snakemake --report results/report.html
	@echo "report:  results/report.html"
	@echo "figures: results/figures"
	@echo "doubts:  results/remarks.md"

# Those on Slurm are one file, and so go to one process, which mostly waits for jobs: one process more than cores.
test: $(STAMP)
	pytest --numprocesses $$(python -c "import os; print(1 + (os.cpu_count() or 1))")

test-fast: $(STAMP)
	pytest --numprocesses auto -m "not slow and not workflow and not cluster"

lint: $(STAMP)
	ruff check
	ruff format --check
	mypy
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

format: $(STAMP)
	ruff check --fix
	ruff format
	snakefmt Snakefile workflow/rules

# Tutorials are run when their text has changed; warnings are errors.
docs: $(STAMP)
	sphinx-build --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html
	@echo "documents: docs/_build/html/index.html"

wheel-check: $(STAMP)
	$(BIN)/python tests/packaging/check_wheel.py

lock: $(STAMP)
	$(BIN)/python envs/write_lock.py > envs/requirements.lock.new
	mv envs/requirements.lock.new envs/requirements.lock

bench: $(STAMP)
	snakemake --cores all --quiet all --configfile experiments/hematopoiesis.yaml -- results/data/hematopoiesis_study.h5ad
	python benchmarks/engine.py

clean-results:
	rm -rf results .snakemake
