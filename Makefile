# `make search` and `make test` set everything up once, in .venv, and then run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: search test check chromium reference audit clean

search: $(READY)
	@$(BIN)/nas search chain --controller reinforce --data digits --trials 200

# A process of tests that falls ends the run: with --dist loadfile, the others would wait for it for ever.
test: check chromium
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A page for each module from its docstrings, in build/reference. nas names what it offers, and pdoc would stop there,
# so its modules are listed; what is imported for types alone, pdoc cannot link to in a NamedTuple, and warns of.
OF_NAS = $(subst /,.,$(patsubst %/__init__,%,$(basename $(wildcard nas/[a-z]*.py nas/*/__init__.py))))
reference: $(READY)
	$(BIN)/python -W "ignore:Error parsing type annotation" -m pdoc --output-directory build/reference \
	    nas $(OF_NAS) search_spaces controllers benchmarks

# The browser that tests look at pages with: Debian's, where apt is and may install; without one, they are skipped.
chromium:
	@command -v chromium >/dev/null || { \
	    command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	    echo "no chromium here: the tests that look at pages are skipped"

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
