PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PORT ?= 3000

# Telemetry of every tool is off: this is revenue data.
export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DO_NOT_TRACK := 1
export SODA_CORE_TELEMETRY_ENABLED := false

.PHONY: bench check clean demo setup simulate test tryton-env up

demo: setup ## set everything up and run the whole sync once, CRM to ERP
	@$(BIN)/meshline demo

up: setup ## Dagster's UI and daemon, with the sandbox CRM and ERP
	@$(BIN)/meshline up --port $(PORT)

test: setup tryton-env ## all tests
	$(BIN)/python -m pytest -n 2

check: setup ## lint, format, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## the measurements of benchmarks/, as ratios
	@for one in benchmarks/bench_*.py; do echo "== $$one"; $(BIN)/python $$one || exit 1; done

simulate: setup tryton-env ## 10,002 seeded schedules of faults over the three kinds of ERP, 300 orders in a real Tryton, 100 histories of builds, the long tests
	$(BIN)/python -m meshline_dagster.testing.simulator --seeds 0:3334 --profile all --processes 2 --points --journal .meshline/simulated.jsonl
	MESHLINE_TEST_ORDERS=150 $(BIN)/python -m pytest -n 2 tests/end_to_end/test_tryton_faults.py
	MESHLINE_EXAMPLES=100 $(BIN)/python -m pytest -n 2 tests/properties/test_builds.py tests/properties/test_missed_versions.py
	$(BIN)/python -m pytest -n 2 -m long

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Meshline and its pinned dependencies into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

tryton-env: setup ## a real ERP for the tests, in a virtual environment of its own
	@$(BIN)/python deploy/tryton/install.py

clean: ## what the demo and the tools left; the virtual environments stay
	rm -rf .meshline .meshline-cache build dist dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache
