# make demo   sets itself up and shows the whole thing live: no API key, no server, no Docker
# make test   sets itself up and runs what CI runs
# make help   lists the rest

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
# The first Python from 3.11 on that really starts.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
# uv installs in seconds where it is there; pip does the same everywhere.
INSTALL := $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install --quiet --compile-bytecode --python $(BIN)/python" \
	|| echo "$(BIN)/python -m pip install --quiet --disable-pip-version-check")
ARGS ?=
COMMA := ,
PYTEST_ARGS ?=
WORKERS ?= 4
# Some machines forbid Python to keep bytecode: then each process that a test starts compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
PAGE := "src/tachograph/console/static/**/*.{js,css}" "tests/console/page/**/*.js"

.PHONY: help demo test lint types pyright parts compiled-tests tests exhaustive versions setup format check docs goldens torture chaos budgets fuzz sbom audit inject mutants bench bench-core bench-page bench-rules pictures clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "tachograph needs Python 3.11 or newer, and none was found on PATH." >&2; \
		echo "Install one (Debian: apt install python3 python3-venv; macOS: brew install python) or run: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The virtual environment could not be made. On Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/.demo: pyproject.toml demo/pyproject.toml | $(BIN)/python
	@echo "Installing tachograph and what the demo watches into $(VENV) (once) ..."
	@$(INSTALL) -e . -e ./demo
	@touch $@

$(VENV)/.dev: pyproject.toml demo/pyproject.toml | $(BIN)/python
	@echo "Installing tachograph and its test tools into $(VENV) (once) ..."
	@$(INSTALL) -e '.[all,dev$(if $(TACHOGRAPH_REQUIRE_PARTS),$(COMMA)chdb)]' -e ./demo
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev ## make the development environment

demo: $(VENV)/.demo ## run the product live against local simulators and real MCP servers (ARGS="--duration 15")
	@exec $(BIN)/tachograph demo $(ARGS)

test: lint parts ## lint, types, real parts, tests; CI runs the rest of the exhaustive sets, too
	@$(MAKE) --no-print-directory -j 2 types compiled-tests

lint: $(VENV)/.dev ## ruff, check and format, and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

pyright: $(VENV)/.dev parts ## Pyright over the same files: it understands some code differently from mypy (a minute)
	@node .parts/npm/node_modules/pyright/index.js

parts: $(VENV)/.dev ## get the real parts that the tests use (Prometheus, PostgreSQL, a browser) where that is possible
	@$(BIN)/python tools/parts.py

# The bytecode of the tests is made once and not by each worker; what cannot be imported is reported by the tests.
$(VENV)/.bytecode: $(VENV)/.dev
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null || true
	@touch $@

compiled-tests: $(VENV)/.bytecode
	@$(MAKE) --no-print-directory tests

tests: $(VENV)/.dev ## the tests alone (PYTEST_ARGS="-k name")
exhaustive: $(VENV)/.dev parts ## what `make test` leaves out of sets that are exhaustive by nature
tests: MARKED = not exhaustive
exhaustive: MARKED = exhaustive
tests exhaustive:
	@$(BIN)/python -m pytest -m "$(MARKED)" -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rs $(PYTEST_ARGS) || \
		{ [ $$? = 1 ] && echo "Once more, alone, the tests that failed (docs/decisions/0107):" && \
		$(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none --maxfail 3 -rAs $(PYTEST_ARGS); }

versions: $(VENV)/.dev ## the instrumentation's tests with the oldest and newest SDKs, in environments of their own (ARGS="oldest")
	@$(BIN)/python tools/version_matrix.py $(ARGS)

torture: $(VENV)/.dev ## kill the ledger's producers and writer for minutes, fill its disks, and check the books
	@$(BIN)/python benchmarks/ledger/torture.py $(ARGS)

chaos: $(VENV)/.dev ## random faults around the ledger for minutes, replayed from a seed (ARGS="--seed 7" or "--minutes 60")
	@PYTHONPATH=tests $(BIN)/python -m support.chaos $(ARGS)

budgets: $(VENV)/.dev ## 100 agents in 4 processes race for one budget, three are killed: does it hold (ARGS="--litellm PYTHON")
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.budgets $(ARGS)

fuzz: $(VENV)/.dev ## inputs, guided by coverage, for every parser of bytes from outside (ARGS="--seconds 60 promql")
	@$(INSTALL) -e '.[fuzz]'
	@$(BIN)/python tools/guided_fuzzing.py $(ARGS)

sbom: $(VENV)/.dev ## the bill of materials (CycloneDX) of a fresh installation with every extra, into artifacts/sbom.cdx.json
	@$(INSTALL) -e '.[supply]'
	@$(BIN)/python tools/sbom.py

audit: $(VENV)/.dev ## ask a vulnerability service about what is installed; fails where it cannot say
	@$(INSTALL) -e '.[supply]'
	@$(BIN)/pip-audit --strict --skip-editable --progress-spinner off $(ARGS)

inject: $(VENV)/.dev ## raise an exception of each kind at every function entry of ours, over every API, with and without a drain thread
	@TACHOGRAPH_TEST_INJECT=all $(BIN)/python -m pytest -n $(WORKERS) -q tests/instrument/test_guard.py tests/instrument/test_wire_injection.py $(PYTEST_ARGS)

mutants: $(VENV)/.dev ## change the arithmetic a little, many times: do the tests notice (ARGS="pricing --sample 150")
	@$(BIN)/python tools/mutants.py $(ARGS)

bench: $(VENV)/.dev ## are the numbers right, what does watching cost: ours beside the peers' (ARGS="--quick")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-core: $(VENV)/.dev ## what a watched call costs its process at 10, 100 and 1,000 calls a second (ARGS="--quick", "--publish")
	@$(BIN)/python -m benchmarks.core $(ARGS)

bench-page: $(VENV)/.dev ## how quick the console's page is with 100,000 calls kept (ARGS="--check")
	@$(BIN)/python -m benchmarks.page $(ARGS)

pictures: $(VENV)/.dev ## the pictures of docs/console.md, of this edition and of the one before it, from the demo
	@nice $(BIN)/python tools/pictures.py $(ARGS)

bench-rules: $(VENV)/.dev ## how long a real Prometheus evaluates the whole export at 200 models and 3 replicas
	@$(BIN)/python -m benchmarks.rules $(ARGS)

format: $(VENV)/.dev ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@[ ! -d .parts/npm/node_modules/prettier ] || node .parts/npm/node_modules/prettier/bin/prettier.cjs --log-level warn --write $(PAGE)

check: $(VENV)/.dev ## lint, types and the quick tests of one room of src/tachograph, in half a minute (ROOM=vendors)
	@[ -d "tests/$(ROOM)" ] && [ -n "$(ROOM)" ] || { echo "say which room: make check ROOM=vendors; rooms: $$(ls -d tests/*/ | xargs -n1 basename | tr '\n' ' ')" >&2; exit 1; }
	@$(MAKE) --no-print-directory -j 3 lint types tests PYTEST_ARGS="tests/$(ROOM) --quick $(PYTEST_ARGS)"

docs: $(VENV)/.dev ## build the documentation site into artifacts/site, strictly, links checked
	@$(INSTALL) -e '.[docs]'
	@$(BIN)/python tools/site.py

goldens: $(VENV)/.dev ## write the exports and doc tables that the tests compare with; review the diff
	@$(BIN)/tachograph export tests/goldens --only grafana --only prometheus --only alertmanager
	@$(BIN)/python -m tachograph.catalogue.export.docs docs
	@$(BIN)/python -m tachograph.console.api.schema src/tachograph/console/static/js/catalogue.d.ts
	@$(BIN)/python -m tachograph.settings.reference docs/settings.md
	@$(BIN)/python -m tachograph.signals.reference docs/metrics.md
	@$(BIN)/python tools/reference.py docs
	@cd tests && ../$(BIN)/python -m support.promql_answers && ../$(BIN)/python -m support.rule_texts

clean: ## remove what make made
	rm -rf $(VENV) .parts artifacts build dist
