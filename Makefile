# SPDX-License-Identifier: Apache-2.0
# Khatim: `make demo` shows the main job end to end, `make test` proves it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The two rooms are installed side by side.
MAKEFLAGS += --jobs=2
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
PY     := .venv/bin/python
TORCH  := 2.13.0
# Files in their order: sorted by their number of tests the slow ones, which have few, would all come last.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

# A room is made once per lock file: its stamp carries the hash of what was installed, so a checkout of another
# commit, or an interrupted installation, is seen.
stamp = $(firstword $(shell sha256sum $(1)))
MAIN  := .venv/.installed-$(call stamp,locks/main.txt)
ALIBI := .venv-alibi/.installed-$(call stamp,locks/alibi.txt)
DEEP  := .venv/.installed-torch-$(TORCH)
OUTSIDE := .outside/.installed-$(firstword $(shell cat $(wildcard tests/outside/room/*) | sha256sum))
PIP   := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# --- people ----------------------------------------------------------------------------------------------------------

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(MAIN) $(ALIBI) ## Run the main job with a live timeline and leave the console running; ONCE=1: run, write demo/, stop
	@$(PY) -m khatim demo $(if $(ONCE),--once)

.PHONY: install
install: $(MAIN) $(ALIBI) ## Make both rooms: .venv and .venv-alibi

.PHONY: test
test: $(MAIN) $(ALIBI) $(OUTSIDE) ## Run all tests (PYTEST_ARGS="tests/audit -x")
	@$(PY) -m pytest $(PYTEST_ARGS)

.PHONY: check
check: $(MAIN) ## Run ruff, mypy --strict, import-linter and alembic check
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m khatim schema check

.PHONY: outside
outside: $(OUTSIDE) ## Fetch the tools of others that the tests verify with: cosign, sigstore-js on Node 22, Go

.PHONY: format
format: $(MAIN) ## Put imports and lines in order
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

.PHONY: bench
bench: $(MAIN) ## Measure and write docs/benchmarks.md
	@$(PY) -m khatim bench

.PHONY: chaos
chaos: $(MAIN) ## Kill server, sequencer and database under load (KILLS=50 each) and check that nothing is lost
	@rm -f .chaos.jsonl
	@KHATIM_CHAOS_KILLS=$(or $(KILLS),50) KHATIM_CHAOS_REPORT=$(CURDIR)/.chaos.jsonl \
		$(PY) -m pytest tests/processes/test_chaos.py -q
	@cat .chaos.jsonl

.PHONY: lock
lock: $(MAIN) ## Compile locks/ from pyproject.toml, keeping the pins that still fit (UPGRADE=1: newest)
	@$(LOCK) -o locks/main.txt pyproject.toml --extra server --extra agent --extra training --extra verify --extra dev
	@$(LOCK) -o locks/alibi.txt --group alibi --only-binary :all:

.PHONY: clean
clean: ## Remove all rooms, caches and what the demo wrote
	@rm -rf .venv .venv-alibi .outside demo .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- rooms -----------------------------------------------------------------------------------------------------------

.PHONY: .venv .venv-alibi torch
.venv: $(MAIN) ## Make the main room
.venv-alibi: $(ALIBI) ## Make the room of alibi-detect
torch: $(DEEP) ## Add PyTorch to the main room: a step of its own, CPU or CUDA build by platform (TORCH_ARGS="...")

# No address of a package index stands in a lock; pip asks the one it is configured for, and the hashes decide.
LOCK = .venv/bin/uv pip compile --quiet --python-version 3.11 --python-platform linux --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

# $(call room,FOLDER): an empty virtual environment of Python 3.11, the version that the pins are tested with.
define room
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "Khatim is pinned for Python 3.11 and $(PYTHON) is not one; say where it is: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; } || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(1)/bin/pip || $(PYTHON) -m venv --clear $(1)
endef

$(MAIN): locks/main.txt
	$(call room,.venv)
	@echo "Installing the main room (.venv): two to three minutes the first time" >&2
	@$(PIP) .venv/bin/pip install --quiet --require-hashes --no-deps -r locks/main.txt
	@$(PIP) .venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-[0-9a-f]* && touch $@

# --no-deps: the lock is complete, and leaves out a dependency that alibi-detect names but does not need.
$(ALIBI): locks/alibi.txt
	$(call room,.venv-alibi)
	@echo "Installing the room of alibi-detect (.venv-alibi): about two minutes the first time" >&2
	@$(PIP) .venv-alibi/bin/pip install --quiet --require-hashes --no-deps -r locks/alibi.txt
	@rm -f .venv-alibi/.installed-* && touch $@

# A tool that cannot be had is tried again the next time; the tests that need it say so, and under CI nothing may be
# missing.
$(OUTSIDE): | $(MAIN)
	@echo "Fetching the tools of others (.outside): about a minute the first time" >&2
	@rm -f .outside/.installed-*
	@if tests/outside/room/build .outside $(PY); then touch $@; else test "$${CI:-}" != true; fi

# The pins of the main room hold for what PyTorch brings along.
$(DEEP): $(MAIN)
	@sed -E -n 's/^([A-Za-z0-9_.-]+==[^ ;]+).*/\1/p' locks/main.txt > .venv/pins.txt
	@$(PIP) .venv/bin/pip install --quiet -c .venv/pins.txt $(TORCH_ARGS) torch==$(TORCH)
	@touch $@
