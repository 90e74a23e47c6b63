# Two commands for everybody: `make demo` and `make test`. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= keyhole-demo

.PHONY: demo test test-all check bench clean

demo: $(VENV)/.ready-demo
	$(BIN)/keyhole demo $(OUT)

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest

test-all: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -m "slow or not slow"
	$(BIN)/python -m pytest -m alone -n 0

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python benchmarks/corridors.py --write
	$(BIN)/python benchmarks/dicom.py
	$(BIN)/python benchmarks/bare_dicom.py
	$(BIN)/python benchmarks/bare_ct.py --cases 5

$(BIN)/python:
	@$(PYTHON) -c 'import sys' 2>/dev/null || { echo "Keyhole needs Python 3.11 or newer; no $(PYTHON) was found on this machine."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Keyhole needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -c 'import platform; print(platform.python_version())'). Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Keyhole needs Python's venv and pip; on Debian: apt-get install python3-venv python3-pip"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.ready-demo

clean:
	rm -rf $(VENV) keyhole-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
