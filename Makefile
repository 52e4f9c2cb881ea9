# make demo | test | unit | check: each sets up .venv first, once, and again when pyproject.toml or constraints.txt change.
# Needs Python 3.11 or newer; no root, nothing of the system. Another index, or torch for CPUs only:
#   make setup PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# Another interpreter: make setup PYTHON=/path/to/python3.12

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup toolchains demo test unit check constraints clean

SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c "$(SUITABLE)" 2>/dev/null && echo $$p && break; done)
PIP_ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

help:
	@echo "make demo         train a generator and a ranker on this machine, and see what they do"
	@echo "make test         all tests"
	@echo "make unit         those that are not slow: no whole runs, the usual languages; 3 minutes on two cores"
	@echo "make check        lint, format, types, layers"
	@echo "make toolchains   compilers and interpreters of the usual languages (apt, npm); of others: LANGUAGES=\"go rust\","
	@echo "                  of all: LANGUAGES=all"
	@echo "make setup        the environment alone (the others make it when needed)"
	@echo "make constraints  pin the newest versions that pyproject.toml admits"
	@echo "make clean        remove the environment and everything that was made; runs/ stays"

setup: $(READY)

# A .venv that is a link belongs to whoever made it: it is used as it is, unless it leads nowhere.
$(READY): pyproject.toml constraints.txt
	@if [ -L .venv ] && [ -x $(BIN)/python ]; then \
		$(BIN)/python -c "import rewardranker" || { \
			echo "error: .venv is a link to $$(readlink .venv), where rewardranker is not installed; remove the link" >&2; exit 2; }; \
	else \
		[ -n "$(PYTHON)" ] || { \
			echo "error: no Python 3.11 or newer with venv found; install one (Debian, Ubuntu: python3-venv) or give PYTHON=..." >&2; exit 2; }; \
		$(PYTHON) -c "$(SUITABLE)" || { echo "error: $(PYTHON) must be Python 3.11 or newer with venv" >&2; exit 2; }; \
		if [ -L .venv ]; then rm .venv; fi; \
		$(BIN)/python -c "import pip" 2>/dev/null || $(PYTHON) -m venv --clear .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"; \
	fi
	@touch $@

toolchains: $(READY)
	$(BIN)/python -m rewardranker.execution.toolchains $(LANGUAGES)

demo: $(READY)
	$(BIN)/rewardranker demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "not slow"

check: $(READY)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# Without local versions (+cpu), so that every machine takes the build of the index it uses.
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) "torch==2.13.0" -e ".[dev]"
	( echo "# The versions everything here is tested with; renewed by: make constraints"; \
	  build/constraints/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' ) > constraints.txt
	rm -rf build/constraints

clean:
	if [ -L .venv ]; then rm .venv; else rm -rf .venv; fi
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
