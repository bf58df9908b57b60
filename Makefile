# Each target does all of its own set-up; a machine needs Python 3.11 or newer, and make.
# `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Passed through: the folder and the scene for demo, arguments for test and bench, the benchmark's name.
INPUT ?=
SCENE ?=
ARGS ?=
NAME ?= turns
# Most tests wait most of the time, so more of them run at once than there are cores.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything in it

demo: $(READY) ## an agent reads a folder and writes a report: make demo INPUT=folder SCENE=approval (or purse)
	@$(BIN)/bursar demo $(if $(INPUT),--input "$(INPUT)") $(if $(SCENE),--scene "$(SCENE)") $(ARGS)

test: $(READY) ## all tests, in JOBS processes, or some: make test ARGS="tests/scripts -k reserve"
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-q --numprocesses $(JOBS) --dist loadfile)

check: $(READY) ## lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/basedpyright --pythonpath $(BIN)/python

fmt: $(READY) ## let ruff fix and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## one figure: make bench NAME=turns ARGS="--workers 4"
	@$(BIN)/python -m bench.$(NAME) $(ARGS)

clean: ## remove .venv, caches and built files
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so a set-up that was interrupted starts over. The environment is made
# from nothing each time: a half-changed one fails in ways that nobody can repeat.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bursar needs Python 3.11 or newer, and '$(PYTHON)' is not that" \
	    "($$($(PYTHON) --version 2>&1 | head -n 1))." \
	    "If another one is installed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make environments: install its venv package" \
	    "(Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@
