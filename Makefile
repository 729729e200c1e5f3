# Every target sets itself up: the first run creates .venv and installs into it, later runs only when pyproject.toml
# or constraints.txt changed.
#
#   make demo PYTHON=python3.12            use another Python (3.11 or newer)
#   make demo CONSTRAINTS=                 leave the pinned versions out
#   make demo PIP_OPTIONS="--index-url …"  anything pip understands
#   make test PYTEST_OPTIONS="-k demo"     anything pytest understands
#   make test PYTEST_PROCESSES=0           in one process
#   make benchmark BENCHMARK_OPTIONS=--quick  anything `fewshotseg benchmark` understands

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PIP_OPTIONS ?=
PYTEST_OPTIONS ?=
# With a thread each: the suite is through sooner than in one process with two threads.
PYTEST_PROCESSES ?= 2
DEMO_OPTIONS ?=
DRILL_OPTIONS ?=
BENCHMARK_DATA ?= ../shared/data
BENCHMARK_OUTPUT ?= runs/benchmark
BENCHMARK_OPTIONS ?= --protocol all --pictures

# The first interpreter that is new enough and can make environments.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c "$(SUITABLE)" >/dev/null 2>&1; then echo $$p; break; fi; done)

# Windows names the folder and its programs otherwise; make and bash come with Git for Windows and its like.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
VENV_PYTHON := $(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe)
INSTALLED_DEMO := $(VENV)/.installed-demo
INSTALLED_TEST := $(VENV)/.installed-test
# A slow or busy package index is waited for rather than given up on.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --timeout 120 --retries 10 \
	$(if $(CONSTRAINTS),-c $(CONSTRAINTS)) $(PIP_OPTIONS)

.PHONY: help demo test drill check benchmark clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED_DEMO)  ## segment the sample scan from five of its slices; results in demo-output/
	@$(BIN)/python -m FewShotSegLib.demo --output demo-output $(DEMO_OPTIONS)

test: $(INSTALLED_TEST)  ## run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PYTEST_PROCESSES) --dist loadfile $(PYTEST_OPTIONS)

drill: $(INSTALLED_TEST)  ## inject faults and bad inputs (minutes); results in Testing/drill/results.md
	@PYTHONPATH=Testing OMP_NUM_THREADS=1 $(BIN)/python -m drill $(DRILL_OPTIONS)

check: $(INSTALLED_TEST)  ## lint and check types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy

benchmark: $(INSTALLED_DEMO)  ## measure the engine beside its peers (hours); needs BENCHMARK_DATA=folder with benchmark/
	@$(BIN)/python -m FewShotSegLib.evaluation --data $(BENCHMARK_DATA) --output $(BENCHMARK_OUTPUT) $(BENCHMARK_OPTIONS)

clean:  ## remove the environment, caches and demo output
	rm -rf $(VENV) demo-output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define PIP_HELP

Setting up $(VENV) failed; pip's own message is above.
 - If it says that no torch fits the pin: see $(CONSTRAINTS). Either leave the pins out,
       make $(MAKECMDGOALS) CONSTRAINTS=
   (on Linux this may fetch a CUDA build of several GB), or point pip to where a build for your system is,
       make $(MAKECMDGOALS) PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"
 - If the network was at fault: run the same command again; what is there is kept.
endef
export PIP_HELP

$(VENV_PYTHON):
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer with the venv module was found. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
		exit 1; fi
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(INSTALLED_DEMO): pyproject.toml $(CONSTRAINTS) | $(VENV_PYTHON)
	@echo "Installing what the demo needs into $(VENV) (the first time some minutes: torch alone is 200 MB)"
	@$(PIP_INSTALL) -e '.[evaluation]' || { echo "$$PIP_HELP"; exit 1; }
	@touch $@

$(INSTALLED_TEST): pyproject.toml $(CONSTRAINTS) | $(VENV_PYTHON)
	@echo "Installing what the checks and tests need into $(VENV) (the first time some minutes: torch alone is 200 MB)"
	@$(PIP_INSTALL) -e '.[test]' || { echo "$$PIP_HELP"; exit 1; }
	@touch $@
