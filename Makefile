# The two commands: `make demo` and `make test`. Everything is installed into .venv, from the locks.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --quiet --disable-pip-version-check --no-input
LOCK   := $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-annotate \
          --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

.DEFAULT_GOAL := help
.PHONY: help demo test check lint services fmt bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## the whole connector on this machine, nothing else needed; DEMO_SECONDS=10 ends it by itself
	$(VENV)/bin/connector demo

test: services lint ## every check and every test, the latter on a real Kafka and a real Redis
	$(PY) -m pytest -m "not integration" --numprocesses auto
	$(PY) -m pytest -m integration

check: lint ## all that needs no Kafka, no Redis and no thousands of seeds: under two minutes
	$(PY) -m pytest -m "not integration and not seeds" --numprocesses auto

lint: $(VENV)/.dev ## format, rules, types and layers
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

services: $(VENV)/.dev ## fetch what the integration tests start: Kafka (needs Java 17 and Maven) and Redis
	$(PY) -m tests.services.setup

fmt: $(VENV)/.dev ## format the code and repair what can be repaired
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/.dev ## measure throughput and latency
	$(PY) -m bench

# The dev lock holds the runtime lock line by line: both are installed into the same .venv.
lock: $(VENV)/.dev ## resolve pyproject.toml into both lock files, keeping versions that still fit
	$(LOCK) --extra=build --output-file=requirements.lock pyproject.toml
	$(LOCK) --extra=build --extra=dev --output-file=requirements-dev.lock pyproject.toml
	@! grep -n '://' requirements.lock requirements-dev.lock || { echo "a lock must not name an address"; exit 1; }
	@! grep -vxFf requirements-dev.lock requirements.lock || { echo "the two locks differ in these lines"; exit 1; }

clean: ## remove .venv and everything that tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: name a newer one, as in make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: installing happens once per change of a lock. One after the other, so that `make -j` runs one pip at a time.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(PY)
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
