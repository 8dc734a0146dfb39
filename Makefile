# make sweep: set up, then a real sweep end to end.  make test: set up, then all quick tests.
.DEFAULT_GOAL := help
.PHONY: help setup sweep test test-slow test-long check format clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
AGENTS ?= 2
# Two files of tests at a time: most of them wait for processes, not for the processor.
PARALLEL ?= -n 2 --dist loadfile
SPEC ?= sweeps/quickstart.yaml
# The agents' ${interpreter} is literally `python`: the project's own comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## what can be typed
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## make .venv and install requirements.txt into it

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, $(PYTHON) is older; try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off -r requirements.txt
	@touch $(READY)

sweep: setup  ## the main job: a real sweep of a Transformer, from the two wandb commands to the best model
	$(BIN)/python -m transformer_e2e.scripts.sweep $(SPEC) --agents $(AGENTS)

test: setup  ## all quick tests
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not long"

test-slow: setup  ## the tests that take longer: kills, restarts, whole sweeps
	$(BIN)/python -m pytest $(PARALLEL) -m slow

test-long: setup  ## what CI leaves out: the README's models from scratch, two of the Hugging Face sweeps
	$(BIN)/python -m pytest $(PARALLEL) -m long

check: setup  ## style, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## bring the sources into the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove caches; trials, records and the server's data stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache
	find transformer_e2e tests scripts -name __pycache__ -prune -exec rm -rf {} +
