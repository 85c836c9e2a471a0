# make test : the core suite (ruff, mypy, pytest); make test-all : everything; make demo : the main job, run.
# All set up what is missing (virtual environment, dependencies, system libraries) and are quick the second time.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
KERNELS := deepnets4eo/__pycache__/.kernels
TOOLS  := .venv-release
PYTEST := $(BIN)/python -m pytest
# Tests run in as many processes as there are cores, so each process has one thread. What Python compiles is kept, whatever
# the environment says: the processes that tests start would compile the whole package again.
WORKER := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
# Assertions that show their values take each process 17 seconds on a fresh machine, so only what failed has them, in a second run.
RUN     = $(WORKER) DEEPNETS4EO_SUITE=$(1) $(PYTEST) -n auto --dist worksteal --assert=plain $(2) || \
 { echo "what failed, again, with its values:"; $(WORKER) $(PYTEST) --last-failed --last-failed-no-failures none; false; }
BUILD   = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(TOOLS)/bin/python -m build
OUT    ?= demo

# `make check VENV=…` with the environment of another checkout, whose path its .ready has: nothing is installed into it, and
# Python reads the sources of this checkout.
OTHERS := $(if $(filter $(CURDIR)/% $(shell cat $(READY) 2>/dev/null),$(abspath $(VENV)) $(CURDIR)),,$(wildcard $(READY)))
ifneq ($(OTHERS),)
export PYTHONPATH := $(CURDIR)
endif

# Given real files, `make demo PRE=… POST=… FOOTPRINTS=…` runs on them.
PRE ?=
POST ?=
FOOTPRINTS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-changed test-all static check durations golden bench figures docs pictures notebooks qgis dist setup clean

help:
	@echo "make demo   run the main job on a made-up miniature city and open with one line where to look"
	@echo "            PRE=pre.tif POST=post.tif FOOTPRINTS=footprints.gpkg: on your own files"
	@echo "make test   ruff, mypy and the core suite, on a fresh machine too: at most 5 minutes on two free cores"
	@echo "make test-changed  the same for what the change reaches"
	@echo "make test-all  everything: after the core suite kills, browsers, exports, the site: some 25 minutes more"
	@echo "make check  ruff, mypy and the rules on names and wording, on changed files only: seconds"
	@echo "make bench  processor seconds of five jobs of users beside an earlier state (BASE=origin/main), in turns: some five minutes"
	@echo "make docs   the documentation site into site/, notebooks executed; open site/index.html, offline"
	@echo "make pictures  the pictures of pages in docs/images, from the demo as it is now: some minutes, with Chromium (CHROMIUM=its path)"
	@echo "make figures DATA=FOLDER  every figure of the lineage again, by thirty hours of one core, going on where it was stopped (LIST=1: what there is)"
	@echo "make notebooks   only execute the notebooks of the documentation, within 3 minutes"
	@echo "make qgis   the plugin for QGIS as a zip in dist/"
	@echo "make dist   wheel, source, QGIS plugin and SBOM in dist/, checked and run in an empty environment"
	@echo "make clean  remove the virtual environment and caches"

demo: $(READY)
ifeq ($(strip $(POST)),)
	@$(BIN)/deepnets4eo demo --out $(OUT) --overwrite
else
	@$(BIN)/deepnets4eo damage $(or $(PRE),-) $(POST) $(FOOTPRINTS) --out $(OUT) --overwrite
endif

test: $(READY) $(KERNELS) static
	@$(call RUN,core)

# With `make test test-all` the core suite runs once.
test-all: test
	@$(call RUN,rest)

test-changed: $(READY) $(KERNELS) static
	@tests=$$($(BIN)/python scripts/changed_tests.py) && if [ -z "$$tests" ]; then echo "the change reaches no test"; else \
	 echo "test files that the change reaches: $$(echo "$$tests" | wc -l)"; $(call RUN,core,$$tests); fi

static: $(READY)
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff check -q --preview --select PLW1514 .  # text files without an encoding
	@$(BIN)/ruff format -q --check .
	@MYPY_NUM_WORKERS=auto $(BIN)/mypy

check: $(READY)
	@$(BIN)/python scripts/check_changed.py

# What each test took in the last `make test` and `make test-all` decides which tests are core from now on.
durations: $(READY)
	@$(BIN)/python tests/suite.py

# The results of the shipped networks, stored anew; the changelog says why.
golden: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/test_golden_jobs.py

# Jobs of users in this checkout and in an earlier state, in turns, on one core: whoever changes the path of a job states the table.
BASE   ?= origin/main
bench: $(READY)
	@$(BIN)/python experiments/benchmarks/jobs.py --base $(BASE)

# Every figure of the lineage again, where it was stopped; ONLY="NAME …" some of them, LIST=1 what there is. Use a clone of its own.
DATA   ?= $(DEEPNETS4EO_DATA)
BUDGET ?= 30
figures: $(READY)
	@$(WORKER) nice -n 19 $(BIN)/python experiments/figures.py --out runs/figures $(if $(LIST),--list,--data $(DATA) --budget $(BUDGET)) $(if $(ONLY),--only $(ONLY))

# The site works from its folder. The tutorials run on the miniature city, in about a minute.
docs: $(READY)
	DEEPNETS4EO_NOTEBOOKS=true NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "open site/index.html"

# The site shows these pictures. They take minutes (the demo in full size, a review, a network taught by clicks), so the site does not wait for
# them: a test compares the words of their headline with the demo's.
pictures: $(READY)
	$(BIN)/python scripts/page_pictures.py

# The same notebooks without the site; fails at the first cell that fails, and beyond 3 minutes.
notebooks: $(READY)
	$(BIN)/python scripts/run_notebooks.py

# Run it with all algorithms on real samples: QT_QPA_PLATFORM=offscreen python3 scripts/qgis_trial.py dist/deepnets4eo-qgis.zip SAMPLES OUT
qgis: $(READY)
	@$(BIN)/python scripts/qgis_plugin.py dist

# The same commit gives the same wheel and source, byte for byte: both are built twice and compared.
dist: $(READY)
	@rm -rf dist build && mkdir -p build
	@test -x $(TOOLS)/bin/twine || { $(PYTHON) -m venv $(TOOLS) && \
	 $(TOOLS)/bin/python -m pip install -q -c constraints.txt build check-wheel-contents cyclonedx-bom twine; }
	umask 022 && for folder in dist build/again; do $(BUILD) --outdir $$folder . >> build/log || exit 1; done
	diff -r dist build/again
	$(TOOLS)/bin/twine check --strict dist/*
	$(TOOLS)/bin/check-wheel-contents dist/*.whl
	@$(BIN)/python scripts/qgis_plugin.py dist
	$(BIN)/python scripts/try_wheel.py dist/*.whl build/light
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible -o dist/sbom.cdx.json build/light
	cd dist && sha256sum * > SHA256SUMS

setup: $(READY)

ifneq ($(OTHERS),)
$(READY):
else
$(READY): setup.cfg constraints.txt scripts/system_libraries.sh
	@bash scripts/system_libraries.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the dependencies into $(VENV) (some minutes the first time) …" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade "pip>=23" "setuptools>=77" wheel
	@rm -rf *.egg-info  # a stale one hides new entry points
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"  # of setuptools, about folders
	@echo $(CURDIR) > $(READY)
endif

# Loops that numba compiles are kept beside the sources, so that no process of the tests compiles them.
$(KERNELS): $(READY) scripts/compile_kernels.py $(shell grep -rl njit --include=*.py deepnets4eo experiments)
	@$(WORKER) $(BIN)/python scripts/compile_kernels.py
	@mkdir -p $(@D)
	@touch $(KERNELS)

clean:
	rm -rf $(VENV) $(TOOLS) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info site
