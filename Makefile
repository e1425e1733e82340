# `make` alone lists the targets. Everything is made inside the repository; nothing is installed elsewhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Checks that need a warehouse have an empty one of their own.
lint format docs: export POLYTRADES_DUCKDB_PATH := $(VENV)/lint.duckdb
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The BigQuery emulator of the tests: its own Python and a HOME of its own, below which DuckDB keeps its extensions.
EMULATOR := $(VENV)/emulator
EMULATOR_FILES := runner_tests/bigquery/emulator
FIND_PYTHON313 := PATH="$(CURDIR)/$(BIN):$$PATH" sh $(EMULATOR_FILES)/find_python313.sh

.PHONY: help install install-bigquery install-alerts install-dev demo test test-all chaos soak chaos-again emulator lint format docs bench bench-migrate requirements clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.runtime ## Make .venv with what the runner and dbt need
install-bigquery: $(VENV)/.bigquery ## … and what the target bigquery needs
install-alerts: $(VENV)/.alerts ## … and what alerts to further services need
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

$(VENV)/.bigquery: $(VENV)/.runtime requirements/bigquery.txt
	$(PIP) install --require-hashes -r requirements/bigquery.txt
	@touch $@

$(VENV)/.alerts: $(VENV)/.runtime requirements/alerts.txt
	$(PIP) install --require-hashes -r requirements/alerts.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.bigquery $(VENV)/.alerts requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.emulator: $(VENV)/.made requirements/emulator.txt $(EMULATOR_FILES)/install_extensions.py
	@rm -f $@
	python313=$$($(FIND_PYTHON313)) && "$$python313" -m venv --clear $(EMULATOR)
	$(EMULATOR)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/emulator.txt
	@mkdir -p $(EMULATOR)/home
	HOME=$(CURDIR)/$(EMULATOR)/home $(EMULATOR)/bin/python $(EMULATOR_FILES)/install_extensions.py
	@touch $@

# What bench/ingest.py and bench/decode.py compare with, away from what the project itself uses.
$(VENV)/.bench: $(VENV)/.made requirements/bench.txt
	$(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/bench.txt
	@touch $@

# dbt and sqlfluff want the file to be called profiles.yml.
$(VENV)/profiles/profiles.yml: profiles.example.yml $(VENV)/.made
	@mkdir -p $(@D)
	cp $< $@

demo: install ## Two nights on a simulated Polymarket: install, sync twice, show the result
	$(BIN)/polytrades demo

test: install-dev ## Run the tests; those of BigQuery need a Python 3.13 beside
	@if $(FIND_PYTHON313) > /dev/null; then $(MAKE) --no-print-directory $(VENV)/.emulator; \
	  else echo "*** NOTHING OF BIGQUERY IS TESTED: there is no Python 3.13 for its emulator. ***"; fi
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 25 $(SELECTED)

test-all: SELECTED = -m "not chaos"
test-all: test ## Run every test on both targets: on an emulator on two cores that takes most of an hour

chaos: install-dev $(VENV)/.emulator ## Kills, failpoints, bad upstreams on both targets; at most an hour, goes on where it was stopped
	$(BIN)/python -m pytest -m chaos -s runner_tests/models runner_tests/chaos

soak: export CHAOS_MINUTES ?= 600
soak: chaos ## The same for CHAOS_MINUTES (600)

chaos-again: ## Forget what `make chaos` has passed and counted
	rm -rf .chaos

emulator: $(VENV)/.emulator ## Start the BigQuery emulator of the tests by hand, on port 9050
	@echo "export BIGQUERY_EMULATOR_URL=http://127.0.0.1:9050"
	@HOME=$(CURDIR)/$(EMULATOR)/home exec $(EMULATOR)/bin/python $(EMULATOR_FILES)/launch.py \
	  --host 127.0.0.1 --port 9050 --grpc-port 9060 --data-dir $(VENV)/emulator-data

lint: install-dev ## Check format, types, layers, SQL and the generated reference
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/sqlfluff lint --disable-progress-bar models tests analyses
	$(BIN)/python docs/generate.py --check

format: install-dev ## Put Python and SQL into the house form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix --disable-progress-bar models tests analyses

docs: install-dev ## Write the generated reference pages and dbt's own documentation
	$(BIN)/python docs/generate.py
	$(BIN)/dbt docs generate --profiles-dir $(VENV)/profiles

bench: install-dev $(VENV)/.emulator $(VENV)/.bench ## Measure what the documentation claims (see bench/README.md)
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/merge_growth.py
	$(BIN)/python bench/status.py
	$(BIN)/python bench/bigquery_bytes.py
	$(BIN)/python bench/decode.py
	$(BIN)/python bench/ingest.py --memory 1000000 5000000 --nights

bench-migrate: install-dev ## Move a tenth of the old staging table beside bare floors (half an hour, 10 GB of disk)
	$(BIN)/python bench/migrate.py --scale 0.1

requirements: install-dev ## Resolve the pinned requirements again
	cd requirements && for pair in runtime:3.11 bigquery:3.11 alerts:3.11 dev:3.11 bench:3.11 emulator:3.13; do name=$${pair%:*}; \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version $${pair#*:} --generate-hashes --no-emit-index-url \
	    --no-header --no-strip-extras $$name.in --output-file $$name.txt || exit 1; done

clean: ## Remove what was made, the environment included
	rm -rf $(VENV) target logs demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
