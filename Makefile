# Everything here makes its own .venv when there is none; `make PYTHON=python3.12 test` chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-arm lint types bench clean

help: ## Say what there is
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/: .*## /\t/' | expand -t 12

demo: $(VENV)/demo-installed ## Teach and recognise real pictures; writes demo-report/report.html
	$(BIN)/edge-imprint demo --out demo-report

test: $(VENV)/all-installed ## The tests, under 15 minutes on two cores (ARGS="-k snapshot" chooses)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/all-installed ## The slow tests: packaging, training recipes, long runs
	$(BIN)/python -m pytest -m slow $(ARGS)

test-arm: $(VENV)/all-installed ## On emulated Raspberry Pis, 64 and 32 bit (ARGS="aarch64" chooses; needs root's rights)
	$(BIN)/python .ci/arm/run_tests.py $(ARGS)

lint: $(VENV)/all-installed ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/all-installed ## Types
	$(BIN)/mypy

bench: $(VENV)/peers-installed ## Measure on this machine and rewrite the tables
	$(BIN)/python -m benchmarks run
	$(BIN)/python -m benchmarks report

clean: ## Remove what make made, .venv included
	rm -rf $(VENV) build dist demo-report .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf *.egg-info edge_imprint/head/_native*.so

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "edge-imprint needs Python 3.10 or newer; choose one with make PYTHON=python3.12" >&2; exit 2; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "no venv: install it (Debian: apt install python3-venv)" >&2; exit 2; }

# What an installation is made from. The C library is compiled when installing; without a compiler numpy does its work.
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard firmware_bridge/c/src/*.[ch]) $(wildcard edge_imprint/head/*.[ch])

# A stamp says which extras are in the .venv, so that a second `make` installs nothing.
$(VENV)/demo-installed: $(SOURCES) | $(BIN)/python
	@echo "Installing edge-imprint and what its demo needs (a minute or so)"
	@$(PIP) --editable ".[demo]"
	@touch $@

$(VENV)/all-installed: $(SOURCES) | $(BIN)/python
	@echo "Installing edge-imprint with every extra (a few minutes: it includes torch for the export tests)"
	@$(PIP) --editable ".[all]"
	@touch $(VENV)/demo-installed $@

# Without a C++ compiler hnswlib cannot be installed, and pip then installs none of them: the suites say who is missing.
$(VENV)/peers-installed: $(VENV)/all-installed
	@echo "Installing what edge-imprint is measured against"
	@$(PIP) --editable ".[peers]" || echo "not installed: the suites kernels and peers say who is left out" >&2
	@touch $@
