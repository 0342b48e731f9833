# Everything runs in .venv, which is made once and again when the dependencies or the renderer's sources change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard sim3dr/*.cpp)

.PHONY: quickstart test lint install clean

quickstart: install  ## render heads, train three models, evaluate, report: under 15 minutes on two cores
	$(BIN)/semiuhpe quickstart

test: install  ## the tests
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: $(STAMP)

$(STAMP): $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

clean:  ## removes what was built, not what was trained
	rm -rf $(VENV) build *.egg-info sim3dr/*.so
