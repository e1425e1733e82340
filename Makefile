# `make` alone lists the targets. Everything is made inside the repository; nothing is installed elsewhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Checks that need a warehouse have an empty one of their own.
lint format docs: export POLYTRADES_DUCKDB_PATH := $(VENV)/lint.duckdb
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install install-dev demo test lint format docs bench requirements clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.runtime ## Make .venv with what the runner and dbt need
install-dev: $(VENV)/.dev $(VENV)/profiles/profiles.yml ## … and what the tests and checks need

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "polytrades needs Python 3.11 or newer; make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements/runtime.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/runtime.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# dbt and sqlfluff want the file to be called profiles.yml.
$(VENV)/profiles/profiles.yml: profiles.example.yml $(VENV)/.made
	@mkdir -p $(@D)
	cp $< $@

demo: install ## Two nights on a simulated Polymarket: install, sync twice, show the result
	$(BIN)/polytrades demo

test: install-dev ## Run every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: install-dev ## Check format, types, layers, SQL and the generated reference
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/sqlfluff lint --disable-progress-bar models tests
	$(BIN)/python docs/generate.py --check

format: install-dev ## Put Python and SQL into the house form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix --disable-progress-bar models tests

docs: install-dev ## Write the generated reference pages and dbt's own documentation
	$(BIN)/python docs/generate.py
	$(BIN)/dbt docs generate --profiles-dir $(VENV)/profiles

bench: install-dev ## Measure what the documentation claims (see bench/README.md)
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/merge_growth.py

requirements: install-dev ## Resolve the pinned requirements again
	cd requirements && for name in runtime dev bigquery; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-strip-extras $$name.in --output-file $$name.txt; done

clean: ## Remove what was made, the environment included
	rm -rf $(VENV) target logs demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
