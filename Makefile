# Every target sets itself up: the virtual environment is made once and brought up to
# date only when pyproject.toml changes. Another interpreter gets an environment of
# its own, so that `make PYTHON=python3.12 test` leaves the first one alone.

PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VENV ?= .venv-$(notdir $(PYTHON))
endif

BIN := $(VENV)/bin
SOURCES := conftest.py helixnb tests docs binder $(wildcard benchmarks)
PAGES := README.md CONTRIBUTING.md docs

# Made of binder/ alone, with its interpreter if that is there.
BINDER := .venv-binder
BINDER_PYTHON ?= $(shell command -v $(subst -,,$(file <binder/runtime.txt)) || echo $(PYTHON))
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
PYTEST_FLAGS ?=
BROWSER_TESTS ?= browser
EXTRAS := test dev docs browser

# uv takes seconds where pip takes a minute; where it cannot be had or reaches nothing,
# pip it is. The first argument is the bin folder of an environment.
define install
$(1)/python -m pip install -qq uv && $(1)/uv pip install -q -p $(1)/python $(2) \
  || $(1)/python -m pip install -qq $(2)
endef

# Bokeh's scripts come from the installed package, so notebooks work without a network.
export PANEL_INLINE := True
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# uv leaves bytecode to the first import. Where that may not write it, as in many
# containers, each of the many processes of the tests would compile the libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo lab test test-python test-notebooks test-browser test-slow
.PHONY: test-sanitized test-binder
.PHONY: lint audit docs environments clean

help:
	@echo "make demo          simulate a filament, refine it, write the results to demo/"
	@echo "make lab           open the tutorials in JupyterLab, at the first notebook"
	@echo "make test          lint, types, tests, notebooks"
	@echo "make lint          ruff and mypy only"
	@echo "make test-browser  drive the dashboard in headless Chromium"
	@echo "make test-slow     long tests, without a browser"
	@echo "make test-sanitized  CUDA kernels on the CPU, under AddressSanitizer and UBSan"
	@echo "make test-binder   the first notebook in what binder/ installs, and its memory"
	@echo "make audit         known vulnerabilities of the pinned versions (needs PyPI)"
	@echo "make docs          build the documentation into site/"
	@echo "make clean         remove what these targets made, environments included"
	@echo "make PYTHON=python3.12 ...   the same with another interpreter"

demo: $(VENV)/.stamp
	$(BIN)/helixnb demo -o demo

lab: $(VENV)/.stamp
	$(BIN)/jupyter lab notebooks/01-first-refinement.ipynb

test: lint test-python test-notebooks
	@echo "browser tests are apart, since they need Chromium: make test-browser"

lint: $(VENV)/.stamp-test $(VENV)/.stamp-dev
	$(BIN)/ruff check $(SOURCES) notebooks
	$(BIN)/ruff format --check $(SOURCES) notebooks
	$(BIN)/mypy

test-python: $(VENV)/.stamp-test
	$(BIN)/pytest -m "not browser and not slow" $(PYTEST_FLAGS) tests $(PAGES)

test-notebooks: $(VENV)/.stamp-test
ifneq ($(NOTEBOOKS),)
	$(BIN)/pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=300 \
	  $(PYTEST_FLAGS) $(NOTEBOOKS)
endif

test-slow: $(VENV)/.stamp-test
	$(BIN)/pytest -m "slow and not browser" $(PYTEST_FLAGS) tests

# The tests that compile the CUDA sources for the host, which then tell every access
# outside of an array. Some minutes.
test-sanitized: $(VENV)/.stamp-test
	CXXFLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
	  LD_PRELOAD=$$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
	  $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/test_cuda_kernels.py \
	  tests/test_device_maps.py \
	  tests/test_device_step.py::test_a_step_gives_what_it_gives_on_the_cpu

test-browser: $(VENV)/.stamp-test $(VENV)/.stamp-browser
	$(BIN)/pytest -m "$(BROWSER_TESTS)" $(PYTEST_FLAGS) tests

# postBuild installs a copy of helixnb, so it runs every time.
test-binder: $(BINDER)/.stamp
	PATH="$(CURDIR)/$(BINDER)/bin:$$PATH" bash binder/postBuild
	$(BINDER)/bin/python binder/check.py notebooks/01-first-refinement.ipynb

# Apart, for it needs the advisories of PyPI; a package that is not found there fails.
audit: $(VENV)/.stamp-test
	$(BIN)/python -m pip install -qq pip-audit
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r binder/requirements.txt

docs: $(VENV)/.stamp-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/check_site.py site

clean:
	rm -rf .venv .venv-* demo site build dist .pytest_cache .mypy_cache .ruff_cache
	find helixnb tests benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +

# --- environment -----------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "helixnb needs Python 3.11 or newer; '$(PYTHON)' is missing or older."; \
	  echo "Name another one, for example: make PYTHON=python3.12 test"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make a virtual environment: its ensurepip is missing."; \
	  echo "On Debian or Ubuntu: sudo apt install python3-venv; then run make again."; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp: pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV)"
	@$(call install,$(BIN),-e .)
	@touch $@

# All that any target needs, so that they may then run side by side.
environments: $(VENV)/.stamp-all $(BINDER)/.stamp

$(VENV)/.stamp-all: pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) for every target"
	@$(call install,$(BIN),-e ".[$$(echo $(EXTRAS) | tr ' ' ,)]")
	@touch $(VENV)/.stamp $(EXTRAS:%=$(VENV)/.stamp-%) $@

$(BINDER)/.stamp: binder/requirements.txt binder/runtime.txt
	$(BINDER_PYTHON) -m venv --clear $(BINDER)
	@$(call install,$(BINDER)/bin,-r binder/requirements.txt)
	@touch $@

$(VENV)/.stamp-%: pyproject.toml | $(VENV)/.stamp
	@echo "adding what '$*' needs to $(VENV)"
	@$(call install,$(BIN),-e ".[$*]")
	@touch $@
