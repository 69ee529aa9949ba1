# The whole workflow; `make` alone lists it. Another Python has its own environment: PYTHON=python3.13 make test
#
# The package is built as a wheel and installed like one, so that what is tested is what users get. Each interpreter
# builds below build/<its ABI>; a changed module recompiles those that depend on it, and nothing changed, nothing done.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
APP ?= examples/tiny/app.py
SECONDS ?= 60
TARGET ?= *
SEED ?= 1 2 3
ARGS ?=

FOUND := $(shell $(PYTHON) -c 'import sys, sysconfig; f = sysconfig.get_config_var; print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags), f("SOABI"))')
ABI := $(lastword $(FOUND))
VENV := .venv$(if $(filter-out file,$(origin PYTHON)),-$(firstword $(FOUND)))
BIN := $(VENV)/bin
BUILD := build/$(ABI)
SANITIZED := build/sanitize-$(ABI)
WINDOWS := build/windows
WINDOWS_TESTS := tests/backends tests/behaviour tests/contract tests/engine tests/http1 tests/net tests/server tests/sse \
	tests/testing tests/toolkit tests/test_buffers.py tests/test_cli.py tests/test_files.py tests/test_layers.py \
	tests/test_limits.py tests/test_options.py tests/test_packaging.py tests/test_target.py
KQUEUE := build/kqueue-$(ABI)
KQUEUE_FLAGS ?=
KQUEUE_TESTS := tests/backends tests/behaviour tests/engine tests/net tests/server tests/sse tests/testing \
	tests/test_cli.py tests/test_options.py tests/test_packaging.py examples
BROWSER := build/browser-$(ABI)
FAULTS := build/faults-$(ABI).so
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome))
TOOLS := $(VENV)/.tools-$(ABI)
INSTALLED := $(VENV)/.installed-$(ABI)
# Folders count too: their time changes when a module goes away.
SOURCES := $(shell find src -mindepth 1 -not -path '*/__pycache__*' -not -path '*.egg-info*')
SETUP := $(BIN)/python -W ignore setup.py -q

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help serve test test-faults test-kqueue test-windows check-bsd examples browser lint format sanitize sanitized fuzz bench wheel clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

serve: $(INSTALLED) ## build, and serve APP (examples/tiny/app.py) on http://127.0.0.1:3000; ARGS="--port 8080"
	@$(BIN)/vanilla $(APP) $(ARGS)

test: $(INSTALLED) ## build, and run the whole suite; ARGS="-k pipelining"
	$(BIN)/pytest $(ARGS)

# The modules that macOS and FreeBSD have, on Linux: tests/kqueue emulates their kqueue(2). Nothing here takes epoll. The
# emulation's flags, explained there, concern one module, which is built anew where they have changed.
test-kqueue: $(INSTALLED) ## run what needs sockets over an emulated kqueue; ARGS="tests/server", KQUEUE_FLAGS=-DKQUEUE_ADD_ENABLES=0
	@mkdir -p $(KQUEUE)
	@echo '$(KQUEUE_FLAGS)' | cmp -s - $(KQUEUE)/.flags || { rm -f $(KQUEUE)/lib/vanilla/backends/kqueue.*.so; \
	echo '$(KQUEUE_FLAGS)' > $(KQUEUE)/.flags; }
	VANILLA_KQUEUE='$(KQUEUE_FLAGS)' $(SETUP) build
	VANILLA_KQUEUE='$(KQUEUE_FLAGS)' VANILLA_TEST_BACKENDS=kqueue PYTHONPATH=$(CURDIR)/$(KQUEUE)/lib \
	$(BIN)/pytest $(or $(ARGS),$(KQUEUE_TESTS))

check-bsd: $(TOOLS) ## compile every module for macOS and FreeBSD, by zig; nothing is run
	@$(BIN)/pip install -q --group bsd
	$(BIN)/python tests/bsd/compile.py $(ARGS)

# Cross-compiled by zig, for a CPython of Windows that is run by Wine: tests/windows/wine.py fetches and says all.
# Capturing descriptors would cost 5 ms a test there.
test-windows: $(WINDOWS)/.built ## build for Windows, and run the suite under Wine; ARGS="tests/http1", ARGS=--last-failed
	$(BIN)/python tests/windows/wine.py -m pytest --capture=sys $(ARGS) $(if $(findstring tests/,$(ARGS)),,$(WINDOWS_TESTS))

test-faults: $(INSTALLED) $(FAULTS) ## run the socket-level suite with system calls that fail at random; SEED=3 ARGS="-k pipelining"
	$(BIN)/python tests/faults/run.py --shim $(FAULTS) --seeds "$(SEED)" $(ARGS)

$(FAULTS): tests/faults/faults.c $(TOOLS)
	@mkdir -p build
	$$($(BIN)/python -c 'import setup; print(setup.find_compiler())') -O2 -Wall -Wextra -shared -fPIC -o $@ $< -ldl

examples: $(INSTALLED) ## run every example as its README says, by curl; ARGS="examples/tiny"
	$(BIN)/python tests/readmes/run.py $(ARGS)

# Playwright comes into an environment of its own; the browser is the system's.
browser: $(INSTALLED) ## look at the pages of the examples in CHROMIUM, found by itself; ARGS="-k seek"
	@test -x "$(CHROMIUM)" || { echo "no Chromium: install it, or name it: CHROMIUM=/path/to/it make browser"; exit 1; }
	@test -e $(BROWSER)/bin/pytest || { $(PYTHON) -m venv --clear $(BROWSER) && $(BROWSER)/bin/pip install -q --upgrade "pip>=25.1"; }
	$(BROWSER)/bin/pip install -q --group browser
	@$(BROWSER)/bin/pip install -q --no-index --no-deps --force-reinstall $(BUILD)/wheel/*.whl
	CHROMIUM="$(CHROMIUM)" $(BROWSER)/bin/pytest tests/browser $(ARGS)

lint: $(TOOLS) ## ruff (rules and layout) and mypy (strict)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(TOOLS) ## let ruff lay out the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

sanitize: sanitized ## run the suite under ASan and UBSan, with C assertions; ARGS="tests/engine"
	$(UNDER_SANITIZERS) $(BIN)/pytest --timeout=300 --capture=sys $(ARGS)

fuzz: sanitized ## run each fuzz target for SECONDS (60) under ASan and UBSan; TARGET=content
	@set -e; for target in $(patsubst fuzz/corpus/%,fuzz/%.py,$(wildcard fuzz/corpus/$(TARGET))); do \
	echo "$$target, $(SECONDS) s"; $(UNDER_SANITIZERS) $(BIN)/python $$target --seconds $(SECONDS) $(ARGS); done

# Needs gcc: its sanitizers are shared objects that an uninstrumented Python can preload. Python's own allocator would
# hide what is read past an end, and what Python leaves at its exit is no leak of ours. Findings go to stderr, which
# pytest must not catch.
UNDER_SANITIZERS = VANILLA_SANITIZE=1 PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/$(SANITIZED)/lib \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1

sanitized: $(INSTALLED)
	@command -v gcc >/dev/null || { echo "no gcc, whose sanitizers this needs: install it"; exit 1; }
	CC=gcc VANILLA_SANITIZE=1 $(SETUP) build

bench: $(INSTALLED) ## measure against the C baseline and the peers; ARGS="--profiles short"
	$(BIN)/python benchmarks/measure.py $(ARGS)

wheel: $(TOOLS) ## build the sdist and, from it, the wheel into dist/; try it in an empty environment
	rm -rf dist
	$(SETUP) sdist --dist-dir dist
	$(BIN)/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	@set -e; trial=$$(mktemp -d); trap 'rm -rf "$$trial"' EXIT; \
	$(PYTHON) -m venv "$$trial/venv"; \
	"$$trial/venv/bin/pip" install -q --no-index dist/*.whl; \
	cp examples/tiny/app.py "$$trial"; cd "$$trial"; \
	venv/bin/vanilla --version; \
	venv/bin/python -c 'import app, vanilla; \
	[answer] = vanilla.Server(vanilla.ServerConfig(app.handle)).test([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]); \
	print(answer.decode())' | grep "200 OK"
	@ls dist/*

clean: ## remove everything that make made, environments included
	rm -rf build dist .venv .venv-[0-9]* .mypy_cache .ruff_cache .pytest_cache src/*.egg-info

# What mypy needs has no wheels for Pythons without the GIL, and would be built by Rust: an older mypy does without.
$(TOOLS): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "vanilla needs Python 3.11 or later; name one: PYTHON=python3.12 make"; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install -q --upgrade "pip>=25.1"
	$(BIN)/pip install -q --only-binary ast-serialize,librt --group build --group test --group lint
	@$(BIN)/pip install -q --only-binary orjson --group json 2>/dev/null || echo "orjson has no wheel here: tested without it"
	@$(BIN)/pip install -q --only-binary cffi,argon2-cffi-bindings --group auth 2>/dev/null || \
	echo "argon2-cffi has no wheel here: examples/auth is left out"
	@$(BIN)/pip install -q --only-binary brotli,zstandard --group compression 2>/dev/null || \
	echo "brotli or zstandard has no wheel here: tested without them"
	@$(BIN)/python -c 'import setup; exit(setup.find_compiler() is None)' || $(BIN)/pip install -q --group compiler || \
	{ echo "no C compiler: install gcc or clang, then run make again"; exit 1; }
	@touch $@

# What setup.py says holds for every module, so a change there is a build from nothing.
$(BUILD)/.begun: setup.py
	@rm -rf $(BUILD) $(SANITIZED) $(KQUEUE)
	@mkdir -p $(BUILD)
	@touch $@

$(INSTALLED): $(TOOLS) $(BUILD)/.begun $(SOURCES) README.md
	@rm -rf $(BUILD)/wheel
	$(SETUP) bdist_wheel --dist-dir $(BUILD)/wheel
	@$(BIN)/pip install -q --no-index --no-deps --force-reinstall $(BUILD)/wheel/*.whl
	@touch $@

$(WINDOWS)/.begun: setup.py
	@rm -rf $(WINDOWS)/cython $(WINDOWS)/lib $(WINDOWS)/temp
	@mkdir -p $(WINDOWS)
	@touch $@

$(WINDOWS)/.prepared: tests/windows/wine.py $(TOOLS)
	@rm -rf $(WINDOWS)/site
	$(BIN)/pip install -q --group compiler
	$(BIN)/python tests/windows/wine.py
	@touch $@

$(WINDOWS)/.built: $(WINDOWS)/.begun $(WINDOWS)/.prepared $(SOURCES)
	VANILLA_TARGET=win32 $(SETUP) build
	@touch $@
