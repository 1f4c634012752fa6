# vlp: `make demo` and `make test` need Python 3.11, make, git and a C compiler, nothing else.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Most tests wait for a process that they have started: two files at a time, the long ones of cli/ first.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-full check bench clean install

demo: install
	$(BIN)/vlp demo

test: check
	$(BIN)/pytest -m "not full" $(PARALLEL)

test-full: check
	$(BIN)/pytest $(PARALLEL)

check: install build/types/vlp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/vlp demo
	$(BIN)/vlp bench extract --dataset toy

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# mypy resolves `vlp.pipeline` to the folder `pipeline` through this link.
build/types/vlp:
	mkdir -p build/types
	ln -sfn ../.. $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
