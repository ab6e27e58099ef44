# make demo   sets up and runs the main job
# make test   sets up and passes the tests
# make card   writes docs/benchmarks.md from stored results, and checks the figures of the docs
# make rivals builds the environments of the methods that the benchmarks compare with
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# Torch's threads wait for each other when other work holds the processors.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test lint card train-bundled rivals clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/system.sh
	sh scripts/system.sh
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[qt,dev]"
	touch $(READY)

demo: setup
	$(VENV)/bin/napari-gest demo

test: setup
	$(PY) -m pytest -q -n 2 --dist loadgroup --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry napari_gest

card: setup
	$(PY) -m benchmarks card

train-bundled: setup
	$(PY) -m benchmarks.common.bundled

rivals: setup
	$(PY) -m benchmarks.rivals.environments

clean:
	rm -rf $(VENV) demo build dist
