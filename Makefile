# Everything runs from a virtual environment of the project's own, made with the first Python 3.11 to 3.14 found.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && command -v $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check
# Only what a lock names is installed, and only if it has the hash that stands there.
INSTALL := $(BIN)/python $(PIP) --require-hashes --requirement
# Builds with what requirements/build.txt brought, so that pip fetches nothing besides.
INSTALL_PROJECT := $(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
LOCKS := $(wildcard requirements/*.txt)
# They build and install the wheel, which takes a while: `make package`.
PACKAGE := tests/integration/test_container.py tests/integration/test_wheel.py
# Where another broker changes nothing: what REST lets in, and what operators ask.
ANY_BROKER := authentication authorization bad_input development_tokens doctor hostile_input kiosk observability \
	personal_data retired_months wrong_codes

.DEFAULT_GOAL := help
.PHONY: help run test schema alerts package upgrade drill test-kafka kafka faults faults-smoke bench check audit docs lock format

help: ## Show what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python $(VENV)-audit/bin/python $(VENV)-docs/bin/python $(VENV)-lock/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; none was found on PATH."; exit 1; }
	@echo "Making $(@:/bin/python=) with $(PYTHON)"
	@$(PYTHON) -m venv $(@:/bin/python=)

$(VENV)/.run: $(BIN)/python pyproject.toml $(LOCKS)
	@echo "Installing svc-reservations and its embedded stack"
	@$(INSTALL) requirements/run.txt
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml $(LOCKS)
	@echo "Installing svc-reservations and what its tests need"
	@$(INSTALL) requirements/dev.txt
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing the benchmark's peers"
	@$(INSTALL) requirements/bench.txt
	@touch $@

$(VENV)-%/.installed: $(VENV)-%/bin/python requirements/%.txt
	@echo "Installing what make $* runs"
	@$(VENV)-$*/bin/python $(PIP) --require-hashes --requirement requirements/$*.txt
	@touch $@

run: $(VENV)/.run ## Run the whole service here: Postgres, broker, worker and gateway.
	@exec $(BIN)/reservations up

test: $(VENV)/.dev ## Run all tests.
	@$(BIN)/python -m pytest $(addprefix --ignore=,$(PACKAGE))

package: $(VENV)/.dev ## Build the wheel, install it apart from the source, and run it as a container does.
	@$(BIN)/python -m pytest -n0 $(PACKAGE)

upgrade: $(VENV)/.dev ## Let the last release's processes work on this one's schema, and hand over to this one's.
	@$(BIN)/python -m pytest -n0 tests/upgrade

test-kafka: $(VENV)/.dev ## Run the tests that use a broker against Apache Kafka; needs Java 17 and Maven.
	@$(BIN)/python -m tests.apache_kafka --optional $(BIN)/python -m pytest -m broker \
		$(addprefix --ignore=,$(PACKAGE) $(ANY_BROKER:%=tests/integration/test_%.py)) tests/integration

schema: $(VENV)/.dev ## Try the API by its own OpenAPI document; `python -m tests.schema` for more.
	@$(BIN)/python -m pytest -n0 tests/schema

kafka: $(VENV)/.dev ## Start Apache Kafka here; BROKERS=3 for a cluster. Needs Java 17 and Maven.
	@$(BIN)/python -m tests.apache_kafka --brokers $(or $(BROKERS),1)

alerts: $(VENV)/.dev ## Let a real Prometheus alert on a broker and workers that go away; needs prometheus.
	@$(BIN)/python -m pytest -n0 tests/alerts

faults: $(VENV)/.dev ## Hurt the service and check its promises: ROUNDS=35 SEED=1, FAULT=name, MUTANT=name.
	@$(BIN)/python -m tests.faults $(if $(ROUNDS),--rounds $(ROUNDS)) --seed $(or $(SEED),1) $(addprefix --fault ,$(FAULT)) $(addprefix --mutant ,$(MUTANT))

faults-smoke: $(VENV)/.dev ## Let a worker die at each failpoint once, and check the promises.
	@$(BIN)/python -m tests.faults --failpoints

drill: $(VENV)/.dev ## Lose a database, restore it with pgBackRest to a moment, and prove it; needs pgbackrest.
	@$(BIN)/python -m tests.drill

bench: $(VENV)/.bench ## Measure how fast one and two workers empty a full command topic.
	@$(BIN)/python -m tests.bench

check: $(VENV)/.dev ## Run every static check.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

audit: $(VENV)/.dev $(VENV)-audit/.installed ## Look for vulnerable dependencies, weak code, secrets and odd licences.
	@$(BIN)/python -m tests.audit $(VENV)-audit/bin

docs: $(VENV)-docs/.installed ## Build the pages as HTML; a warning is an error. MERMAID=folder of mermaid's `dist` draws diagrams.
	@MERMAID="$(MERMAID)" $(VENV)-docs/bin/python -m sphinx -b html -c docs -E -W --keep-going -n -q . build/docs
	@echo "build/docs/docs/README.html"

lock: $(VENV)-lock/.installed ## Lock the dependencies anew; UPGRADE="aiohttp typer" or UPGRADE=all for newer versions.
	@$(VENV)-lock/bin/python -m tests.locks $(VENV)-lock/bin/uv $(if $(UPGRADE),--upgrade $(UPGRADE))

format: $(VENV)/.dev ## Format the code and mend what the linter can mend.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
