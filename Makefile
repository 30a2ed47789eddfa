# `make search` and `make test` set everything up once, in .venv, and then run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: search test check clean

search: $(READY)
	@$(BIN)/nas search chain --controller reinforce --data digits --trials 200

test: check
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
