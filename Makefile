# Two commands do everything on a machine with python3 and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup check fast slow freqtrade bench format tables clean
demo: .venv/ready ## simulated exchange, record, query, show
	$(BIN)/recorder demo

test: .venv/dev-ready check fast slow ## all checks and tests

check: .venv/dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/recorder tables --check

fast: .venv/dev-ready
	$(BIN)/pytest -q -n 3 --dist worksteal -m "not slow"

slow: .venv/dev-ready
	$(BIN)/pytest -q -n 3 --dist worksteal -m slow

freqtrade: .venv-freqtrade/ready .venv/dev-ready ## its own data handler reads our files
	FREQTRADE_PYTHON=$(CURDIR)/.venv-freqtrade/bin/python $(BIN)/pytest -q tests/exports/test_freqtrade.py

.venv-freqtrade/ready:
	test -x .venv-freqtrade/bin/python || $(PYTHON) -m venv .venv-freqtrade
	.venv-freqtrade/bin/python -m pip install -q 'freqtrade>=2026.9,<2027'
	touch $@

bench: .venv/dev-ready
	$(BIN)/python -m benchmarks

format: .venv/dev-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tables: .venv/ready
	$(BIN)/recorder tables

setup: .venv/dev-ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/dev-ready: .venv/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,backtest]'
	touch $@

clean:
	rm -rf .venv .venv-freqtrade demo-data .mypy_cache .ruff_cache .pytest_cache
