# Each target does the whole set-up on a fresh machine; the second time it starts at once.
#   PYTHON=python3.12 make setup      another interpreter
#   EXTRAS=dev,suite,robosuite make setup   with Robosuite, without data sets
PYTHON ?= python3
EXTRAS ?= dev,suite,datasets,docs
VENV := .venv
comma := ,
READY := $(VENV)/ready-$(subst $(comma),-,$(EXTRAS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs site

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## install everything into .venv, with a renderer that needs no screen

demo: $(READY)  ## train, wrap and watch: core-repr demo
	$(VENV)/bin/core-repr demo

test: export OMP_NUM_THREADS ?= 1
test: $(READY)  ## run the tests, one process a core (the slow ones: .venv/bin/pytest -m slow)
	$(VENV)/bin/pytest -q -n auto

lint: $(READY)  ## ruff, mypy, import-linter, deptry
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry .

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(READY)  ## serve the documentation on http://127.0.0.1:8000
	$(VENV)/bin/mkdocs serve

site: export NO_MKDOCS_2_WARNING = 1
site: $(READY)  ## build the documentation into site/; a broken link fails
	$(VENV)/bin/mkdocs build --strict --quiet

$(READY): pyproject.toml $(wildcard constraints*.txt) .ci/setup
	@PYTHON='$(PYTHON)' VENV='$(VENV)' EXTRAS='$(EXTRAS)' .ci/setup
	@touch $@
