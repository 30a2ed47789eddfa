# `make search` and `make test` set everything up once, in .venv, and then run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: search test check reference audit clean

search: $(READY)
	@$(BIN)/nas search chain --controller reinforce --data digits --trials 200

test: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A page for each module from its docstrings, in build/reference.
reference: $(READY)
	$(BIN)/pdoc --output-directory build/reference nas search_spaces controllers benchmarks

# Asks PyPI which of the packages in .venv have known faults; a build of one, as torch's +cpu, passes for its release.
audit: $(BIN)/pip-audit
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' | \
	    $(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r /dev/stdin

$(BIN)/pip-audit: $(READY)
	$(BIN)/python -m pip install --quiet pip-audit
	@touch $@

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
