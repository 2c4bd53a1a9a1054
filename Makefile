# make quickstart   searches on real images from start to end, after setting up; a few minutes on two cores
# make test         the tests, after setting up
# make test-long    those that take minutes: kills at random moments, many processes, large comparisons
# make parity       published networks beside the packages they come from; half an hour, 10 GB
# make formats      exported networks in their own runtimes, how equal and how fast; half an hour, 2 GB
# make transfer     a searched cell beside NASNet-A on three data sets; half an hour, needs prepared data
# make bench        speed beside other packages; BENCH=compile measures one thing (benchmarks/README.md)
# make lint         ruff (its format too) and mypy
# make setup        only makes $(VENV)
#
# PYTHON picks the interpreter (3.11 or later), VENV the folder of the environment, TESTS what pytest runs,
# WORKERS in how many processes.

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/quickstart
TESTS ?=
WORKERS ?= 2
PARITY ?= .cache/parity
FORMATS ?= .cache/formats
BENCH ?=

RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Files in their order: by their number of tests, those of pods, few and long, would all come last.
PYTEST := $(RUN) -m pytest -q -n $(WORKERS) --dist=loadfile --no-loadscope-reorder

.PHONY: setup test test-long parity formats transfer bench lint quickstart clean

setup: $(INSTALLED)

# The stamp makes this run once, and again when what is to be installed has changed.
$(INSTALLED): setup.py pyproject.toml constraints/py311.txt constraints/py312.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "nasnet_jax needs Python 3.11 or later, and $(PYTHON) is older or missing." \
	    "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	pins=$$($(RUN) -c 'import sys; print("py311" if sys.version_info < (3, 12) else "py312")') && \
	  $(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]' -c constraints/$$pins.txt
	touch $@

test: setup
	$(PYTEST) -m "not long" $(TESTS)

test-long: setup
	$(PYTEST) -m long $(TESTS)

parity: setup
	$(RUN) benchmarks/parity/compare.py --folder=$(PARITY)

formats: setup
	$(RUN) benchmarks/formats/measure.py --folder=$(FORMATS)
	NASNET_JAX_FORMATS=$(abspath $(FORMATS))/bin/python $(PYTEST) tests/formats/test_runtimes.py

# One device, and compilations kept: trainings that differ in the seed alone share theirs.
transfer: setup
	JAX_NUM_CPU_DEVICES=1 JAX_COMPILATION_CACHE_DIR=.cache/jax \
	  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 $(RUN) benchmarks/transfer/measure.py

bench: setup
	$(RUN) benchmarks/run.py $(BENCH)

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

quickstart: setup
	$(RUN) -m nasnet_jax.search --config=configs/quickstart.py --workdir=$(WORKDIR)/search
	$(RUN) -m nasnet_jax.train --config=configs/digits.py --workdir=$(WORKDIR)/train \
	  --config.architecture=$(WORKDIR)/search/best_architecture.json
	$(RUN) -m nasnet_jax.data --name=digits --output=$(WORKDIR)/images
	$(RUN) -m nasnet_jax.predict --checkpoint=$(WORKDIR)/train --top=1 $(WORKDIR)/images/*.png

clean:
	rm -rf $(VENV) .cache
