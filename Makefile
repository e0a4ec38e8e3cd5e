# Two commands matter: `make demo` and `make test`. Both need only Python, a C++ compiler and a package index, and write
# only to .venv and build. `make help` lists the rest.

PYTHON      ?= python3
CONSTRAINTS ?= constraints-dev.txt
CLANG       ?= clang++
TORCH       ?= torch==2.13.0
KILLS       ?= 10000
SECONDS     ?= 600
JOBS        ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)')

MAKEFLAGS += --no-print-directory

VENV := .venv
BIN  := $(VENV)/bin
BENCH := .venv-bench
PIP  := $(BIN)/python -m pip --disable-pip-version-check --no-input

# What the installed package is made of. Folders are listed too, as their times tell of files that were deleted.
SOURCES := CMakeLists.txt pyproject.toml $(shell find cpp/include cpp/src cpp/bindings python -not -path '*__pycache__*')
DOCS    := $(wildcard *.md docs/*.md)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-cpp test-python test-docs test-types test-style sanitize crash fuzz bench bench-lifecycle bench-regression wheel clean

help:
	@echo 'make demo         run the demo'
	@echo 'make test         everything below that starts with "test-"'
	@echo 'make test-cpp     C++ unit tests, the examples, and an outside project that uses the installed library'
	@echo 'make test-python  Python tests'
	@echo 'make test-docs    the examples in the docstrings and in the Markdown files'
	@echo 'make test-types   mypy over the package, stubtest over the stubs of the compiled module'
	@echo 'make test-style   ruff and import-linter'
	@echo 'make sanitize     C++ tests under the address, undefined-behaviour and thread sanitizers'
	@echo 'make crash        kill a writing process 10,000 times (KILLS=n) and check that nothing it was promised is lost'
	@echo 'make fuzz         libFuzzer over the reader of segments for SECONDS=600 (needs clang)'
	@echo 'make bench        ours and the peers in one run, into benchmarks/RESULTS.md'
	@echo 'make bench-lifecycle  drift, promotions and retraining beside their peers, into benchmarks/RESULTS-lifecycle.md'
	@echo 'make bench-regression   ours alone, compared with the last run under pytest-benchmark'
	@echo 'make wheel        build a wheel into dist'
	@echo 'make clean        remove .venv, build, dist and caches'
	@echo
	@echo 'PYTHON=python3.12 chooses the Python that .venv is made from.'

# --- the two commands -------------------------------------------------------------------------------------------------

# [dev] includes [demo], so where the tests have run there is nothing more to install.
demo: $(VENV)/.with-$(if $(wildcard $(VENV)/.with-dev),dev,demo)
	@$(BIN)/fairlead demo

test: test-cpp test-python test-docs test-types test-style
	@echo '== all tests passed'

# --- the tests, one by one --------------------------------------------------------------------------------------------

test-cpp: ctest-dev

test-python: $(VENV)/.with-dev
	@echo '== Python tests'
	@$(BIN)/python -m pytest -q

test-docs: $(VENV)/.with-dev
	@echo '== examples in the docstrings and the documents'
	@$(BIN)/python -m pytest -q --doctest-modules --doctest-glob='*.md' --pyargs fairlead $(DOCS)

test-types: $(VENV)/.with-dev
	@echo '== types'
	@$(BIN)/python -m mypy
	@$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest.allow fairlead._core

test-style: $(VENV)/.with-dev
	@echo '== style and layers'
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-logo --no-cache >build/imports.log || { cat build/imports.log; exit 1; }

sanitize: ctest-asan-ubsan ctest-tsan

crash: $(VENV)/.with-dev
	@echo '== killing a writing process $(KILLS) times'
	@mkdir -p build
	@$(BIN)/python tests/crash/run.py --kills $(KILLS) >build/crash.txt; status=$$?; cat build/crash.txt; exit $$status
	@cp build/crash.txt benchmarks/crash.txt

fuzz: $(VENV)/.tools
	@echo '== fuzzing the reader of segments for $(SECONDS) seconds'
	@mkdir -p build && $(BIN)/cmake --preset fuzz -DCMAKE_CXX_COMPILER=$(CLANG) >build/fuzz.log
	@$(BIN)/cmake --build --preset fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
	@mkdir -p build/fuzz/corpus && build/fuzz/cpp/fuzz/fuzz_seeds build/fuzz/corpus
	@build/fuzz/cpp/fuzz/fuzz_segment_reader -max_total_time=$(SECONDS) build/fuzz/corpus

ctest-%: build-%
	@echo '== C++ tests ($*)'
	@$(BIN)/ctest --preset $*

build-%: $(VENV)/.tools
	@echo '== building the C++ tests and examples ($*)'
	@mkdir -p build
	@$(BIN)/cmake --preset $* >build/$*.log
	@$(BIN)/cmake --build --preset $* --parallel $(JOBS) >build/$*.log 2>&1 || { cat build/$*.log; exit 1; }

# The peers have a .venv of their own, as they bring a hundred packages. QUICK=--quick ends in two minutes.
bench: build-release $(BENCH)/.peers
	@echo '== benchmarks, written to benchmarks/RESULTS.md'
	@$(BENCH)/bin/python benchmarks/run.py --build build/release $(QUICK)

bench-lifecycle: $(BENCH)/.peers
	@echo '== drift, promotions and retraining, written to benchmarks/RESULTS-lifecycle.md; some two hours'
	@$(BENCH)/bin/python benchmarks/run_lifecycle.py $(QUICK)

bench-regression: $(BENCH)/.peers
	@$(BENCH)/bin/python -m pytest -q benchmarks --benchmark-autosave --benchmark-compare

$(BENCH)/.made: $(VENV)/.made
	@$(PYTHON) -m venv --clear $(BENCH)
	@touch $@

$(BENCH)/.peers: $(BENCH)/.made $(SOURCES) benchmarks/peers.txt benchmarks/install_peers.py
	@echo '== installing fairlead and its peers into $(BENCH)'
	@SKBUILD_CMAKE_DEFINE=FAIRLEAD_WERROR=ON $(BENCH)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c benchmarks/peers.txt '.[parquet]'
	@$(BENCH)/bin/python benchmarks/install_peers.py
	@touch $@

wheel: $(VENV)/.tools
	@echo '== building a wheel into dist'
	@$(PIP) --quiet wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(BENCH) build dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache

# --- .venv ------------------------------------------------------------------------------------------------------------

$(VENV)/.made:
	@echo '== making $(VENV)'
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit(f"Python 3.10 or newer is needed, $(PYTHON) is {v[0]}.{v[1]}")'
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# What pyproject.toml names as build requirements, CMake, and what an oracle that comes as source is built with. They stay
# in .venv, as a rebuild is fast only where the tools do not move.
$(VENV)/.tools: $(VENV)/.made $(wildcard $(CONSTRAINTS))
	@echo '== installing the build tools'
	@$(PIP) install --quiet -c $(CONSTRAINTS) cmake ninja pybind11 scikit-build-core setuptools wheel
	@touch $@

# torch before what depends on it, and by its exact version: of an open range, an index offers builds of gigabytes.
$(VENV)/.torch: $(VENV)/.tools
	@echo '== installing torch'
	@$(PIP) install --quiet -c $(CONSTRAINTS) '$(TORCH)'
	@touch $@

$(VENV)/.with-dev: $(VENV)/.torch

# .with-<extra>: the package, as it is now, with its optional dependencies <extra>.
$(VENV)/.with-%: $(VENV)/.tools $(SOURCES)
	@echo '== installing fairlead[$*]'
	@SKBUILD_CMAKE_DEFINE=FAIRLEAD_WERROR=ON $(PIP) install --quiet --no-build-isolation -c $(CONSTRAINTS) '.[$*]'
	@touch $@
