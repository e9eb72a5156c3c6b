# The verbs of the project. `make` alone prints them.
#   PYTHON  the Python to build the environment with, 3.10 to 3.13
#   VENV    where the environment lies
#   ADAPTERS_VENV  where the one of `make adapters-env` lies
PYTHON ?= python3
VENV ?= .venv
ADAPTERS_VENV ?= .venv-adapters
# One worker a core, a file of tests to one of them; PARALLEL= for one after the other.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile
BIN := $(VENV)/bin
AXE := 4.14.1
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install adapters-env axe demo test test-slow lint build clean

help:  ## print this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-14s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## environment and package, in .venv

define CHECK_PYTHON
@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	{ echo "$(PYTHON) is not Python 3.10 to 3.13; say which is: make PYTHON=python3.11" >&2; exit 1; }
endef

# torch first and pinned, so that nothing else chooses another build of it.
$(STAMP): pyproject.toml constraints.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

adapters-env: $(ADAPTERS_VENV)/.installed  ## the adapters library on its own transformers, for exports to it

$(ADAPTERS_VENV)/.installed: constraints-adapters.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(ADAPTERS_VENV)
	$(ADAPTERS_VENV)/bin/python -m pip install --quiet -c constraints-adapters.txt torch==2.13.0
	$(ADAPTERS_VENV)/bin/python -m pip install --quiet -c constraints-adapters.txt adapters
	@touch $@

axe: .axe/axe.min.js  ## axe-core from npm, for the tests of the report in a browser

.axe/axe.min.js:
	@mkdir -p .axe
	cd .axe && npm pack --silent axe-core@$(AXE) && \
		tar -xzf axe-core-$(AXE).tgz --strip-components=1 package/axe.min.js package/LICENSE && \
		rm axe-core-$(AXE).tgz

demo: $(STAMP)  ## search, retrain, export and report on the built-in model; no download
	$(BIN)/peftsearch run --preset quick

test: $(STAMP)  ## the fast tests; no root, no browser, no network
	$(BIN)/python -m pytest -q $(PARALLEL)

test-slow: $(STAMP)  ## the slow tests too
	$(BIN)/python -m pytest -q $(PARALLEL) -m "not gpu and not network"

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build: $(STAMP)  ## the wheel, in dist
	$(BIN)/python -m build --wheel

clean:  ## remove everything that was built, the environment included; runs are kept
	rm -rf $(VENV) $(ADAPTERS_VENV) .axe build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
