# Everything runs in .venv, which is made once and again when the dependencies or the renderer's sources change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard sim3dr/csrc/*)

.PHONY: quickstart test lint docs wheel-check sanitize install clean

quickstart: install  ## render heads, train three models, evaluate, report: 15 to 30 minutes on two cores
	$(BIN)/semiuhpe quickstart

test: install  ## the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## this documentation as a site in build/site; broken links and anchors fail
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel-check: install  ## the wheel works without the repository, in an empty folder
	$(BIN)/python tests/check_wheel.py

SANITIZED := build/sanitize/lib
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g
# The libraries come first in the process: Python itself is not built with them. Python keeps memory to its end on purpose.
SANITIZER_ENVIRONMENT = LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1 PYTHONPATH=$(SANITIZED)

sanitize: install  ## the renderer's tests with a build that stops at reads and writes out of bounds and at undefined behaviour
	CXXFLAGS="$(SANITIZERS)" LDFLAGS="$(SANITIZERS)" $(BIN)/python setup.py --quiet build --build-base build/sanitize --build-lib $(SANITIZED)
	nm -D $(SANITIZED)/sim3dr/_core.*.so | grep -q __asan
	$(SANITIZER_ENVIRONMENT) $(BIN)/python -P -c 'import sim3dr, sys; sys.exit("$(SANITIZED)" not in sim3dr._core.__file__)'
	$(SANITIZER_ENVIRONMENT) $(BIN)/python -P -m pytest --noconftest -p no:cacheprovider tests/sim3dr

install: $(STAMP)

$(STAMP): $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps trackers
	touch $@

clean:  ## removes what was built, not what was trained
	rm -rf $(VENV) build *.egg-info sim3dr/*.so
